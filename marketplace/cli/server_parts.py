"""The service's own parts, which the client's installation leaves out."""

from importlib.util import find_spec

from marketplace.errors import SettingInvalid

_OF_THE_SERVER = ("duckdb", "litestar", "sqlalchemy")


def need_server() -> None:
    """Raise SettingInvalid, naming the extra, where only the client is installed.

    Nothing is loaded: the process that keeps the others needs none of it for as long as it runs.
    """
    if not all(map(find_spec, _OF_THE_SERVER)):
        raise SettingInvalid(
            "This command runs the service itself, whose parts are not installed here.",
            next_step="Install them with: pip install 'data-marketplace[server]'.",
        )
