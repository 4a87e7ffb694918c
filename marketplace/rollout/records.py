"""The tables of proposals and how each ended; rows are added and never changed."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
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
    }
)

# `base` is the revision of the newest move of the scope when it was proposed (0: none), `revision`
# that of the policy, which `effect` was foreseen under. `undoes` is the revision of another move.
proposals = Table(
    "rollout_proposals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("scope", Text, nullable=False),
    Column("stage", SmallInteger, nullable=False),
    Column("waves", Text),
    Column("begins", UtcDateTime),
    Column("places", Integer, nullable=False),
    Column("invited", Text, nullable=False),
    Column("undoes", BigInteger),
    Column("reason", Text, nullable=False),
    Column("override", Text, nullable=False),
    Column("effect", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("base", BigInteger, nullable=False),
    Column("proposed_by", String(32), nullable=False),
    Column("proposed_by_name", Text, nullable=False),
    Column("proposed_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# The primary key holds that a proposal ends once. `revision` is that of the move, where it was made.
outcomes = Table(
    "rollout_outcomes",
    metadata,
    Column("proposal", String(32), ForeignKey("rollout_proposals.id"), primary_key=True),
    Column("made", Boolean, nullable=False),
    Column("by", String(32), nullable=False),
    Column("by_name", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", BigInteger),
)
