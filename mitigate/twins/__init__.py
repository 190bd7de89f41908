"""Counterfactual twins: the same text about the other group."""

from mitigate.twins.counterfactuals import PAIR_COLUMN, UNPAIRED, pair_with_twins
from mitigate.twins.making import TwinReport, make_twins
from mitigate.twins.nationalities import nationality_words
from mitigate.twins.pronoun_roles import SpacyRoles, roles_by_rule
from mitigate.twins.stereotypes import mark_stereotyped
from mitigate.twins.swaps import WordSwapper, in_case_of
from mitigate.twins.words import TwinWords, gender_words, read_twin_words

__all__ = [
    "PAIR_COLUMN",
    "UNPAIRED",
    "SpacyRoles",
    "TwinReport",
    "TwinWords",
    "WordSwapper",
    "gender_words",
    "in_case_of",
    "make_twins",
    "mark_stereotyped",
    "nationality_words",
    "pair_with_twins",
    "read_twin_words",
    "roles_by_rule",
]
