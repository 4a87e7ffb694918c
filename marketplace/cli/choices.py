"""The words that options choose from, so that `--help` lists them and another word is told at once.

They are the words of `marketplace.sharing.vocabulary` and of the policies, written out here because
the client is installed without the service. "Don't know" is left out: it cannot be submitted.
"""

from typing import Literal

AudienceWord = Literal["government", "local_government", "researcher", "business", "public"]

ActionWord = Literal[
    "dataset:discover",
    "dataset:read_metadata",
    "dataset:read_schema",
    "dataset:preview",
    "dataset:query",
    "dataset:download",
    "dataset:publish",
    "agreement:request",
    "agreement:decide",
    "audit:read",
    "organisation:administer",
    "marketplace:administer",
]

StaffRoleWord = Literal["publisher", "owner", "deputy"]

HandlingWord = Literal["none", "hmg_use_only"]

ClassificationWord = Literal["OFFICIAL", "SECRET", "TOP_SECRET"]

DataTypeWord = Literal["none", "personal", "special_category", "criminal_offence"]

PowerWord = Literal["legislation", "common_law", "royal_prerogative", "other", "none"]

Article6Word = Literal["a", "b", "c", "d", "e", "ea", "f", "law_enforcement"]

Article9Word = Literal["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]

Schedule1Word = Literal[
    "statutory_and_government_purposes",
    "administration_of_justice",
    "equality_of_opportunity",
    "preventing_unlawful_acts",
    "protecting_the_public",
    "regulatory_requirements",
    "journalism_and_arts",
    "preventing_fraud",
    "terrorist_financing",
    "support_for_a_disability",
    "counselling",
    "safeguarding_individuals",
    "safeguarding_economic_well_being",
    "insurance",
    "occupational_pensions",
    "political_parties",
    "elected_representatives",
    "disclosure_to_elected_representatives",
    "informing_about_prisoners",
    "legal_judgments",
    "anti_doping",
    "standards_in_sport",
]

ControllerWord = Literal["controller", "joint_controller", "processor"]
