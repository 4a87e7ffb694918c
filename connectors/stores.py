"""From the operator's setting to an object store."""

from pathlib import Path
from urllib.parse import urlsplit

from catalogue.errors import StoreUnfit
from catalogue.object_store import ObjectStore
from connectors.local_store import LocalStore


def open_store(location: str, *, endpoint: str = "") -> ObjectStore:
    """The store at a folder or at `s3://bucket/prefix`; nothing is asked of it yet.

    `endpoint` is the address of a store that speaks S3 elsewhere than at Amazon. Credentials come
    from boto3's usual places (environment, profile, instance role), never from the location.
    Raises StoreUnfit for a location of another kind.
    """
    if "://" not in location:
        return LocalStore(Path(location))
    parts = urlsplit(location)
    if parts.scheme != "s3" or not parts.hostname or "@" in parts.netloc or parts.query:
        raise StoreUnfit(
            "The setting for the object store is neither a folder nor s3://bucket/prefix.",
            next_step="Set MARKETPLACE_STORE; leave credentials out of it.",
        )
    return _open_s3(parts.netloc, parts.path.strip("/"), endpoint)


def _open_s3(bucket: str, prefix: str, endpoint: str) -> ObjectStore:
    # boto3 takes a third of a second to import, and many nodes and commands have no use for it.
    from boto3.session import Session
    from botocore.config import Config

    from connectors.s3_store import S3Store

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Bytes are compared by SHA-256 here; stores other than Amazon's often refuse the
        # trailing checksums that botocore adds on its own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = Session().client("s3", endpoint_url=endpoint or None, config=config)
    return S3Store(bucket, prefix, client)
