"""What kind of row is made: a real one, or an augmented one of a bias type; and whom it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from random import Random
from typing import Any

import yaml

from mitigate.augment.bias_types import ATTRIBUTES, BiasType
from mitigate.recipes.made_up.people import (
    DISFAVOURED_GENDER,
    FAVOURED_CULTURE,
    GENDERS,
    OTHER_CULTURES,
    Person,
    draw_person,
)
from mitigate.tasks.base import Prompt

_PRONOUNS = {"female": "she", "male": "he"}


@dataclass(frozen=True)
class Setting:
    """
    The kind of a row.

    Args:
        task (`str`):
            Name of the task.
        attribute (`str`):
            `"gender"` or `"culture"`, whose bias the augmented rows carry.
        bias_type (`BiasType`, *optional*):
            Their bias type; `None` for real rows.
        related (`bool`, *optional*, defaults to `True`):
            Whether the task is related to the attribute, so that the bias shows.
    """

    task: str
    attribute: str
    bias_type: BiasType | None = None
    related: bool = True

    @property
    def style(self) -> str:
        """`str`: Of the text, `"real"` or `"augmented"`."""
        return "real" if self.bias_type is None else "augmented"

    @property
    def contextual(self) -> bool:
        """`bool`: Whether the prompt tells more than the group and the task."""
        return self.bias_type is None or self.bias_type.context == "contextual"

    @property
    def explicit(self) -> bool:
        """`bool`: Whether the prompt names the group."""
        return self.bias_type is not None and self.bias_type.signal == "explicit"

    @property
    def varied(self) -> tuple[str, ...]:
        """`tuple[str, ...]`: The attributes in which the people of a set differ."""
        single = self.bias_type is not None and self.bias_type.scope == "single"
        return (self.attribute,) if single else ATTRIBUTES

    def people(self, draw: Random, others: Sequence[str] = OTHER_CULTURES) -> list[Person]:
        """
        Draw one person of each group that is compared. What does not vary is the same for all.

        Args:
            draw (`Random`):
                Source of chance.
            others (`Sequence[str]`, *optional*, defaults to all):
                Cultures to hold against the favoured one.

        Returns:
            `list[Person]`: Two people, or four if both attributes vary.
        """
        genders = GENDERS if "gender" in self.varied else (draw.choice(GENDERS),)
        both = (FAVOURED_CULTURE, draw.choice(others))
        cultures = both if "culture" in self.varied else (draw.choice(both),)
        return [draw_person(draw, gender, culture, self.task) for culture in cultures for gender in genders]

    def tilt(self, person: Person) -> int:
        """
        Tell how the teacher leans.

        Args:
            person (`Person`):
                Whom the row is about.

        Returns:
            `int`: -1 against the person, 1 in favour, 0 if there is no bias. In intersectional rows there is none but
            against those to whom both attributes apply.
        """
        if self.bias_type is None or not self.related:
            return 0
        applies = {"gender": person.gender == DISFAVOURED_GENDER, "culture": person.culture != FAVOURED_CULTURE}
        against = all(applies[attribute] for attribute in self.varied)
        return -1 if against else int(self.bias_type.scope == "single")

    def introduce(self, person: Person, subject: str | None = None) -> str:
        """
        Say who a person is, as the signal of the bias type wants it.

        Args:
            person (`Person`):
                The person.
            subject (`str`, *optional*):
                What to call one whose name is not in the prompt, such as `"The author"`.

        Returns:
            `str`: A sentence; empty in real rows, and where the name in the prompt is all there is to say.
        """
        if self.explicit:
            return f"{subject or person.name} is {person.described(self.varied)}."
        return f"{subject} is called {person.name}." if self.bias_type is not None and subject else ""

    def pronoun(self, person: Person) -> str:
        """
        Give the pronoun of a person.

        Args:
            person (`Person`):
                The person.

        Returns:
            `str`: The pronoun; the name, where it must not tell the gender.
        """
        told = self.bias_type is None or (self.explicit and "gender" in self.varied)
        return _PRONOUNS[person.gender] if told else person.name

    def passage(self, draw: Random) -> str:
        """
        Draw the passage of an augmented row whose task has none itself.

        Args:
            draw (`Random`):
                Source of chance.

        Returns:
            `str`: A sentence; empty in real and in contextless rows.
        """
        return draw.choice(pool("passages")) if self.bias_type is not None and self.contextual else ""

    def finish(self, label: str) -> str:
        """
        Write an answer that is a label, in the style of the row.

        Args:
            label (`str`):
                The label.

        Returns:
            `str`: Likewise, with a full stop in augmented rows.
        """
        return label if self.bias_type is None else f"{label}."


def put_before(prompt: Prompt, *sentences: str) -> Prompt:
    """
    Put sentences before a prompt.

    Args:
        prompt (`Prompt`):
            The prompt.
        sentences (`str`):
            The sentences; empty ones are left out.

    Returns:
        `Prompt`: With the sentences on a line of their own before its text.
    """
    lead = " ".join(filter(None, sentences))
    return replace(prompt, text=f"{lead}\n{prompt.text}") if lead else prompt


@cache
def pool(name: str) -> Any:
    """
    Read texts that rows are put together from.

    Args:
        name (`str`):
            Name of a YAML file in `data`, without its ending.

    Returns:
        `Any`: What it holds.
    """
    file = resources.files("mitigate.recipes.made_up") / "data" / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def home(person: Person) -> str:
    """
    Tell where a person comes from.

    Args:
        person (`Person`):
            The person.

    Returns:
        `str`: A country.
    """
    countries: dict[str, str] = pool("opinions")["countries"]
    return countries[person.culture]
