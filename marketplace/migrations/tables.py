"""Every room's tables in one place: what the migrations must add up to."""

from sqlalchemy import MetaData

from access_policies import records as policies
from catalogue import records as catalogue
from marketplace import extract_records as extracts
from marketplace.audit import records as audit
from marketplace.identity import records as identity
from marketplace.rollout import records as rollout
from marketplace.sharing import records as sharing

ALL_METADATA: tuple[MetaData, ...] = (
    catalogue.metadata,
    policies.metadata,
    identity.metadata,
    sharing.metadata,
    rollout.metadata,
    audit.metadata,
    extracts.metadata,
)
