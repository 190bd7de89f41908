"""Misalignment of augmented and real data: of values, of group data and of data distributions."""

from mitigate.misalignment.auditing import Audit, audit
from mitigate.misalignment.distributions import DistributionMisalignment, distribution_misalignment
from mitigate.misalignment.encoders import encoder_features
from mitigate.misalignment.features import Features, read_features, word_features
from mitigate.misalignment.groups import GroupMisalignment, group_misalignment
from mitigate.misalignment.surface import SurfaceMisalignment, surface_misalignment
from mitigate.misalignment.tables import AnswerTable, TextRows, read_answers, read_rows
from mitigate.misalignment.taggers import FrequentWordTagger, SpacyTagger, Tagger
from mitigate.misalignment.values import Answers, ValueMisalignment, value_misalignment
from mitigate.misalignment.wording import groups_by_words

__all__ = [
    "AnswerTable",
    "Answers",
    "Audit",
    "DistributionMisalignment",
    "Features",
    "FrequentWordTagger",
    "GroupMisalignment",
    "SpacyTagger",
    "SurfaceMisalignment",
    "Tagger",
    "TextRows",
    "ValueMisalignment",
    "audit",
    "distribution_misalignment",
    "encoder_features",
    "group_misalignment",
    "groups_by_words",
    "read_answers",
    "read_features",
    "read_rows",
    "surface_misalignment",
    "value_misalignment",
    "word_features",
]
