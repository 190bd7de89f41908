"""Augmentation: rows written by an LLM from seed rows, in six bias types."""

from mitigate.augment.bias_types import BiasType, Group, available_groups, bias_types
from mitigate.augment.checks import TextLimits
from mitigate.augment.endpoint import EndpointGenerator
from mitigate.augment.generators import Answer, Decoding, Failure, GenerationStopped, Generator, Request
from mitigate.augment.journal import Journal, JournalError
from mitigate.augment.local import LocalGenerator
from mitigate.augment.plan import Item, Plan, Seed
from mitigate.augment.prompts import default_task
from mitigate.augment.rows import Rows, ask, make_rows

__all__ = [
    "Answer",
    "BiasType",
    "Decoding",
    "EndpointGenerator",
    "Failure",
    "GenerationStopped",
    "Generator",
    "Group",
    "Item",
    "Journal",
    "JournalError",
    "LocalGenerator",
    "Plan",
    "Request",
    "Rows",
    "Seed",
    "TextLimits",
    "ask",
    "available_groups",
    "bias_types",
    "default_task",
    "make_rows",
]
