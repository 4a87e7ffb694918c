"""The last days of memberships and secondments as they were entered, whatever ended them sooner."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for table in ("memberships", "secondments"):
        op.add_column(table, sa.Column("entered_last_day", sa.Date(), nullable=True))
        # What was ended sooner before this is taken as it stands.
        op.execute(f"UPDATE {table} SET entered_last_day = last_day")
