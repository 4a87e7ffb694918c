"""A receipt: proof, kept by a reader, that an entry stood in the log when a checkpoint was signed.

The text is a C2SP tlog-proof. Its extra data is the entry's document, whose hash is the leaf: the
receipt says what was recorded (with commitments in place of personal values) and proves it.
"""

import base64
import binascii
import re
from collections.abc import Sequence

import msgspec

from marketplace.audit.checkpoint import Checkpoint, PublicKey, open_checkpoint
from marketplace.audit.entries import Document
from marketplace.audit.tree import consistency_holds, inclusion_holds, leaf_hash
from marketplace.errors import ProofInvalid

FIRST_LINE = "c2sp.org/tlog-proof@v1"
_POSITION = re.compile(r"0|[1-9][0-9]{0,17}")
_LIMIT = 10_000_000


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """An entry's document, its position, the path to the root, and the signed checkpoint."""

    document: str
    position: int
    proof: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        hashes = "".join(f"{_encode(digest)}\n" for digest in self.proof)
        extra = _encode(self.document.encode())
        return f"{FIRST_LINE}\nextra {extra}\nindex {self.position}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> "Receipt":
        """Read a receipt's text, without judging it. Raises ProofInvalid."""
        head, separator, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if len(text) > _LIMIT or not separator or len(lines) < 3 or lines[0] != FIRST_LINE:
            raise ProofInvalid("The text is not a receipt of the audit log.")
        position = lines[2].removeprefix("index ")
        if not lines[1].startswith("extra ") or not _POSITION.fullmatch(position):
            raise ProofInvalid("The receipt does not say which entry it is for.")
        try:
            document = _decode(lines[1].removeprefix("extra ")).decode()
        except UnicodeDecodeError:
            raise ProofInvalid("The receipt's entry is not text.") from None
        return cls(
            document=document,
            position=int(position),
            proof=tuple(_decode(line) for line in lines[3:]),
            checkpoint=checkpoint,
        )

    @property
    def entry(self) -> Document:
        """What was recorded. Raises ProofInvalid where the receipt holds no entry."""
        try:
            return msgspec.json.decode(self.document, type=Document)
        except msgspec.DecodeError:
            raise ProofInvalid("The receipt does not hold an entry of the audit log.") from None

    def check(self, keys: Sequence[PublicKey]) -> Checkpoint:
        """Prove the entry without the log, and return the checkpoint that it was proven under.

        Raises ProofInvalid where the checkpoint's signature or the path to its root is wrong.
        """
        checkpoint = open_checkpoint(self.checkpoint, keys)
        leaf = leaf_hash(self.document.encode())
        if not inclusion_holds(leaf, self.position, checkpoint.size, self.proof, checkpoint.root):
            raise ProofInvalid(
                f"The receipt's entry does not lead to the root of its checkpoint of size "
                f"{checkpoint.size}: the entry, its position or the path was changed."
            )
        return checkpoint


def check_growth(earlier: Checkpoint, later: Checkpoint, proof: Sequence[bytes]) -> None:
    """Prove that the log of the later checkpoint begins with all of the earlier one.

    Both must have been opened with the log's key. Raises ProofInvalid where the log shrank or is
    another one.
    """
    if later.size < earlier.size:
        raise ProofInvalid(
            f"The log has {later.size} entries but had {earlier.size} before: it was restored to "
            "an older state."
        )
    if not consistency_holds(earlier.size, earlier.root, later.size, later.root, proof):
        raise ProofInvalid(
            f"The log of size {later.size} does not begin with the log of size {earlier.size}."
        )


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProofInvalid("The receipt holds a line that is not base64.") from None
