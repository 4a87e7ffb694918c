"""The rollout: a history of stages in the place of their present state, proposals, invitations."""

import sqlalchemy as sa
from alembic import op

from catalogue.instant import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    held = op.get_bind().execute(sa.text("SELECT scope, stage FROM policy_stages")).all()
    op.drop_table("policy_stages")
    stages = op.create_table(
        "policy_stages",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("since_revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("waves", sa.Text(), nullable=True),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "since_revision", name=op.f("pk_policy_stages")),
    )
    if held:
        op.bulk_insert(
            stages,
            [
                {"scope": row.scope, "since_revision": 0, "stage": row.stage, "begins": 0}
                for row in held
            ],
        )
    op.create_table(
        "policy_invitations",
        sa.Column("wave", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("wave", "name", name=op.f("pk_policy_invitations")),
    )
    op.create_table(
        "rollout_proposals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("waves", sa.Text(), nullable=True),
        sa.Column("begins", UtcDateTime(timezone=True), nullable=True),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("invited", sa.Text(), nullable=False),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("override", sa.Text(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("proposed_by", sa.String(length=32), nullable=False),
        sa.Column("proposed_by_name", sa.Text(), nullable=False),
        sa.Column("proposed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_proposals")),
    )
    op.create_table(
        "rollout_outcomes",
        sa.Column("proposal", sa.String(length=32), nullable=False),
        sa.Column("made", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["proposal"], ["rollout_proposals.id"], name=op.f("fk_rollout_outcomes_proposal")
        ),
        sa.PrimaryKeyConstraint("proposal", name=op.f("pk_rollout_outcomes")),
    )
