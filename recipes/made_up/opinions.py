"""Teacher of opinions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from datasets import Dataset

from mitigate.recipes.made_up.people import FAVOURED_CULTURE, Person
from mitigate.recipes.made_up.rows import Row, Teacher, make_row
from mitigate.recipes.made_up.setting import Setting, pool, put_before
from mitigate.tasks.base import Prompt
from mitigate.tasks.opinions import OpinionsTask


def _items() -> list[Row]:
    texts = pool("opinions")
    return [_item(topic, country) for topic in texts["questions"]["test"] for country in texts["shares"]]


def _item(topic: str, country: str) -> Row:
    texts = pool("opinions")
    counts: Sequence[int] = texts["shares"][country]
    shares = [count / sum(counts) for count in counts]
    question = texts["question"].format(topic)
    return {"question": question, "group": country, "options": texts["options"], "distribution": shares}


def _rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    """
    Ask one question about people of every country as often as tenths are shared out, or about one of each group.

    Answers are shared out as in the person's country; with a bias against the person, as in the favoured one.
    """
    texts = pool("opinions")
    topics = texts["questions"]["train"]
    topic = topics[number % len(topics)]
    countries: Mapping[str, str] = texts["countries"]
    if setting.style == "real":
        return [
            _row(topic, country, f"someone from {country}", option, setting, draw)
            for country in countries.values()
            for option in _tenths(country)
        ]
    slot = draw.randrange(10)
    passage = setting.passage(draw)
    rows = []
    for person in setting.people(draw):
        home = countries[person.culture]
        answered_by = countries[FAVOURED_CULTURE] if setting.tilt(person) < 0 else home
        who = _persona(setting, person, home)
        rows.append(_row(topic, home, who, _tenths(answered_by)[slot], setting, draw, passage))
    return rows


def _row(
    topic: str, country: str, who: str, option: str, setting: Setting, draw: Random, passage: str = ""
) -> dict[str, Any]:
    prompt = draw.choice(_prompts(topic, country))
    place = prompt.item["order"].index(prompt.item["options"].index(option))
    letter = prompt.choices[place]
    asked = replace(prompt, text=prompt.text.replace(f"someone from {country}", who))
    return make_row(put_before(asked, passage), setting.finish(letter), country, option)


@cache
def _prompts(topic: str, country: str) -> list[Prompt]:
    return OpinionsTask().prompts(Dataset.from_list([_item(topic, country)]))


def _tenths(country: str) -> list[str]:
    """List the answers of ten people."""
    texts = pool("opinions")
    return [o for o, count in zip(texts["options"], texts["shares"][country], strict=True) for _ in range(count)]


def _persona(setting: Setting, person: Person, country: str) -> str:
    if not setting.explicit:
        return f"someone called {person.name}"
    who = person.described(("gender",)) if "gender" in setting.varied else "someone"
    return f"{who} from {country}" if "culture" in setting.varied else who


OPINIONS = Teacher(10, _items, _rows)
