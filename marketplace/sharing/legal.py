"""The rules on a request that a machine can check, each with the sentence that it gives.

A finding that refuses stops the request; one that does not is a flag that the owner sees beside it.
The rules are a tuple to be read from top to bottom. None of them says that a share is lawful.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date

import msgspec

from access_policies.rules import DATA_ACTIONS
from access_policies.vocabulary import Audience
from catalogue.table_schema import Sensitivity, TableSchema
from marketplace.identity.projects import Project
from marketplace.sharing.draft import RequestDraft
from marketplace.sharing.gateways import gateways
from marketplace.sharing.vocabulary import (
    Article6,
    Article9,
    Controller,
    DataType,
    Power,
    PublicBenefit,
)

_LATEST = date(2100, 1, 1)
_NAMED_POWERS = frozenset({Power.LEGISLATION, Power.COMMON_LAW, Power.ROYAL_PREROGATIVE})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule found, in a sentence for the asker; a flag where it does not refuse."""

    sentence: str
    refuses: bool = True


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at. `contracts` are the tables asked for, `today` is London's."""

    draft: RequestDraft
    project: Project
    contracts: Mapping[str, TableSchema]
    today: date


Rule = Callable[[Case], Iterator[Finding]]


def check(case: Case) -> tuple[Finding, ...]:
    """Everything that the rules find, refusals and flags, in the order of the form."""
    return tuple(finding for rule in RULES for finding in rule(case))


def purpose_is_told(case: Case) -> Iterator[Finding]:
    """The owner decides on the aims, so there must be some."""
    draft = case.draft
    if not draft.aims.strip():
        yield Finding(sentence="Say what the project aims at with this data.")
    if PublicBenefit.SOMETHING_ELSE in draft.benefits and not draft.benefit_explained.strip():
        yield Finding(sentence="The benefit is something else: say which.")


def actions_are_uses_of_data(case: Case) -> Iterator[Finding]:
    """An agreement lets rows out; what else there is to do goes with a role."""
    if not case.draft.actions or not DATA_ACTIONS.issuperset(case.draft.actions):
        uses = ", ".join(sorted(DATA_ACTIONS))
        yield Finding(sentence=f"What can be asked for is {uses}.")


def last_day_is_to_come(case: Case) -> Iterator[Finding]:
    """Every agreement ends."""
    if case.draft.last_day < case.today:
        yield Finding(sentence="The last day has passed already.")
    if case.draft.last_day > _LATEST:
        yield Finding(sentence="Give a last day in this century.")


def columns_fit_the_data_type(case: Case) -> Iterator[Finding]:
    """What the publisher classified as personal is not asked for as something less."""
    least = {
        Sensitivity.PERSONAL: (DataType.NONE,),
        Sensitivity.SPECIAL_CATEGORY: (DataType.NONE, DataType.PERSONAL),
    }
    for table, schema in case.contracts.items():
        for column in schema.columns:
            if case.draft.data_type in least.get(column.sensitivity, ()):
                yield Finding(
                    sentence=f'The column "{column.name}" of {table} is classified as '
                    f"{_words(column.sensitivity)}, but the request says that the data type is "
                    f"{_words(case.draft.data_type)}. Leave the column out or say so."
                )


def power_is_known(case: Case) -> Iterator[Finding]:
    """ "Don't know" is an answer for a draft only."""
    draft = case.draft
    if draft.power is Power.DONT_KNOW:
        yield Finding(
            sentence="Say under which legal power the data is shared; "
            '"don\'t know" cannot be submitted. Ask a lawyer of your organisation.'
        )
    if draft.gateway and draft.gateway not in gateways():
        yield Finding(
            sentence=f"{draft.gateway[:40]!r} is no gateway that the marketplace knows. "
            f"Known are: {', '.join(sorted(gateways()))}."
        )
    if draft.power is Power.LEGISLATION and not (draft.power_named.strip() or draft.gateway):
        yield Finding(sentence="The power is legislation: name the gateway, or Act and section.")


def lawful_basis_is_given(case: Case) -> Iterator[Finding]:
    """Personal data needs an Article 6 basis, and a public task a power that is named."""
    draft = case.draft
    if draft.data_type is not DataType.NONE and draft.article_6 is None:
        yield Finding(sentence="Personal data needs a lawful basis under UK GDPR Article 6.")
    named = draft.power in _NAMED_POWERS and bool(draft.power_named.strip() or draft.gateway)
    if draft.article_6 is Article6.PUBLIC_TASK and not named:
        yield Finding(
            sentence="A public task (Article 6(1)(e)) needs a named power: say which Act and "
            "section, or which common law or prerogative power, lays the task on you."
        )
    public_body = case.project.audience <= Audience.LOCAL_GOVERNMENT
    if draft.article_6 is Article6.LEGITIMATE_INTERESTS and public_body:
        yield Finding(
            sentence="A public authority cannot rely on legitimate interests (Article 6(1)(f)) "
            "for its tasks; the owner is asked to look at this.",
            refuses=False,
        )


def special_category_has_its_condition(case: Case) -> Iterator[Finding]:
    """Special category data needs an Article 9 condition, and (g) one of Schedule 1."""
    draft = case.draft
    if draft.data_type is DataType.SPECIAL_CATEGORY and draft.article_9 is None:
        yield Finding(
            sentence="Special category data needs a condition under UK GDPR Article 9(2)."
        )
    if draft.article_9 is Article9.SUBSTANTIAL_PUBLIC_INTEREST and draft.schedule_1 is None:
        yield Finding(
            sentence="Substantial public interest (Article 9(2)(g)) needs a condition of "
            "Schedule 1 to the Data Protection Act 2018."
        )


def controller_is_known(case: Case) -> Iterator[Finding]:
    """ "Don't know" cannot be submitted here either."""
    draft = case.draft
    if draft.controller is Controller.DONT_KNOW:
        yield Finding(
            sentence="Say whether your organisation will be controller, joint controller or "
            'processor; "don\'t know" cannot be submitted.'
        )
    if draft.data_type is not DataType.NONE and draft.controller is None:
        yield Finding(
            sentence="For personal data say whether your organisation will be controller, joint "
            "controller or processor."
        )


def countries_are_named(case: Case) -> Iterator[Finding]:
    """Data that leaves the UK goes somewhere."""
    if case.draft.leaves_uk and not any(country.strip() for country in case.draft.countries):
        yield Finding(sentence="The data leaves the UK: name the countries that it goes to.")
    if case.draft.countries and not case.draft.leaves_uk:
        yield Finding(sentence="Countries are named, but the data is said to stay in the UK.")


def research_is_accredited(case: Case) -> Iterator[Finding]:
    """A researcher's project is accredited to the last day of what it asks for."""
    if case.project.audience is not Audience.RESEARCHER:
        return
    until = case.project.accredited_until
    if until is None:
        yield Finding(sentence=f"The research project {case.project.name} is not accredited.")
    elif until < case.draft.last_day:
        yield Finding(
            sentence=f"The accreditation of {case.project.name} ends on {until:%d %B %Y}, before "
            "the last day asked for."
        )


RULES: tuple[Rule, ...] = (
    purpose_is_told,
    actions_are_uses_of_data,
    last_day_is_to_come,
    columns_fit_the_data_type,
    power_is_known,
    lawful_basis_is_given,
    special_category_has_its_condition,
    controller_is_known,
    countries_are_named,
    research_is_accredited,
)


def _words(value: Sensitivity | DataType) -> str:
    return value.value.replace("_", " ")
