"""What the operator can set, read once by `bootstrap` and passed on; nothing reads it at import."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from marketplace.errors import SettingInvalid

_PREFIX = "MARKETPLACE_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The server's settings; each is `MARKETPLACE_<NAME>` in the environment.

    `data` is the folder of the embedded default: database, objects, cache, keys. `database` is a
    SQLAlchemy URL and `store` a folder or `s3://bucket/prefix`; both default to places in `data`.
    Sizes are in bytes, times in seconds.

    HTTP is served on `port` by so many `processes`, among which the kernel deals connections. What
    is granted to the service is divided by the processes that it has; places for one person are
    granted in each.

    `queries_at_once` are queries on their way, whether they wait, run or are read;
    `query_workers` of them run, `query_line` wait. Workers that nobody asks are kept warm while all
    hold `query_memory_in_all` together, not counting the pages of libraries that they share;
    `query_memory` bounds each one, and counts those. A query that would have to
    read more than `query_scan_limit` is refused before it runs. A sender that is silent for
    `upload_stall`, a reader for `reader_stall`, and either that moves less than `least_rate` bytes a
    second on average, is ended.

    `exit_criteria` is a CSV file with the thresholds for leaving each stage of the rollout; without,
    those of `marketplace/rollout/exit_criteria.csv` hold.

    Flight SQL is served on `flight_port` (0: not at all), with TLS where `flight_tls_certificate`
    and `flight_tls_key` name PEM files; without, on this machine only.
    """

    data: Path
    database: str = ""
    store: str = ""
    s3_endpoint: str = ""
    host: str = "127.0.0.1"
    port: int = 8400
    processes: Annotated[int, msgspec.Meta(ge=1)] = 1
    flight_port: int = 0
    flight_tls_certificate: Path | None = None
    flight_tls_key: Path | None = None
    origin: str = "marketplace.localhost/audit"
    query_deadline: float = 60.0
    query_memory: int = 2 * 1024**3
    query_threads: int = 2
    query_workers: int = 8
    query_memory_in_all: int = 4 * 1024**3
    query_line: int = 64
    query_scan_limit: int = 256 * 1024**3
    queries_per_person: int = 4
    queries_at_once: int = 256
    ingest_memory: int = 1024**3
    ingest_deadline: float = 3600.0
    ingests_at_once: int = 2
    upload_limit: int = 8 * 1024**3
    upload_stall: float = 30.0
    least_rate: int = 16 * 1024
    reader_stall: float = 60.0
    uploads_per_person: int = 2
    uploads_at_once: int = 16
    downloads_per_person: int = 16
    downloads_at_once: int = 64
    cache_limit: int = 32 * 1024**3
    result_bytes_limit: int = 16 * 1024**3
    result_delivery: float = 3600.0
    require_confinement: bool = False
    exit_criteria: Path | None = None

    @property
    def database_url(self) -> str:
        """Where the metadata lives; SQLite in the data folder unless set."""
        return self.database or f"sqlite:///{self.data / 'marketplace.db'}"

    @property
    def store_location(self) -> str:
        """Where objects rest; a folder in the data folder unless set."""
        return self.store or str(self.data / "objects")


def read_settings(environment: Mapping[str, str] | None = None, **given: object) -> Settings:
    """Read settings from the environment; what is `given` (from the command line) wins.

    Raises SettingInvalid, naming the setting but never its value (a URL may hold a password).
    """
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {"data": "marketplace-data"}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(_PREFIX + field.name.upper())
        if text is not None:
            values[field.name] = text
    values.update({name: value for name, value in given.items() if value is not None})
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`") or "a setting"
        raise SettingInvalid(
            f"The setting {_PREFIX}{name.upper()} has a value of the wrong kind.",
            next_step="Sizes are whole numbers of bytes, times are seconds.",
        ) from None


def decode_path(kind: type, value: object) -> object:
    """A folder or file of the settings from its text, made absolute; a hook of msgspec."""
    if kind is Path:
        return Path(str(value)).expanduser().absolute()
    raise NotImplementedError(kind)
