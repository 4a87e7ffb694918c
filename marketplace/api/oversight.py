"""Who can read a dataset, what a person can read, and who gained or lost what."""

from typing import Annotated

from litestar import get
from litestar.params import FromQuery, QueryParameter

from access_policies import sentences
from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from catalogue.places import Places
from marketplace.api.call import Given
from marketplace.bootstrap import Marketplace
from marketplace.identity.principal import Principal
from marketplace.oversight import words
from marketplace.oversight.access import Access
from marketplace.oversight.changes import Change
from marketplace.oversight.oversight import Told
from marketplace.wire import (
    AccessChange,
    AccessChanges,
    AccessDescription,
    AccessOverview,
    PersonNamed,
    ReaderDescription,
)

_TAGS = ["Oversee"]
_OVERSEE = {"action": Action.AUDIT}

_Person = Annotated[
    str | None,
    QueryParameter(
        description="For owners, operators and auditors: another person, by e-mail address."
    ),
]
_Dataset = Annotated[str | None, QueryParameter(description="Only this dataset.")]
_Until = Annotated[
    str | None,
    QueryParameter(description="A policy revision, a day or a moment; now, unless said."),
]


@get("/who", opt=_OVERSEE, sync_to_thread=True, tags=_TAGS)
def list_readers(
    dataset: FromQuery[str], principal: Given[Principal], marketplace: Given[Marketplace]
) -> AccessOverview:
    """List everybody who can read a dataset, by what, in which scope and until when."""
    told = marketplace.oversight.who(principal, DatasetAddress.parse(dataset))
    return _overview(told, marketplace.places)


@get("/what", opt={"action": Action.DISCOVER}, sync_to_thread=True, tags=_TAGS)
def list_readable(
    principal: Given[Principal], marketplace: Given[Marketplace], person: _Person = None
) -> AccessOverview:
    """List what the caller, or another person, can read in each capacity of theirs."""
    return _overview(marketplace.oversight.what(principal, person), marketplace.places)


@get("/changes", opt=_OVERSEE, sync_to_thread=True, tags=_TAGS)
def list_changes(
    since: FromQuery[str],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
    until: _Until = None,
    dataset: _Dataset = None,
) -> AccessChanges:
    """List who gained and who lost what since a policy revision, a day or a moment."""
    about = None if dataset is None else DatasetAddress.parse(dataset)
    told = marketplace.oversight.changes(principal, since, until, about)
    return AccessChanges(
        since_revision=told.since.revision,
        since=told.since.moment,
        until_revision=told.until.revision,
        until=told.until.moment,
        changes=tuple(_change(change) for change in told.found),
    )


def _overview(told: Told[Access], places: Places) -> AccessOverview:
    return AccessOverview(
        revision=told.at.revision,
        at=told.at.moment,
        access=tuple(_access(access, places) for access in told.found),
    )


def _access(access: Access, places: Places) -> AccessDescription:
    return AccessDescription(
        dataset=access.dataset,
        acting=str(access.post),
        by=sentences.grant(access.rule),
        grant=access.rule.grant,
        actions=tuple(action.value for action in access.actions),
        what=words.of_obligations(access.obligations, places),
        until=access.until,
        suspended_by=access.suspended_by,
        people=tuple(
            ReaderDescription(
                name=reader.person.name,
                email=reader.person.email,
                organisation=reader.person.organisation,
                until=reader.until,
            )
            for reader in access.readers
        ),
    )


def _change(change: Change) -> AccessChange:
    before, after = change.before, change.after
    return AccessChange(
        turn=change.turn.value,
        dataset=change.dataset,
        acting=str(change.post),
        actions=tuple(action.value for action in change.actions),
        before=sentences.grant(before) if before is not None else "",
        after=sentences.grant(after) if after is not None else "",
        because=words.because(change),
        people=tuple(
            PersonNamed(name=person.name, email=person.email, organisation=person.organisation)
            for person in change.people
        ),
    )
