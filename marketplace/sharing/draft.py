"""What a project writes when it asks, and what an owner writes when they approve."""

from datetime import date

import msgspec

from access_policies.decision import LimitResult, OutputTier
from access_policies.scope import TableScope
from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from marketplace.sharing.vocabulary import (
    Article6,
    Article9,
    Controller,
    DataType,
    Power,
    PublicBenefit,
    Schedule1,
)

ALL_COLUMNS = "*"


class RequestDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A data share request as the asker fills it in. Rules in `legal` say what may be left out.

    `tables` names what is asked: columns by name, or `*` for all that the contract has today;
    places by name or code. Without tables, every table of the newest release with all columns and
    rows. `named_people` are e-mail addresses or identifiers of members; without any, every member
    of the project. `last_day` ends at the next midnight in London. `gateway` is a code of
    `gateways`. `reviewed_by_*` name the person who looked at that part.
    """

    dataset: DatasetAddress
    tables: tuple[TableScope, ...] = ()
    actions: tuple[Action, ...] = (Action.QUERY, Action.DOWNLOAD)
    last_day: date
    named_people: tuple[str, ...] = ()

    data_type: DataType
    data_subjects: str = ""
    aims: str
    how_data_helps: str = ""
    benefits: tuple[PublicBenefit, ...] = ()
    benefit_explained: str = ""
    other_organisations: tuple[str, ...] = ()
    impact_if_not_given: str = ""
    needed_by: date | None = None

    power: Power = Power.DONT_KNOW
    power_named: str = ""
    gateway: str = ""
    reviewed_by_lawyer: str = ""

    article_6: Article6 | None = None
    article_9: Article9 | None = None
    schedule_1: Schedule1 | None = None
    leaves_uk: bool = False
    countries: tuple[str, ...] = ()
    controller: Controller | None = None
    dpia_reference: str = ""
    reviewed_by_data_protection: str = ""

    deletion: str = ""
    reviewed_by_security: str = ""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An owner's yes: as asked, or narrower, never wider.

    Without `scope` or `last_day`, as asked. In a scope `*` means all columns asked of that table.
    `most_rows` and `most_bytes` are the most that one result may have; without, there is no such
    limit, whatever an earlier agreement had.
    """

    scope: tuple[TableScope, ...] | None = None
    last_day: date | None = None
    reason: str
    output_tier: OutputTier = OutputTier.ROWS
    most_rows: int | None = None
    most_bytes: int | None = None

    @property
    def result_limit(self) -> LimitResult | None:
        """The limits of one result, if there are any."""
        if self.most_rows is None and self.most_bytes is None:
            return None
        return LimitResult(rows=self.most_rows, bytes=self.most_bytes)
