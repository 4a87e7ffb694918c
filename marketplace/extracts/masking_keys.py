"""The keys that identifiers are hashed by: one for each project, kind of identifier and version.

They are derived from a master key (HKDF, RFC 5869) that lies in the data folder and nowhere else.
A process that builds an extract is given the derived keys that it needs, and no query ever runs in
such a process. Equal identifiers have equal hashes inside one project, across its datasets; between
two projects they cannot be linked (decision 0013).
"""

import base64
import binascii
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from marketplace.engine.extract.extract_messages import HashKey
from marketplace.errors import SettingInvalid
from marketplace.private_files import create_once, open_to_others

_FILE = "masking.key"
_BYTES = 32
_PURPOSE = b"data-marketplace/masking/v1"
# No part of what a key is for may hold it, so that no two purposes are written alike.
_BETWEEN = b"\0"


class MaskingKeys:
    """Derives keys from the newest master key. `version` says which that is."""

    def __init__(self, masters: Mapping[int, bytes]) -> None:
        self.version = max(masters)
        self._master = masters[self.version]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the master keys in `folder`, or make one where there is none. Raises SettingInvalid.

        The file is created whole, with mode 0600. Each line is a version and a key in base64; a
        line that is added with a higher version is the key from the next start on.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / _FILE
        if not path.exists():
            create_once(path, f"1 {base64.b64encode(secrets.token_bytes(_BYTES)).decode()}\n")
        return cls(_read(path))

    def key(self, project: str, identifier: str) -> HashKey:
        """The key of a project for a kind of identifier."""
        return HashKey(self._derive(b"key", project.encode(), identifier.encode()))

    @property
    def fingerprint(self) -> str:
        """Tells this master key from any other, and nothing about it."""
        return self._derive(b"fingerprint").hex()

    def _derive(self, *purpose: bytes) -> bytes:
        if any(_BETWEEN in part for part in purpose):
            raise ValueError("a key's purpose holds NUL")
        info = _BETWEEN.join((_PURPOSE, *purpose))
        return HKDF(algorithm=SHA256(), length=_BYTES, salt=None, info=info).derive(self._master)


def _read(path: Path) -> dict[int, bytes]:
    if open_to_others(path):
        raise SettingInvalid(
            "The master key of masked identifiers can be read by others.",
            next_step=f"Treat it as known to them: add a new one to keys/{_FILE}, mode 0600.",
        )
    try:
        lines = [line.split() for line in path.read_text("ascii").splitlines() if line.strip()]
        masters = {int(version): base64.b64decode(key, validate=True) for version, key in lines}
    except (ValueError, binascii.Error):
        raise _unreadable() from None
    if (
        not masters
        or len(masters) != len(lines)
        or {len(key) for key in masters.values()} != {_BYTES}
    ):
        raise _unreadable()
    return masters


def _unreadable() -> SettingInvalid:
    return SettingInvalid(
        f"The file keys/{_FILE} does not hold a version and a key of 32 bytes in base64 a line.",
        next_step="Restore it from a backup: with another key, hashes cannot be linked with before.",
    )
