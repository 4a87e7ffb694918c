"""The tables of requests and agreements with their history, of standing offers and of stops."""

from sqlalchemy import (
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from catalogue.instant import UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# `draft` is what the asker wrote, `asked` what it comes to: tables, columns and places by name.
requests = Table(
    "share_requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("dataset", String(127), nullable=False),
    Column("state", String(16), nullable=False),
    Column("draft", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("flags", Text, nullable=False),
    Column("asked_by", String(32), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Index(None, "project"),
    Index(None, "dataset"),
)

moves = Table(
    "share_request_moves",
    metadata,
    Column("request", String(32), ForeignKey("share_requests.id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("before", String(16), nullable=False),
    Column("after", String(16), nullable=False),
    Column("by", String(32), nullable=False),
    Column("by_name", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
)

agreements = Table(
    "agreements",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("request", String(32), ForeignKey("share_requests.id"), nullable=False),
    Column("project", String(63), nullable=False),
    Column("dataset", String(127), nullable=False),
    Column("terms", Text, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("made_by", String(32), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("ended_as", String(16)),
    Column("ended_at", UtcDateTime),
    Column("end_reason", Text, nullable=False, server_default=""),
)

# At most one agreement of a project over a dataset is in force: the database itself holds this.
Index(
    "one_agreement_in_force",
    agreements.c.project,
    agreements.c.dataset,
    unique=True,
    sqlite_where=text("ended_as IS NULL"),
    postgresql_where=text("ended_as IS NULL"),
)

# Each extension of an agreement, whose own row has the last day as it is.
extensions = Table(
    "agreement_extensions",
    metadata,
    Column("agreement", String(32), ForeignKey("agreements.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("before", Date, nullable=False),
    Column("after", Date, nullable=False),
    Column("by", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
)

offers = Table(
    "standing_offers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dataset", String(127), nullable=False),
    Column("audience", SmallInteger, nullable=False),
    Column("scope", Text, nullable=False),
    Column("last_day", Date),
    Column("made_by", String(32), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index(None, "dataset"),
)

# What was closed: a dataset, all of an organisation or everything (`dataset`), to one party or all.
stops = Table(
    "stops",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("authority", String(16), nullable=False),
    Column("dataset", String(127), nullable=False),
    Column("audience", SmallInteger),
    Column("organisation", String(63)),
    Column("project", String(63)),
    Column("person", String(32)),
    Column("reason", Text, nullable=False),
    Column("made_by", String(32), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("ended_by", String(32)),
    Column("ended_at", UtcDateTime),
    Column("end_reason", Text, nullable=False, server_default=""),
    Index(None, "dataset"),
)
