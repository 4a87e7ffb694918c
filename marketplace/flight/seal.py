"""What callers carry for the service, so that it need not remember: sealed, and theirs alone.

AES-256-GCM under a key that every process of the service reads from the same file. Whose it is and
what it is for are authenticated with it, so that somebody else's piece, one that is for another
purpose and one that was altered are the same: it does not open.
"""

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from marketplace.errors import SettingInvalid
from marketplace.private_files import create_once, open_to_others

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_FILE = "flight.key"


class Seal:
    """Seals pieces of state under one key. Safe to share between threads."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, content: bytes, *, purpose: str, holder: str) -> bytes:
        """Seal a piece for its holder."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, content, _bound(purpose, holder))

    def open(self, sealed: bytes, *, purpose: str, holder: str) -> bytes | None:
        """What was sealed for this purpose and holder; None where it was not, or was altered."""
        version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if version != _VERSION or len(nonce) != _NONCE_BYTES:
            return None
        try:
            return self._cipher.decrypt(nonce, rest, _bound(purpose, holder))
        except InvalidTag:
            return None


def open_seal(folder: Path) -> Seal:
    """Read the key in `folder`, or make one where there is none, in a file of mode 0600.

    Whoever removes the file lets every piece that is out open nothing any more. Raises SettingInvalid.
    """
    path = folder / _KEY_FILE
    if not path.exists():
        create_once(path, base64.b64encode(os.urandom(_KEY_BYTES)).decode() + "\n")
    if open_to_others(path):
        raise SettingInvalid(
            f"The key of Flight tickets {path} can be read by others.",
            next_step="Remove the file; the service makes a new one when it starts.",
        )
    try:
        key = base64.b64decode(path.read_text().strip(), validate=True)
    except (binascii.Error, UnicodeDecodeError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingInvalid(
            f"The file {path} does not hold the key of Flight tickets.",
            next_step="Remove the file; the service makes a new one when it starts.",
        )
    return Seal(key)


def _bound(purpose: str, holder: str) -> bytes:
    return _VERSION + purpose.encode() + b"\0" + holder.encode()
