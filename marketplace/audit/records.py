"""The audit log's tables: what was said, where it stands in the tree, and what may be erased."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# `document` is the leaf's content, kept as the very text that is hashed. `recorded_at` and `kind`
# repeat two of its fields, as written there, so that entries can be found by them.
entries = Table(
    "audit_entries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("document", Text, nullable=False),
    Index(None, "recorded_at"),
)

# The personal values and their salts. Deleting a row erases them; the document keeps commitments.
bodies = Table(
    "audit_bodies",
    metadata,
    Column("entry_id", String(32), primary_key=True),
    Column("body", Text, nullable=False),
)

erasures = Table(
    "audit_erasures",
    metadata,
    Column("entry_id", String(32), primary_key=True),
    Column("erasure_id", String(32), nullable=False),
)

# Entries that are durable but have no place yet, in the order in which they were written.
pending = Table(
    "audit_pending",
    metadata,
    Column(
        "ordinal",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("entry_id", String(32), nullable=False, unique=True),
)

leaves = Table(
    "audit_leaves",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String(32), nullable=False, unique=True),
    Column("hash", LargeBinary(32), nullable=False),
)

# The roots of complete subtrees: level 1 is over two leaves, level 2 over four ...
nodes = Table(
    "audit_nodes",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)

checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)

# One row. Whoever holds its lock is the sequencer.
head = Table(
    "audit_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
)
