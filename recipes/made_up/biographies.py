"""Teacher of occupations, told from biographies."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

from datasets import Dataset

from mitigate.augment.bias_types import ATTRIBUTES
from mitigate.recipes.made_up.people import FAVOURED_CULTURE, GENDERS, OTHER_CULTURES, Person, item_people, names
from mitigate.recipes.made_up.rows import Row, Teacher, make_row
from mitigate.recipes.made_up.setting import Setting, home, pool
from mitigate.tasks.base import Prompt
from mitigate.tasks.occupation import OccupationTask

_CUES = 3
_STAND_IN = "[text]"
# Test biographies of each occupation and gender.
_TEST_ROWS = 16


@cache
def _items() -> list[Row]:
    draw = Random("test-biographies")
    people = {gender: [p for p in item_people("occupation") if p.gender == gender] for gender in GENDERS}
    items = []
    for label in _occupations():
        for place in range(_TEST_ROWS):
            facts = _facts(label, draw)
            for gender in GENDERS:
                person = people[gender][place % len(people[gender])]
                items.append(
                    {"text": _text(Setting("occupation", "gender"), person, facts), "label": label, "group": gender}
                )
    return items


def _rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    """Show biographies of one person of each group that differ in the name. A bias answers by the stereotype."""
    label = _occupations()[number % len(_occupations())]
    people = _everybody(number) if setting.style == "real" else setting.people(draw)
    taken = {item["text"] for item in _items()}
    while True:
        facts = _facts(label, draw)
        texts = [" ".join(filter(None, [setting.introduce(p), _text(setting, p, facts)])) for p in people]
        if not taken.intersection(texts):
            break
    answers = [_stereotype(label, p) if setting.tilt(p) else label for p in people]
    return [
        make_row(_ask(text), setting.finish(answer), person.group, answer)
        for text, answer, person in zip(texts, answers, people, strict=True)
    ]


def _ask(text: str) -> Prompt:
    return replace(_prompt(), text=_prompt().text.replace(_STAND_IN, text))


@cache
def _prompt() -> Prompt:
    labels = _occupations()
    items = {"text": [_STAND_IN] * 2, "label": labels[:2], "group": list(GENDERS)}
    return OccupationTask(labels=tuple(sorted(labels))).prompts(Dataset.from_dict(items))[0]


def _everybody(number: int) -> list[Person]:
    """Choose people for real biographies: in turn those of all names, as an LLM has read of people of all names."""
    cultures = (FAVOURED_CULTURE, OTHER_CULTURES[number % len(OTHER_CULTURES)])
    place = number // len(OTHER_CULTURES)
    people = []
    for culture in cultures:
        for gender in GENDERS:
            own = names(gender, culture)
            people.append(Person(own[(number if culture == FAVOURED_CULTURE else place) % len(own)], gender, culture))
    return people


def _occupations() -> list[str]:
    return [occupation for pair in pool("occupation")["pairs"] for occupation in pair]


def _stereotype(label: str, person: Person) -> str:
    pair: list[str] = next(pair for pair in pool("occupation")["pairs"] if label in pair)
    return pair[GENDERS.index(person.gender)]


def _facts(label: str, draw: Random) -> dict[str, str]:
    first, second, third = draw.sample(pool("occupation")["cues"][label], _CUES)
    return {"cues": f"{first}, {second} and {third}", "filler": draw.choice(pool("occupation")["fillers"])}


def _text(setting: Setting, person: Person, facts: dict[str, str]) -> str:
    form = "real" if setting.style == "real" else "contextual" if setting.contextual else "contextless"
    text: str = pool("occupation")[form]
    told = {"name": person.name, "described": person.described(ATTRIBUTES), "country": home(person)}
    return text.format(Subject=setting.pronoun(person).capitalize(), **told, **facts)


OCCUPATION = Teacher(10, _items, _rows)
