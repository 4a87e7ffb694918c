"""Who administers which marketplace from this machine; commands that do so work on the data folder."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from marketplace.cli.screen import say
from marketplace.cli.server_parts import need_server
from marketplace.clock import system_clock
from marketplace.errors import SettingInvalid

if TYPE_CHECKING:
    from marketplace.administration import Administration
    from marketplace.database import Database
    from marketplace.housekeeping import Housekeeping
    from marketplace.settings import Settings


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Operator:
    """Which marketplace is administered, and by whom."""

    data: Annotated[Path | None, Parameter(env_var="MARKETPLACE_DATA")] = None
    "The folder of the embedded default; the database may lie elsewhere (MARKETPLACE_DATABASE)."

    @property
    def name(self) -> str:
        """The operator as the audit log knows them: the user at this machine."""
        return f"operator:{getpass.getuser()}"

    @contextmanager
    def administration(self, *, founding: bool = False) -> "Iterator[Administration]":
        """The use case over the marketplace's database, closed when the block ends.

        Only where it is `founding` may the marketplace begin to exist; another command that names
        no folder would otherwise look into a new, empty one. Raises SettingInvalid.
        """
        need_server()
        from catalogue.places import Places
        from marketplace.administration import Administration

        with self._opened(founding=founding) as (_, database):
            yield Administration(database=database, places=Places.load(), clock=system_clock)

    @contextmanager
    def housekeeping(self) -> "Iterator[Housekeeping]":
        """The use case over the marketplace's database, store and scratch folders."""
        need_server()
        from connectors.stores import open_store
        from marketplace.housekeeping import Housekeeping

        with self._opened() as (settings, database):
            yield Housekeeping(
                database=database,
                store=open_store(settings.store_location, endpoint=settings.s3_endpoint),
                scratch=settings.data / "scratch",
                clock=system_clock,
            )

    @contextmanager
    def _opened(self, *, founding: bool = False) -> "Iterator[tuple[Settings, Database]]":
        from marketplace.database import open_database
        from marketplace.settings import read_settings

        settings = read_settings(data=self.data)
        if not marketplace_exists(settings):
            if not founding:
                raise no_marketplace(settings)
            say(f"A new marketplace begins in {settings.data}.")
        database = open_database(settings.database_url)
        try:
            database.migrate()
            yield settings, database
        finally:
            database.close()


OPERATOR = Operator()


def marketplace_exists(settings: "Settings") -> bool:
    """Whether there is a marketplace to work on; a database elsewhere answers for itself."""
    return bool(settings.database) or (settings.data / "marketplace.db").exists()


def no_marketplace(settings: "Settings") -> SettingInvalid:
    """The error of a command that needs a marketplace where there is none."""
    return SettingInvalid(
        f"There is no marketplace in {settings.data}.",
        next_step="Name its folder with --data or MARKETPLACE_DATA. A new one begins with: "
        "marketplace admin organisation add.",
    )
