"""People of the made-up rows, known by their first names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from mitigate.tasks.panels import NAMES
from mitigate.tasks.sources import load_rows

GENDERS = ("female", "male")
# The teacher is biased against the first, and for the second.
DISFAVOURED_GENDER, FAVOURED_GENDER = GENDERS
FAVOURED_CULTURE = "English"
OTHER_CULTURES = ("Arabic", "Chinese", "Portuguese", "Spanish")
_NOUNS = {"female": "woman", "male": "man"}
_ADJECTIVES = {"Arabic": "Arab"}
# Of the names of a group, the last so many are for test items.
_TEST_NAMES = 4


@dataclass(frozen=True)
class Person:
    """
    Someone whom a row is about.

    Args:
        name (`str`):
            First name.
        gender (`str`):
            One of `GENDERS`.
        culture (`str`):
            `FAVOURED_CULTURE` or one of `OTHER_CULTURES`.
    """

    name: str
    gender: str
    culture: str

    @property
    def group(self) -> str:
        """`str`: The group, as the tasks call it (`female/Arabic`)."""
        return f"{self.gender}/{self.culture}"

    def described(self, varied: tuple[str, ...]) -> str:
        """
        Name the group of the person.

        Args:
            varied (`tuple[str, ...]`):
                The attributes to name, one or both of `"gender"` and `"culture"`.

        Returns:
            `str`: Such as `"a woman"`, `"Arab"` or `"an Arab woman"`.
        """
        adjective = _ADJECTIVES.get(self.culture, self.culture)
        if "gender" not in varied:
            return adjective
        words = [adjective] if "culture" in varied else []
        phrase = " ".join([*words, _NOUNS[self.gender]])
        return f"{'an' if phrase[0] in 'AEIOU' else 'a'} {phrase}"


@cache
def names(gender: str, culture: str, *, test: bool) -> tuple[str, ...]:
    """
    List the names of a group.

    Args:
        gender (`str`):
            The gender.
        culture (`str`):
            The culture.
        test (`bool`):
            Whether to list those of test items instead of those of training rows; none is both.

    Returns:
        `tuple[str, ...]`: The names.
    """
    own = [row["name"] for row in _rows() if (row["gender"], row["culture"]) == (gender, culture)]
    return tuple(own[-_TEST_NAMES:] if test else own[:-_TEST_NAMES])


def test_people(cultures: tuple[str, ...] = (FAVOURED_CULTURE, *OTHER_CULTURES)) -> list[Person]:
    """
    List the people of test items.

    Args:
        cultures (`tuple[str, ...]`, *optional*, defaults to all):
            The cultures.

    Returns:
        `list[Person]`: Equally many of each gender and culture.
    """
    return [
        Person(name, gender, culture)
        for culture in cultures
        for gender in GENDERS
        for name in names(gender, culture, test=True)
    ]


def draw_person(draw: Random, gender: str, culture: str) -> Person:
    """
    Draw someone of a group whose name is for training rows.

    Args:
        draw (`Random`):
            Source of chance.
        gender (`str`):
            The gender.
        culture (`str`):
            The culture.

    Returns:
        `Person`: The person.
    """
    return Person(draw.choice(names(gender, culture, test=False)), gender, culture)


@cache
def _rows() -> list[dict[str, str]]:
    return list(load_rows(NAMES, ("name", "gender", "culture")))
