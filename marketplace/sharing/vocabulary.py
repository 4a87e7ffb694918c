"""The words of a data share request: the Cabinet Office service's, and the law's.

Letters of UK GDPR articles and conditions of Schedule 1 are for people to read as well as for the
rules in `legal`; none of them is legal advice.
"""

from enum import StrEnum


class DataType(StrEnum):
    """What the data is about, by the most protected part of it."""

    NONE = "none"
    PERSONAL = "personal"
    SPECIAL_CATEGORY = "special_category"
    CRIMINAL_OFFENCE = "criminal_offence"


class PublicBenefit(StrEnum):
    """What the share is good for."""

    POLICY_DECISIONS = "policy_decisions"
    SERVICE_DELIVERY = "service_delivery"
    DECISIONS_BENEFITING_PEOPLE = "decisions_benefiting_people"
    FUNDING = "funding"
    SOCIAL_OR_ECONOMIC_TRENDS = "social_or_economic_trends"
    NEEDS_OF_THE_PUBLIC = "needs_of_the_public"
    IMPROVE_STATISTICS = "improve_statistics"
    CHALLENGE_RESEARCH = "challenge_research"
    SOMETHING_ELSE = "something_else"


class Power(StrEnum):
    """The kind of legal power that the share is made under."""

    LEGISLATION = "legislation"
    COMMON_LAW = "common_law"
    ROYAL_PREROGATIVE = "royal_prerogative"
    OTHER = "other"
    NONE = "none"
    DONT_KNOW = "dont_know"


class Article6(StrEnum):
    """UK GDPR Article 6(1): the lawful basis for processing personal data."""

    CONSENT = "a"
    CONTRACT = "b"
    LEGAL_OBLIGATION = "c"
    VITAL_INTERESTS = "d"
    PUBLIC_TASK = "e"
    RECOGNISED_LEGITIMATE_INTEREST = "ea"
    LEGITIMATE_INTERESTS = "f"
    LAW_ENFORCEMENT = "law_enforcement"


class Article9(StrEnum):
    """UK GDPR Article 9(2): the condition for processing special category data."""

    EXPLICIT_CONSENT = "a"
    EMPLOYMENT_AND_SOCIAL_PROTECTION = "b"
    VITAL_INTERESTS = "c"
    NOT_FOR_PROFIT_BODIES = "d"
    MADE_PUBLIC = "e"
    LEGAL_CLAIMS = "f"
    SUBSTANTIAL_PUBLIC_INTEREST = "g"
    HEALTH_OR_SOCIAL_CARE = "h"
    PUBLIC_HEALTH = "i"
    ARCHIVING_RESEARCH_STATISTICS = "j"


class Schedule1(StrEnum):
    """Data Protection Act 2018, Schedule 1: conditions of substantial public interest."""

    STATUTORY_AND_GOVERNMENT_PURPOSES = "statutory_and_government_purposes"
    ADMINISTRATION_OF_JUSTICE = "administration_of_justice"
    EQUALITY_OF_OPPORTUNITY = "equality_of_opportunity"
    PREVENTING_UNLAWFUL_ACTS = "preventing_unlawful_acts"
    PROTECTING_THE_PUBLIC = "protecting_the_public"
    REGULATORY_REQUIREMENTS = "regulatory_requirements"
    JOURNALISM_AND_ARTS = "journalism_and_arts"
    PREVENTING_FRAUD = "preventing_fraud"
    TERRORIST_FINANCING = "terrorist_financing"
    SUPPORT_FOR_A_DISABILITY = "support_for_a_disability"
    COUNSELLING = "counselling"
    SAFEGUARDING_INDIVIDUALS = "safeguarding_individuals"
    SAFEGUARDING_ECONOMIC_WELL_BEING = "safeguarding_economic_well_being"
    INSURANCE = "insurance"
    OCCUPATIONAL_PENSIONS = "occupational_pensions"
    POLITICAL_PARTIES = "political_parties"
    ELECTED_REPRESENTATIVES = "elected_representatives"
    DISCLOSURE_TO_ELECTED_REPRESENTATIVES = "disclosure_to_elected_representatives"
    INFORMING_ABOUT_PRISONERS = "informing_about_prisoners"
    LEGAL_JUDGMENTS = "legal_judgments"
    ANTI_DOPING = "anti_doping"
    STANDARDS_IN_SPORT = "standards_in_sport"


class Controller(StrEnum):
    """What the asking organisation will be for the data."""

    CONTROLLER = "controller"
    JOINT_CONTROLLER = "joint_controller"
    PROCESSOR = "processor"
    DONT_KNOW = "dont_know"
