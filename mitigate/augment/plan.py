"""The plan of an augmentation: what is asked for every seed, bias type and group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mitigate.augment.bias_types import ATTRIBUTES, INTERSECTION, BiasType, Group, check_choices, groups_of
from mitigate.augment.prompts import check_task, fill_prompt


@dataclass(frozen=True)
class Seed:
    """
    A row to start from.

    Args:
        id (`str`):
            Its name, which no other seed has.
        text (`str`):
            Its text.
        label (`Any`, *optional*):
            Its label, which the rows made from it have as well.
    """

    id: str
    text: str
    label: Any = None


@dataclass(frozen=True)
class Item:
    """
    A row to be written.

    Args:
        seed (`Seed`):
            The seed.
        bias_type (`BiasType`):
            The bias type.
        group (`Group`):
            The group.
        proxies (`dict[str, str]`):
            The names that stand for the group; empty where it is named.
        arm (`str`):
            `"plain"`, `"aligned-prompt"` or `"aligned-model"`.
        prompt (`str`):
            What is asked.
        frame (`str`):
            The prompt without the passage of the seed: what is ours in it.
        repeat (`int`):
            Which of several texts for the same seed, type and group.
        sample (`int`):
            Which of several requests with the same prompt.
    """

    seed: Seed
    bias_type: BiasType
    group: Group
    proxies: dict[str, str]
    arm: str
    prompt: str
    frame: str
    repeat: int
    sample: int

    @property
    def set_key(self) -> tuple[str, str, str, int]:
        """`tuple`: The same for items that differ in nothing but the group."""
        return (self.seed.id, self.bias_type.name, self.group.attribute, self.repeat)


@dataclass(frozen=True)
class Plan:
    """
    What is asked for every seed.

    Args:
        bias_types (`Sequence[BiasType]`):
            The bias types.
        attributes (`Sequence[str]`):
            Attributes that vary alone: `"gender"`, `"culture"` or both. Intersectional types vary both together.
        genders (`Sequence[str]`):
            The genders, at least two.
        cultures (`Sequence[str]`):
            The cultures, at least two.
        task (`str`):
            What to write; see [`mitigate.augment.prompts.check_task`].
        repeats (`int`, *optional*, defaults to 1):
            Texts for the same seed, type and group.
        arm (`str`, *optional*, defaults to `"plain"`):
            The arm; `"aligned-prompt"` puts an instruction against bias before every prompt.

    Raises:
        ValueError: If something is unknown or empty, or fewer than two groups are left to compare.
    """

    bias_types: Sequence[BiasType]
    attributes: Sequence[str]
    genders: Sequence[str]
    cultures: Sequence[str]
    task: str
    repeats: int = 1
    arm: str = "plain"

    def __post_init__(self) -> None:
        check_task(self.task)
        check_choices("attributes", self.attributes, ATTRIBUTES)
        if self.repeats < 1:
            raise ValueError(f"`repeats` must be at least 1, got {self.repeats}.")
        for bias_type in self.bias_types:
            self.groups(bias_type)

    def groups(self, bias_type: BiasType) -> list[Group]:
        """
        List the groups of a bias type.

        Args:
            bias_type (`BiasType`):
                The bias type.

        Returns:
            `list[Group]`: The groups.
        """
        attributes = self.attributes if bias_type.scope == "single" else [INTERSECTION]
        return [group for attribute in attributes for group in groups_of(attribute, self.genders, self.cultures)]

    def items(self, seeds: Iterable[Seed]) -> list[Item]:
        """
        List the rows to be written.

        Args:
            seeds (`Iterable[Seed]`):
                The seeds.

        Returns:
            `list[Item]`: Seed by seed, so that the items of earlier seeds stay the same when seeds are added.
        """
        asked: Counter[str] = Counter()
        items = []
        for number, seed in enumerate(seeds):
            for bias_type in self.bias_types:
                for group in self.groups(bias_type):
                    for repeat in range(self.repeats):
                        item = self._item(seed, bias_type, group, number + repeat, repeat, asked)
                        items.append(item)
        return items

    def _item(
        self, seed: Seed, bias_type: BiasType, group: Group, number: int, repeat: int, asked: Counter[str]
    ) -> Item:
        def fill(passage: str) -> str:
            return fill_prompt(
                bias_type,
                group,
                task=self.task,
                number=number,
                passage=passage,
                label=seed.label,
                aligned=self.arm == "aligned-prompt",
            )

        prompt, frame = fill(seed.text), fill("")
        asked[prompt] += 1
        proxies = group.proxies(number) if bias_type.signal == "implicit" else {}
        return Item(seed, bias_type, group, proxies, self.arm, prompt, frame, repeat, asked[prompt] - 1)
