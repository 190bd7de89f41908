"""Misalignment of augmented and real data: of values and of group data."""

from mitigate.misalignment.groups import GroupMisalignment, group_misalignment
from mitigate.misalignment.values import Answers, ValueMisalignment, value_misalignment
from mitigate.misalignment.wording import groups_by_words

__all__ = [
    "Answers",
    "GroupMisalignment",
    "ValueMisalignment",
    "group_misalignment",
    "groups_by_words",
    "value_misalignment",
]
