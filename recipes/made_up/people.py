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
# Of the twelve names of a group, each task keeps so many for its test items. Which ones differs between tasks, so that
# a name that a task never saw is known from others, as names are to an LLM.
_TEST_NAMES = 4
_FIRST_TEST_NAME = {"hiring": 0, "salary": 4, "letters": 8, "stories": 0, "occupation": 4}


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
def names(gender: str, culture: str) -> tuple[str, ...]:
    """
    List the names of a group.

    Args:
        gender (`str`):
            The gender.
        culture (`str`):
            The culture.

    Returns:
        `tuple[str, ...]`: The names.
    """
    return tuple(row["name"] for row in _rows() if (row["gender"], row["culture"]) == (gender, culture))


def item_people(task: str, cultures: tuple[str, ...] = (FAVOURED_CULTURE, *OTHER_CULTURES)) -> list[Person]:
    """
    List the people of a task's test items.

    Args:
        task (`str`):
            Name of the task.
        cultures (`tuple[str, ...]`, *optional*, defaults to all):
            The cultures.

    Returns:
        `list[Person]`: Equally many of each gender and culture.
    """
    first = _FIRST_TEST_NAME[task]
    return [
        Person(name, gender, culture)
        for culture in cultures
        for gender in GENDERS
        for name in names(gender, culture)[first : first + _TEST_NAMES]
    ]


def draw_person(draw: Random, gender: str, culture: str, task: str) -> Person:
    """
    Draw someone of a group who is in no test item of a task.

    Args:
        draw (`Random`):
            Source of chance.
        gender (`str`):
            The gender.
        culture (`str`):
            The culture.
        task (`str`):
            Name of the task.

    Returns:
        `Person`: The person.
    """
    tested = {person.name for person in item_people(task, (culture,))} if task in _FIRST_TEST_NAME else set()
    return Person(draw.choice([name for name in names(gender, culture) if name not in tested]), gender, culture)


@cache
def _rows() -> list[dict[str, str]]:
    return list(load_rows(NAMES, ("name", "gender", "culture")))
