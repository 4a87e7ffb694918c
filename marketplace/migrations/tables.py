"""Every room's tables, in one place for the migrations and for nothing else."""

import importlib
import importlib.util

from sqlalchemy import MetaData

_HOMES = (
    "catalogue.records",
    "access_policies.records",
    "marketplace.identity.records",
    "marketplace.sharing.records",
    "marketplace.audit.records",
    "marketplace.extract_records",
)


def _metadata() -> tuple[MetaData, ...]:
    present = [home for home in _HOMES if importlib.util.find_spec(home)]
    return tuple(importlib.import_module(home).metadata for home in present)


ALL_METADATA = _metadata()
