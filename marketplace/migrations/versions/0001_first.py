"""The first schema: catalogue, policies, identity, sharing, audit, extracts."""

import sqlalchemy as sa
from alembic import op

from catalogue.instant import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "condemned_objects",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("condemned_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_condemned_objects")),
    )
    op.create_table(
        "datasets",
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("access_rights", sa.String(length=16), nullable=False),
        sa.Column("official_sensitive", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "dataset", name=op.f("pk_datasets")),
    )
    op.create_table(
        "intents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
    )
    op.create_index(
        op.f("ix_intents_state_expires_at"), "intents", ["state", "expires_at"], unique=False
    )
    op.create_table(
        "contracts",
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("table_name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_contracts_version")),
        sa.ForeignKeyConstraint(
            ["organisation", "dataset"],
            ["datasets.organisation", "datasets.dataset"],
            name=op.f("fk_contracts_datasets"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation", "dataset", "table_name", "version", name=op.f("pk_contracts")
        ),
    )
    op.create_table(
        "releases",
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("intent_id", sa.String(length=32), nullable=False),
        sa.Column("published_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("manifest_digest", sa.String(length=64), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_releases_number")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_releases_intents")),
        sa.ForeignKeyConstraint(
            ["organisation", "dataset"],
            ["datasets.organisation", "datasets.dataset"],
            name=op.f("fk_releases_datasets"),
        ),
        sa.PrimaryKeyConstraint("organisation", "dataset", "number", name=op.f("pk_releases")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_releases_intent_id")),
    )
    op.create_table(
        "release_tables",
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("contract_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation", "dataset", "number"],
            ["releases.organisation", "releases.dataset", "releases.number"],
            name=op.f("fk_release_tables_releases"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation", "dataset", "table_name", "contract_version"],
            [
                "contracts.organisation",
                "contracts.dataset",
                "contracts.table_name",
                "contracts.version",
            ],
            name=op.f("fk_release_tables_contracts"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation", "dataset", "number", "table_name", name=op.f("pk_release_tables")
        ),
    )
    op.create_table(
        "release_files",
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation", "dataset", "number", "table_name"],
            [
                "release_tables.organisation",
                "release_tables.dataset",
                "release_tables.number",
                "release_tables.table_name",
            ],
            name=op.f("fk_release_files_release_tables"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation",
            "dataset",
            "number",
            "table_name",
            "position",
            name=op.f("pk_release_files"),
        ),
    )
    op.create_index(op.f("ix_release_files_key"), "release_files", ["key"], unique=False)
    op.create_table(
        "policy_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_revision")),
    )
    op.create_table(
        "policy_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("nbf", sa.BigInteger(), nullable=False),
        sa.Column("exp", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("grant", sa.Text(), nullable=False),
        sa.Column("obligations", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_rules")),
    )
    op.create_index(
        op.f("ix_policy_rules_dataset_subject_action"),
        "policy_rules",
        ["dataset", "subject", "action"],
        unique=False,
    )
    op.create_index(op.f("ix_policy_rules_grant"), "policy_rules", ["grant"], unique=False)
    op.create_index(
        op.f("ix_policy_rules_subject_action_dataset"),
        "policy_rules",
        ["subject", "action", "dataset"],
        unique=False,
    )
    op.create_table(
        "policy_stages",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_policy_stages")),
    )
    op.create_table(
        "organisations",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("audience", sa.SmallInteger(), nullable=False),
        sa.Column("place", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_organisations")),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.name"], name=op.f("fk_people_organisation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("email", name=op.f("uq_people_email")),
    )
    op.create_table(
        "projects",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("organisation", sa.String(length=63), nullable=False),
        sa.Column("audience", sa.SmallInteger(), nullable=False),
        sa.Column("accredited_until", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.name"], name=op.f("fk_projects_organisation")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projects")),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("person", sa.String(length=32), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_memberships_person")),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.name"], name=op.f("fk_memberships_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
    )
    op.create_index(
        op.f("ix_memberships_project_person"), "memberships", ["project", "person"], unique=False
    )
    op.create_table(
        "secondments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=32), nullable=False),
        sa.Column("host_organisation", sa.String(length=63), nullable=True),
        sa.Column("host_project", sa.String(length=63), nullable=True),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.CheckConstraint(
            "(host_organisation IS NULL) <> (host_project IS NULL)",
            name=op.f("ck_secondments_one_host"),
        ),
        sa.ForeignKeyConstraint(
            ["host_organisation"],
            ["organisations.name"],
            name=op.f("fk_secondments_host_organisation"),
        ),
        sa.ForeignKeyConstraint(
            ["host_project"], ["projects.name"], name=op.f("fk_secondments_host_project")
        ),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_secondments_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_secondments")),
    )
    op.create_index(op.f("ix_secondments_person"), "secondments", ["person"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=True),
        sa.Column("organisation", sa.String(length=63), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(project IS NULL) <> (role IS NULL)", name=op.f("ck_tokens_project_or_role")
        ),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisations.name"], name=op.f("fk_tokens_organisation")
        ),
        sa.ForeignKeyConstraint(["person"], ["people.id"], name=op.f("fk_tokens_person")),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name=op.f("fk_tokens_project")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index(op.f("ix_tokens_person"), "tokens", ["person"], unique=False)
    op.create_table(
        "share_requests",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=127), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("draft", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(length=32), nullable=False),
        sa.Column("asked_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share_requests")),
    )
    op.create_index(op.f("ix_share_requests_dataset"), "share_requests", ["dataset"], unique=False)
    op.create_index(op.f("ix_share_requests_project"), "share_requests", ["project"], unique=False)
    op.create_table(
        "standing_offers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("dataset", sa.String(length=127), nullable=False),
        sa.Column("audience", sa.SmallInteger(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("made_by", sa.String(length=32), nullable=False),
        sa.Column("made_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing_offers")),
    )
    op.create_index(
        op.f("ix_standing_offers_dataset"), "standing_offers", ["dataset"], unique=False
    )
    op.create_table(
        "agreements",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("request", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=127), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("ends_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.String(length=32), nullable=False),
        sa.Column("made_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_as", sa.String(length=16), nullable=True),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["request"], ["share_requests.id"], name=op.f("fk_agreements_request")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreements")),
    )
    op.create_index(
        "one_agreement_in_force",
        "agreements",
        ["project", "dataset"],
        unique=True,
        sqlite_where=sa.text("ended_as IS NULL"),
        postgresql_where=sa.text("ended_as IS NULL"),
    )
    op.create_table(
        "share_request_moves",
        sa.Column("request", sa.String(length=32), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("before", sa.String(length=16), nullable=False),
        sa.Column("after", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"], ["share_requests.id"], name=op.f("fk_share_request_moves_request")
        ),
        sa.PrimaryKeyConstraint("request", "ordinal", name=op.f("pk_share_request_moves")),
    )
    op.create_table(
        "audit_bodies",
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_bodies")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("recorded_at", sa.String(length=27), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(
        op.f("ix_audit_entries_recorded_at"), "audit_entries", ["recorded_at"], unique=False
    )
    op.create_table(
        "audit_erasures",
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("erasure_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_erasures")),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_leaves",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_leaves")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_leaves_entry_id")),
    )
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name=op.f("pk_audit_nodes")),
    )
    op.create_table(
        "audit_pending",
        sa.Column(
            "ordinal",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("ordinal", name=op.f("pk_audit_pending")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_pending_entry_id")),
    )
    op.create_table(
        "extracts",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("built_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
