"""Appointments, handling, stops, extensions; seeing columns and first rows as actions of their own."""

from datetime import date
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from catalogue.instant import UtcDateTime
from marketplace.clock import LONDON

revision = "0003"
down_revision = "0001"

# Whoever could read about a dataset saw its columns, and whoever may query it may see its first rows.
_ALSO_ALLOWED = {
    "dataset:read_metadata": "dataset:read_schema",
    "dataset:query": "dataset:preview",
}

_TOKENS = sa.table(
    "tokens",
    sa.column("person"),
    sa.column("role"),
    sa.column("organisation"),
    sa.column("created_at", UtcDateTime),
)
_APPOINTMENTS = sa.table(
    "appointments",
    sa.column("id"),
    sa.column("person"),
    sa.column("role"),
    sa.column("organisation"),
    sa.column("first_day", sa.Date),
)


def upgrade() -> None:
    op.create_table(
        "appointments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("organisation", sa.String(length=63), nullable=True),
        sa.Column("in_place_of", sa.String(length=32), nullable=True),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "(role = 'deputy') = (in_place_of IS NOT NULL)",
            name=op.f("ck_appointments_deputy_of_one"),
        ),
        sa.ForeignKeyConstraint(
            ["in_place_of"], ["people.id"], name=op.f("fk_appointments_in_place_of")
        ),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.name"], name=op.f("fk_appointments_organisation")
        ),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_appointments_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appointments")),
    )
    op.create_index(op.f("ix_appointments_organisation"), "appointments", ["organisation"])
    op.create_index(op.f("ix_appointments_person"), "appointments", ["person"])
    op.create_table(
        "stops",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("authority", sa.String(length=16), nullable=False),
        sa.Column("dataset", sa.String(length=127), nullable=False),
        sa.Column("audience", sa.SmallInteger(), nullable=True),
        sa.Column("organisation", sa.String(length=63), nullable=True),
        sa.Column("project", sa.String(length=63), nullable=True),
        sa.Column("person", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(length=32), nullable=False),
        sa.Column("made_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_by", sa.String(length=32), nullable=True),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stops")),
    )
    op.create_index(op.f("ix_stops_dataset"), "stops", ["dataset"])
    op.create_table(
        "agreement_extensions",
        sa.Column("agreement", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("before", sa.Date(), nullable=False),
        sa.Column("after", sa.Date(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agreement"], ["agreements.id"], name=op.f("fk_agreement_extensions_agreement")
        ),
        sa.PrimaryKeyConstraint("agreement", "number", name=op.f("pk_agreement_extensions")),
    )
    op.add_column(
        "datasets",
        sa.Column("handling", sa.String(length=16), server_default="none", nullable=False),
    )
    connection = op.get_bind()
    _name_holders_of_tokens(connection)
    _allow_what_was_one_action(connection)


def _name_holders_of_tokens(connection: sa.Connection) -> None:
    """Whoever was given a token for a role holds that role, until somebody ends it."""
    first_days: dict[tuple[str, str, str | None], date] = {}
    for person, role, organisation, created_at in connection.execute(sa.select(*_TOKENS.c)):
        if role is not None:
            holder, day = (person, role, organisation), created_at.astimezone(LONDON).date()
            first_days[holder] = min(day, first_days.get(holder, day))
    for (person, role, organisation), day in first_days.items():
        values = {"id": uuid4().hex, "person": person, "role": role, "first_day": day}
        connection.execute(
            sa.insert(_APPOINTMENTS).values(values | {"organisation": organisation})
        )


def _allow_what_was_one_action(connection: sa.Connection) -> None:
    rules = sa.Table("policy_rules", sa.MetaData(), autoload_with=connection)
    for before, also in _ALSO_ALLOWED.items():
        changed = {
            "id": sa.func.replace(rules.c.id, before, also, type_=sa.Text()),
            "action": sa.literal(also),
        }
        names = [column.name for column in rules.c]
        allowed = sa.select(*(changed.get(name, rules.c[name]) for name in names)).where(
            rules.c.action == before, rules.c.effect == "allow"
        )
        connection.execute(sa.insert(rules).from_select(names, allowed))
