"""The digest that a sender announces of a body: the header Content-Digest (RFC 9530)."""

import base64
import binascii
import hashlib

from marketplace.errors import RequestMalformed

_BYTES = hashlib.sha256().digest_size


def announced_sha256(header: str | None) -> str | None:
    """The SHA-256 of a Content-Digest, in hexadecimal; None where it announces none.

    Other algorithms are passed over, as RFC 9530 asks. Raises RequestMalformed.

    >>> announced_sha256("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    members = (member.strip().partition("=") for member in (header or "").split(","))
    # Of a name that comes twice the last counts (RFC 9651, section 4.2.2).
    value = {name: value for name, _, value in members}.get("sha-256")
    return None if value is None else _decoded(value).hex()


def _decoded(value: str) -> bytes:
    try:
        digest = base64.b64decode(value[1:-1], validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _BYTES or (value[0], value[-1]) != (":", ":"):
        raise RequestMalformed(
            "Content-Digest does not hold a SHA-256.",
            next_step="Send it as sha-256=:<base64 of 32 bytes>:, or leave the header out.",
        )
    return digest
