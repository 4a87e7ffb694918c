"""Which service a command talks to, and as whom. The token is never an argument: those are logged."""

import getpass
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from marketplace.client import Client, connect
from marketplace.errors import SettingInvalid, Unauthenticated


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Service:
    """Where the service is and who asks."""

    url: Annotated[str, Parameter(env_var="MARKETPLACE_URL", group="Service")] = (
        "http://127.0.0.1:8400"
    )
    "Where the service answers."
    project: Annotated[str | None, Parameter(env_var="MARKETPLACE_PROJECT", group="Service")] = None
    "The project you act for; must be the token's own."
    token_file: Annotated[Path | None, Parameter(group="Service")] = None
    "A file that holds the token ('-' for standard input); else MARKETPLACE_TOKEN is read."

    def client(self) -> AbstractContextManager[Client]:
        """A connection that is closed when the block ends."""
        return connect(self.url, token=self._token(), project=self.project)

    def _token(self) -> str:
        if self.token_file is not None:
            return _from_file(self.token_file)
        token = os.environ.get("MARKETPLACE_TOKEN", "")
        if not token and sys.stdin.isatty():
            token = getpass.getpass("Token: ")
        if not token:
            raise Unauthenticated(
                "No token was given.",
                next_step="Set MARKETPLACE_TOKEN, or name a file that holds it with --token-file.",
            )
        return token.strip()


def _from_file(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.readline().strip()
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SettingInvalid(
            f"The token file {path} cannot be read: {error.strerror}.",
            next_step="Name a file that holds the token and nothing else.",
        ) from None


SERVICE = Service()
