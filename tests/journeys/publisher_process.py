"""One publisher in a process of its own that is killed at a chosen step of the publish protocol.

    python publisher_process.py DATA_FOLDER TOKEN FILE ADDRESS STEP

Steps are counted over every durable act: before and after each stored object and each committed
transaction. It prints `ACK <release>` only once the publish has returned, and `STEPS <n>` then.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from catalogue.address import TableAddress
from connectors.local_store import LocalStore
from connectors.s3_store import S3Store
from marketplace import bootstrap
from marketplace.database import Database
from marketplace.identity.tokens import authenticate
from marketplace.publish import DatasetDetails
from marketplace.settings import read_settings


class _Steps:
    """Counts durable acts and dies at the chosen one."""

    def __init__(self) -> None:
        self.armed = False
        self.count = 0
        self.fatal = 0

    def reach(self) -> None:
        if not self.armed:
            return
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


STEPS = _Steps()


def _count_transactions() -> None:
    writing = Database.writing

    @contextmanager
    def counted(self: Database) -> Iterator[Connection]:
        with writing(self) as connection:
            yield connection
            STEPS.reach()
        STEPS.reach()

    Database.writing = counted  # type: ignore[method-assign]


def _count_objects(kind: type[LocalStore] | type[S3Store]) -> None:
    put = kind.put

    def counted(self: LocalStore | S3Store, key: str, path: Path) -> None:
        STEPS.reach()
        put(self, key, path)  # type: ignore[arg-type]
        STEPS.reach()

    kind.put = counted  # type: ignore[method-assign,assignment]


def main(data: str, token: str, file: str, address: str, fatal: str) -> None:
    _count_transactions()
    _count_objects(LocalStore)
    _count_objects(S3Store)
    with bootstrap.opened(read_settings(data=Path(data))) as marketplace:
        with marketplace.database.reading() as connection:
            principal = authenticate(connection, token, now=marketplace.clock())
        marketplace.audit.close()
        STEPS.fatal = int(fatal)
        STEPS.armed = True
        published = marketplace.publishing.publish(
            principal,
            Path(file),
            Path(file).name,
            TableAddress.parse(address),
            details=DatasetDetails(title="Payments"),
        )
        STEPS.armed = False
        print(f"ACK {published.release.number}", flush=True)
        print(f"STEPS {STEPS.count}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
