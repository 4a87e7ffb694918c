"""The history of the policy: when revisions came to be, and how rows were before them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# What was written before this has no notes: the history begins with the revision of that moment.
_NOW = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
    "postgresql": "CAST(extract(epoch FROM now()) * 1000000 AS BIGINT)",
}


def upgrade() -> None:
    op.create_table(
        "policy_revisions",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_policy_revisions")),
    )
    op.create_index(op.f("ix_policy_revisions_moved_at"), "policy_revisions", ["moved_at"])
    op.create_table(
        "policy_changes",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("revision", "kind", "key", name=op.f("pk_policy_changes")),
    )
    now = _NOW[op.get_bind().dialect.name]
    op.execute(
        "INSERT INTO policy_revisions (number, moved_at) "
        f"SELECT number, {now} FROM policy_revision WHERE number > 0"
    )
