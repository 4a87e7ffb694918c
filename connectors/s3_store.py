"""Objects in an S3 bucket, or in a store that speaks S3 and honours conditional writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError

from catalogue.errors import ObjectExists, ObjectMissing, StoreUnfit
from catalogue.object_store import StoredObject
from connectors.disk import disk_errors
from connectors.errors import StoreUnavailable
from connectors.new_file import new_file
from connectors.object_key import check_key, check_prefix
from connectors.store_probe import prove_create_only

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# One PUT takes no more. A put in parts would need the condition on its last call, which fewer
# stores honour; the engine writes release files far below this size.
_LARGEST_PUT = 5 * 1024**3

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Store:
    """An `ObjectStore` under a prefix of a bucket. Safe to share between threads.

    `put` sends `If-None-Match: *`, so that the store itself refuses a key that is taken. Where an
    answer was lost, botocore tries again, and the second try meets the first one's object: then
    ObjectExists does not mean that another wrote it, so compare the bytes.
    """

    def __init__(self, bucket: str, prefix: str, client: "S3Client") -> None:
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._client = client

    def put(self, key: str, path: Path) -> None:
        name = self._name(key)
        if path.stat().st_size > _LARGEST_PUT:
            raise StoreUnfit("The object store takes no file larger than 5 GiB in one piece.")
        with _answers(key), path.open("rb") as body:
            self._client.put_object(Bucket=self._bucket, Key=name, Body=body, IfNoneMatch="*")

    def fetch(self, key: str, into: Path) -> None:
        name = self._name(key)
        with _answers(key), new_file(into) as copy:
            self._client.download_fileobj(self._bucket, name, copy)

    def stat(self, key: str) -> StoredObject:
        with _answers(key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        modified = head["LastModified"].astimezone(UTC)
        return StoredObject(key=key, bytes=head["ContentLength"], modified_at=modified)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        pages = self._client.get_paginator("list_objects_v2")
        with _answers(prefix):
            for page in pages.paginate(
                Bucket=self._bucket, Prefix=self._prefix + check_prefix(prefix)
            ):
                for found in page.get("Contents", ()):
                    yield StoredObject(
                        key=found["Key"].removeprefix(self._prefix),
                        bytes=found["Size"],
                        modified_at=found["LastModified"].astimezone(UTC),
                    )

    def delete(self, key: str) -> None:
        with _answers(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def probe(self) -> None:
        prove_create_only(self)

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)


@contextmanager
def _answers(key: str) -> Iterator[None]:
    """Tell the store's answers in our words; its messages may hold addresses and stay inside."""
    try:
        with disk_errors("An object cannot be read or kept on this machine"):
            yield
    except ClientError as error:
        raise _told(error, key) from error
    except (BotoCoreError, Boto3Error, RetriesExceededError) as error:
        raise StoreUnavailable(
            f"The object store does not answer ({type(error).__name__}).",
            next_step="Try again; if it lasts, the operator needs to look at the store.",
        ) from error


def _told(error: ClientError, key: str) -> Exception:
    code = error.response.get("Error", {}).get("Code", "unknown")
    if code in _ABSENT:
        return ObjectMissing(f"The store has no object {key}.")
    if code in ("PreconditionFailed", "412"):
        return ObjectExists(f"The store already holds {key}.")
    if code in ("NotImplemented", "501"):
        return StoreUnfit(
            "The object store does not know conditional writes.",
            next_step="Use a store that honours `If-None-Match: *`, or a local folder.",
        )
    return StoreUnavailable(
        f"The object store refused ({code}).",
        next_step="Try again; if it lasts, the operator needs to look at the store's rights.",
    )
