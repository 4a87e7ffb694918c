"""The demo's world: a real service on a loopback port over a folder, its people and their tokens."""

import json
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from marketplace.bootstrap import Marketplace, opened
from marketplace.client import Client, connect
from marketplace.clock import LONDON, Clock, start_of_day
from marketplace.demo.story_clock import StoryClock
from marketplace.errors import SettingInvalid
from marketplace.serve import running
from marketplace.settings import Settings

TOKENS = "tokens.json"

# The same secrets, a file each, as `--token-file` takes them.
TOKEN_FILES = "tokens"  # noqa: S105 -- the name of a folder
OPERATOR = "operator:demo"

# One more than the exit criteria of the first stage ask for, so that they are met at any hour.
_DAYS_BEFORE_TODAY = 31
_MORNING = timedelta(hours=9, minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days of the story. It begins a month ago and ends today, so that its world is of use."""

    today: date

    @property
    def opening(self) -> datetime:
        """When the story begins: a morning in London, a month ago."""
        return start_of_day(self.today - timedelta(days=_DAYS_BEFORE_TODAY)) + _MORNING

    @property
    def first_last_day(self) -> date:
        """The last day of the first agreement."""
        return self.today - timedelta(days=3)

    @property
    def secondment_last_day(self) -> date:
        """The day that ends the secondment."""
        return self.today + timedelta(days=150)

    @property
    def tokens_last_day(self) -> date:
        """The last day of every token."""
        return self.today + timedelta(days=300)


@dataclass(slots=True, kw_only=True)
class Keepsakes:
    """What the story keeps aside for its last act."""

    folder: Path
    receipt: str = ""

    @property
    def older(self) -> Path:
        """The database as it was before the first read."""
        return self.folder / "older.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the acts of the story share."""

    folder: Path
    keepsakes: Keepsakes
    url: str
    clock: StoryClock
    present: Clock
    calendar: Calendar
    marketplace: Marketplace
    tokens: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def acting(self, person: str) -> Iterator[Client]:
        """The client as one of the story's people uses it, over HTTP with their token."""
        with connect(self.url, token=self.tokens[person]) as client:
            yield client

    def copy_database(self, name: str) -> Path:
        """Copy the metadata as it is now, every entry in its place, beside the world."""
        self.marketplace.audit.sequence()
        copy = self.keepsakes.folder / name
        with (
            closing(sqlite3.connect(self.folder / "marketplace.db")) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return copy


@contextmanager
def world(keep: Path | None, present: Clock) -> Iterator[World]:
    """Build an empty world, a month before the present, and serve it for the length of a block.

    With `keep`, in that folder, with everybody's token beside it at the end; else in a temporary
    one. Raises SettingInvalid where the folder holds something else than an earlier demo's world.
    """
    with _folder(keep) as folder:
        calendar = Calendar(today=present().astimezone(LONDON).date())
        clock = StoryClock(calendar.opening)
        settings = Settings(data=folder)
        with (
            _logged(folder / "service.log"),
            tempfile.TemporaryDirectory(prefix="marketplace-demo-copies-") as copies,
            opened(settings, clock=clock) as marketplace,
            running(marketplace) as url,
        ):
            built = World(
                folder=folder,
                keepsakes=Keepsakes(folder=Path(copies)),
                url=url,
                clock=clock,
                present=present,
                calendar=calendar,
                marketplace=marketplace,
            )
            yield built
        if keep is not None:
            _write_tokens(folder / TOKENS, built.tokens)
            _write_token_files(folder / TOKEN_FILES, built.tokens)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Keep what the service logs out of the story; it notes each refusal and each cut stream."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="marketplace-demo-") as temporary:
            yield Path(temporary)
        return
    keep = keep.absolute()
    if keep.exists() and any(keep.iterdir()):
        if not (keep / TOKENS).is_file():
            raise SettingInvalid(
                f"The folder {keep} holds something else than an earlier demo's world.",
                next_step="Name another folder, or one that does not exist yet.",
            )
        shutil.rmtree(keep)
    # The marker comes first, so that a demo that was stopped half-way can be begun again.
    keep.mkdir(parents=True, mode=0o700, exist_ok=True)
    _write_tokens(keep / TOKENS, {})
    yield keep


def _write_tokens(path: Path, tokens: dict[str, str]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(tokens, indent=2) + "\n")


def _write_token_files(folder: Path, tokens: dict[str, str]) -> None:
    folder.mkdir(mode=0o700)
    for person, token in tokens.items():
        path = folder / person
        path.touch(mode=0o600)
        path.write_text(token + "\n")
