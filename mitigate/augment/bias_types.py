"""The six bias types, read as three axes with two levels each, and the groups that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import yaml

# By axis its two levels. The paper names six bias types and not how they come about; this reading is ours.
AXES: dict[str, tuple[str, str]] = {
    "context": ("contextless", "contextual"),
    "scope": ("single", "intersectional"),
    "signal": ("explicit", "implicit"),
}
ATTRIBUTES = ("gender", "culture")
INTERSECTION = "gender-culture"
UNSTATED = "unstated"
# Of the names for gender alone, so that the culture is held constant.
_CONSTANT_CULTURE = "English"


@dataclass(frozen=True)
class BiasType:
    """
    One of the eight cells of the three axes.

    Args:
        context (`str`):
            `"contextless"`: the prompt holds the group and the task alone; `"contextual"`: and a passage of a seed.
        scope (`str`):
            `"single"`: one attribute varies; `"intersectional"`: two vary together.
        signal (`str`):
            `"explicit"`: the prompt names the group; `"implicit"`: a name stands for it.
    """

    context: str
    scope: str
    signal: str

    @property
    def name(self) -> str:
        """`str`: The three levels, such as `"contextual-single-implicit"`."""
        return f"{self.context}-{self.scope}-{self.signal}"

    @property
    def levels(self) -> tuple[str, str, str]:
        """`tuple[str, str, str]`: The three of the six bias types that it belongs to."""
        return (self.context, self.scope, self.signal)


@dataclass(frozen=True)
class Group:
    """
    A group of people that a prompt is about.

    Args:
        attribute (`str`):
            What varies: `"gender"`, `"culture"`, or `"gender-culture"` for both.
        gender (`str`):
            The gender, or `"unstated"`.
        culture (`str`):
            The culture, or `"unstated"`.
    """

    attribute: str
    gender: str = UNSTATED
    culture: str = UNSTATED

    @property
    def varied(self) -> tuple[str, ...]:
        """`tuple[str, ...]`: The attributes that vary, one or both."""
        return ATTRIBUTES if self.attribute == INTERSECTION else (self.attribute,)

    @property
    def name(self) -> str:
        """`str`: What varies, such as `"woman"`, `"Spanish"` or `"Spanish woman"`."""
        values = {"gender": self.gender, "culture": self.culture, INTERSECTION: f"{self.culture} {self.gender}"}
        return values[self.attribute]

    def proxies(self, number: int) -> dict[str, str]:
        """
        Choose the names that stand for the group.

        Args:
            number (`int`):
                Which ones; beyond the end of a list it starts anew. Groups given the same number have names at the
                same place of their lists.

        Returns:
            `dict[str, str]`: `first_name` where the gender varies, `family_name` where the culture does.
        """
        names: Mapping[str, Sequence[str]] = _read_groups()["culture"][self.stated("implicit")["culture"]]
        chosen = {}
        if "gender" in self.varied:
            chosen["first_name"] = names[self.gender][number % len(names[self.gender])]
        if "culture" in self.varied:
            chosen["family_name"] = names["family"][number % len(names["family"])]
        return chosen

    def stated(self, signal: str) -> dict[str, str]:
        """
        Tell the values of both attributes.

        Args:
            signal (`str`):
                `"explicit"` or `"implicit"`.

        Returns:
            `dict[str, str]`: `gender` and `culture`. Names that tell the gender are all of one culture.
        """
        constant = self.attribute == "gender" and signal == "implicit"
        return {"gender": self.gender, "culture": _CONSTANT_CULTURE if constant else self.culture}


def bias_types(
    contexts: Sequence[str] = AXES["context"],
    scopes: Sequence[str] = AXES["scope"],
    signals: Sequence[str] = AXES["signal"],
) -> list[BiasType]:
    """
    Cross the levels of the three axes.

    Args:
        contexts (`Sequence[str]`, *optional*, defaults to both):
            Levels of the axis `context`.
        scopes (`Sequence[str]`, *optional*, defaults to both):
            Levels of the axis `scope`.
        signals (`Sequence[str]`, *optional*, defaults to both):
            Levels of the axis `signal`.

    Returns:
        `list[BiasType]`: The cells, eight with all levels.

    Raises:
        ValueError: If an axis has no level or none of that name.
    """
    for (axis, known), levels in zip(AXES.items(), (contexts, scopes, signals), strict=True):
        check_choices(f"{axis}s", levels, known)
    return [BiasType(*levels) for levels in product(contexts, scopes, signals)]


def groups_of(attribute: str, genders: Sequence[str], cultures: Sequence[str]) -> list[Group]:
    """
    List the groups that differ in an attribute.

    Args:
        attribute (`str`):
            `"gender"`, `"culture"` or `"gender-culture"`.
        genders (`Sequence[str]`):
            Some of [`available_groups`]`("gender")`.
        cultures (`Sequence[str]`):
            Some of [`available_groups`]`("culture")`.

    Returns:
        `list[Group]`: For `"gender-culture"` every gender of every culture.

    Raises:
        ValueError: If the attribute or a group is unknown, or if fewer than two groups are left to compare.
    """
    check_choices("attributes", [attribute], (*ATTRIBUTES, INTERSECTION))
    for field, groups in (("gender", genders), ("culture", cultures)):
        if field in Group(attribute).varied:
            check_choices(f"{field}s", groups, available_groups(field))
            if len(groups) < 2:
                raise ValueError(f"`{field}s` must hold at least two groups to compare, got {list(groups)}.")
    if attribute == "gender":
        return [Group(attribute, gender=gender) for gender in genders]
    if attribute == "culture":
        return [Group(attribute, culture=culture) for culture in cultures]
    return [Group(attribute, gender, culture) for culture in cultures for gender in genders]


def available_groups(attribute: str) -> tuple[str, ...]:
    """
    List the groups that come with the package.

    Args:
        attribute (`str`):
            `"gender"` or `"culture"`.

    Returns:
        `tuple[str, ...]`: Their names.
    """
    return tuple(_read_groups()[attribute])


def check_choices(field: str, values: Sequence[str], known: Sequence[str]) -> None:
    """
    Refuse what is not to choose from.

    Args:
        field (`str`):
            Name of the field, for the message.
        values (`Sequence[str]`):
            What was chosen.
        known (`Sequence[str]`):
            What there is.

    Raises:
        ValueError: If nothing was chosen, something twice, or something that there is not.
    """
    unknown = [value for value in values if value not in known]
    if unknown:
        raise ValueError(f"`{field}`: '{unknown[0]}' is none of {', '.join(known)}.")
    if not values or len(set(values)) < len(values):
        raise ValueError(
            f"`{field}` must hold at least one of {', '.join(known)}, and none twice, got {list(values)}."
        )


@cache
def _read_groups() -> dict[str, Any]:
    text = resources.files("mitigate.augment").joinpath("prompts", "groups.yaml").read_text(encoding="utf-8")
    groups: dict[str, Any] = yaml.safe_load(text)
    return groups
