"""The catalogue's tables.

A release is visible exactly when its row in `releases` is committed. Its primary key lets one
publisher win each number. Manifests are rows, so that the collector can ask which files are live.
"""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from catalogue.instant import UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class IntentState(StrEnum):
    """Where an intent stands. Only an open one can commit, and no state leads back to open."""

    OPEN = "open"
    COMMITTED = "committed"
    ENDED = "ended"


datasets = Table(
    "datasets",
    metadata,
    Column("organisation", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("licence", Text, nullable=False),
    Column("access_rights", String(16), nullable=False),
    Column("official_sensitive", Boolean, nullable=False),
    Column("handling", String(16), nullable=False, server_default="none"),
    Column("created_at", UtcDateTime, nullable=False),
)

contracts = Table(
    "contracts",
    metadata,
    Column("organisation", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("table_name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("schema", Text, nullable=False),
    ForeignKeyConstraint(
        ["organisation", "dataset"], ["datasets.organisation", "datasets.dataset"]
    ),
    CheckConstraint("version >= 1", name="version"),
)

# An intent does not refer to `datasets`: a first publish registers its dataset in the transaction
# that commits the release, so that a failed one leaves no empty dataset behind.
intents = Table(
    "intents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("organisation", String(63), nullable=False),
    Column("dataset", String(63), nullable=False),
    Column("parent", Integer, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Index(None, "state", "expires_at"),
)

releases = Table(
    "releases",
    metadata,
    Column("organisation", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("intent_id", String(32), nullable=False, unique=True),
    Column("published_at", UtcDateTime, nullable=False),
    Column("published_by", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("manifest_digest", String(64), nullable=False),
    ForeignKeyConstraint(
        ["organisation", "dataset"], ["datasets.organisation", "datasets.dataset"]
    ),
    ForeignKeyConstraint(["intent_id"], ["intents.id"]),
    CheckConstraint("number >= 1", name="number"),
)

release_tables = Table(
    "release_tables",
    metadata,
    Column("organisation", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("table_name", String(63), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("contract_version", Integer, nullable=False),
    ForeignKeyConstraint(
        ["organisation", "dataset", "number"],
        ["releases.organisation", "releases.dataset", "releases.number"],
    ),
    ForeignKeyConstraint(
        ["organisation", "dataset", "table_name", "contract_version"],
        [
            "contracts.organisation",
            "contracts.dataset",
            "contracts.table_name",
            "contracts.version",
        ],
    ),
)

release_files = Table(
    "release_files",
    metadata,
    Column("organisation", String(63), primary_key=True),
    Column("dataset", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("table_name", String(63), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, index=True),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("columns", Text, nullable=False),
    ForeignKeyConstraint(
        ["organisation", "dataset", "number", "table_name"],
        [
            "release_tables.organisation",
            "release_tables.dataset",
            "release_tables.number",
            "release_tables.table_name",
        ],
    ),
)

condemned_objects = Table(
    "condemned_objects",
    metadata,
    Column("key", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("condemned_at", UtcDateTime, nullable=False),
)
