"""Signed tree heads in the format C2SP tlog-checkpoint, and the key that signs them.

A checkpoint is a signed note: origin, size and root on a line each, an empty line, signatures.
Keys are written as in C2SP signed-note, so that other tools of that world can read them.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketplace.errors import ProofInvalid, SettingInvalid
from marketplace.private_files import create_once, flush_folder, open_to_others

_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_LIMIT = 100_000
_KEY_FILE, _PUBLIC_FILE = "audit.key", "audit.pub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head that was signed: `note` is the whole text as it is handed out."""

    origin: str
    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a signing key, under the log's name. `str` gives its text form."""

    name: str
    raw: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(_ED25519 + self.raw)}"

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Read `name+id+key`. Raises SettingInvalid."""
        name, _, rest = text.strip().partition("+")
        identifier, _, encoded = rest.partition("+")
        raw = _decode(encoded) or b""
        key = cls(name, raw[1:])
        if not _NAME.fullmatch(name) or raw[:1] != _ED25519 or len(raw) != 33:
            raise SettingInvalid(
                "The audit log's public key is not an Ed25519 key of the form name+id+key.",
                next_step="Take the line from keys/audit.pub in the data folder.",
            )
        if key.id.hex() != identifier:
            raise SettingInvalid(
                "The audit log's public key does not match its own identifier: a part is miscopied."
            )
        return key

    def verifies(self, signature: bytes, text: str) -> bool:
        """Whether this key made the signature over the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """Signs tree heads. `public_keys` verify its own signatures and those of retired keys."""

    def __init__(
        self, origin: str, private: Ed25519PrivateKey, retired: Sequence[PublicKey] = ()
    ) -> None:
        self.origin = origin
        self._private = private
        self.public_key = PublicKey(origin, private.public_key().public_bytes_raw())
        self.public_keys = (self.public_key, *(key for key in retired if key != self.public_key))

    def sign(self, size: int, root: bytes) -> Checkpoint:
        """Make the checkpoint of a tree."""
        text = _text(self.origin, size, root)
        signature = _encode(self.public_key.id + self._private.sign(text.encode()))
        note = f"{text}\n\u2014 {self.origin} {signature}\n"
        return Checkpoint(origin=self.origin, size=size, root=root, note=note)


def open_checkpoint(note: str, keys: Sequence[PublicKey]) -> Checkpoint:
    """Read a signed checkpoint. Signatures of keys that are not given (witnesses) are ignored.

    Raises ProofInvalid where it is no checkpoint, or where none of the keys signed it.
    """
    checkpoint, text, signatures = _parse(note)
    by_name = {(key.name, key.id): key for key in keys}
    known = [
        (by_name[name, raw[:4]], raw[4:]) for name, raw in signatures if (name, raw[:4]) in by_name
    ]
    if not known or not all(key.verifies(signature, text) for key, signature in known):
        raise ProofInvalid(
            f"The checkpoint of size {checkpoint.size} has no valid signature by the audit log's "
            "key.",
            next_step="Compare it with the log's public key as it was published.",
        )
    if any(key.name != checkpoint.origin for key, _ in known):
        raise ProofInvalid("The checkpoint was signed by the key of another log.")
    return checkpoint


def holds_signer(folder: Path) -> bool:
    """Whether the log's signing key lies in `folder`."""
    return (folder / _KEY_FILE).exists()


def open_signer(folder: Path, origin: str) -> Signer:
    """Read the signing key in `folder`, or make one where there is none.

    The key file is created whole and with mode 0600. Public keys gather in `audit.pub`, one a
    line, so that checkpoints of a retired key still verify. Raises SettingInvalid.
    """
    if not _NAME.fullmatch(origin):
        raise SettingInvalid(
            "The audit log's origin is empty or holds a space or a plus sign.",
            next_step="Set MARKETPLACE_ORIGIN to a name like data.example.gov.uk/audit.",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _KEY_FILE
    if not path.exists():
        create_once(path, _private_text(origin, Ed25519PrivateKey.generate()))
    private = _read_private(path, origin)
    public = folder / _PUBLIC_FILE
    signer = Signer(origin, private, read_public_keys(public) if public.exists() else ())
    if not public.exists() or signer.public_key not in read_public_keys(public):
        _append_line(public, str(signer.public_key))
    return signer


def read_public_keys(path: Path) -> tuple[PublicKey, ...]:
    """The public keys in a file, one a line. Raises SettingInvalid."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        raise SettingInvalid(f"The file of public keys {path} cannot be read.") from None
    return tuple(PublicKey.parse(line) for line in lines if line.strip())


def _text(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{_encode(root)}\n"


def _parse(note: str) -> tuple[Checkpoint, str, list[tuple[str, bytes]]]:
    text, separator, tail = note.rpartition("\n\n")
    lines = text.split("\n")
    if len(note) > _LIMIT or not separator or not tail.endswith("\n") or len(lines) != 3:
        raise ProofInvalid("The text is not a signed checkpoint.")
    origin, size, encoded = lines
    root = _decode(encoded)
    if not origin or not _SIZE.fullmatch(size) or root is None or len(root) != 32:
        raise ProofInvalid("The checkpoint does not say origin, size and root on a line each.")
    signatures = [_parse_signature(line) for line in tail[:-1].split("\n")]
    return (
        Checkpoint(origin=origin, size=int(size), root=root, note=note),
        text + "\n",
        signatures,
    )


def _parse_signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    raw = _decode(encoded)
    if dash != "\u2014" or not _NAME.fullmatch(name) or raw is None or len(raw) < 5:
        raise ProofInvalid("A signature line of the checkpoint cannot be read.")
    return name, raw


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _encode(raw) == text else None


def _private_text(origin: str, private: Ed25519PrivateKey) -> str:
    public = PublicKey(origin, private.public_key().public_bytes_raw())
    return f"PRIVATE+KEY+{origin}+{public.id.hex()}+{_encode(_ED25519 + private.private_bytes_raw())}\n"


def _read_private(path: Path, origin: str) -> Ed25519PrivateKey:
    if open_to_others(path):
        raise SettingInvalid(
            f"The audit log's signing key {path} can be read by others.",
            next_step="Treat the key as known to them: see how to rotate it in deploy/RUNBOOK.md.",
        )
    parts = path.read_text().strip().split("+")
    raw = _decode("+".join(parts[4:])) or b""
    if parts[:2] != ["PRIVATE", "KEY"] or raw[:1] != _ED25519 or len(raw) != 33:
        raise SettingInvalid(f"The file {path} does not hold the audit log's signing key.")
    if parts[2] != origin:
        raise SettingInvalid(
            f"The audit log's signing key is for the origin {parts[2]}, the settings say {origin}.",
            next_step="A log keeps its origin for good: set MARKETPLACE_ORIGIN back to it.",
        )
    return Ed25519PrivateKey.from_private_bytes(raw[1:])


def _append_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    flush_folder(path.parent)
