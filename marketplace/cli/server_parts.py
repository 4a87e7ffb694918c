"""The service's own parts, which the client's installation leaves out."""

import importlib

from marketplace.errors import SettingInvalid

_OF_THE_SERVER = ("duckdb", "litestar", "sqlalchemy")


def need_server() -> None:
    """Raise SettingInvalid, naming the extra, where only the client is installed."""
    for module in _OF_THE_SERVER:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            raise SettingInvalid(
                "This command runs the service itself, whose parts are not installed here.",
                next_step="Install them with: pip install 'data-marketplace[server]'.",
            ) from None
