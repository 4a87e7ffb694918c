"""The tables of rules, stages and the policy revision."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, SmallInteger, Table, Text

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

rules = Table(
    "policy_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("nbf", BigInteger, nullable=False),
    Column("exp", BigInteger, nullable=False),
    Column("stage", SmallInteger, nullable=False),
    Column("effect", Text, nullable=False),
    Column("grant", Text, nullable=False),
    Column("obligations", Text, nullable=False),
    # One decision reads the rules of a dataset for a caller's names; a listing reads all rules for
    # a caller's names; ending an agreement reads the rules of one grant.
    Index(None, "dataset", "subject", "action"),
    Index(None, "subject", "action", "dataset"),
    Index(None, "grant"),
)

# Only ever added to. Of the rows of a scope that have begun, the one written last holds.
stages = Table(
    "policy_stages",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("since_revision", BigInteger, primary_key=True, autoincrement=False),
    Column("stage", SmallInteger, nullable=False),
    Column("waves", Text),
    Column("begins", BigInteger, nullable=False),
)

invitations = Table(
    "policy_invitations",
    metadata,
    Column("wave", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("since_revision", BigInteger, nullable=False),
)

revision = Table(
    "policy_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

# When each revision came to be, in microseconds since 1970.
revisions = Table(
    "policy_revisions",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("moved_at", BigInteger, nullable=False),
    Index(None, "moved_at"),
)

# How rows were before a revision changed them, as JSON; NULL where the row was not there.
changes = Table(
    "policy_changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("before", Text),
)
