"""The tables of organisations, people, projects, memberships, secondments, appointments and tokens."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
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

organisations = Table(
    "organisations",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("title", Text, nullable=False),
    Column("audience", SmallInteger, nullable=False),
    Column("place", String(16), nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False, unique=True),
    Column("organisation", String(63), ForeignKey("organisations.name"), nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("title", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("organisation", String(63), ForeignKey("organisations.name"), nullable=False),
    Column("audience", SmallInteger, nullable=False),
    Column("accredited_until", Date),
)

memberships = Table(
    "memberships",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(63), ForeignKey("projects.name"), nullable=False),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date),
    Column("entered_last_day", Date),
    Index(None, "project", "person"),
)

# The host is an organisation or one project of it.
secondments = Table(
    "secondments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("host_organisation", String(63), ForeignKey("organisations.name")),
    Column("host_project", String(63), ForeignKey("projects.name")),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("entered_last_day", Date),
    CheckConstraint("(host_organisation IS NULL) <> (host_project IS NULL)", name="one_host"),
    Index(None, "person"),
)

# A role in an organisation, or in the marketplace as a whole. Deputies stand in an owner's place.
appointments = Table(
    "appointments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("organisation", String(63), ForeignKey("organisations.name")),
    Column("in_place_of", String(32), ForeignKey("people.id")),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date),
    CheckConstraint("(role = 'deputy') = (in_place_of IS NOT NULL)", name="deputy_of_one"),
    Index(None, "person"),
    Index(None, "organisation"),
)

# The secret itself is never kept: `digest` is its SHA-256, in hexadecimal.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("person", String(32), ForeignKey("people.id"), nullable=False),
    Column("project", String(63), ForeignKey("projects.name")),
    Column("role", String(16)),
    Column("organisation", String(63), ForeignKey("organisations.name")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    CheckConstraint("(project IS NULL) <> (role IS NULL)", name="project_or_role"),
    Index(None, "person"),
)
