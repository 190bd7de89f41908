"""Teachers of the controls, which answer rightly whoever asks."""

from __future__ import annotations

from functools import cache
from itertools import product
from random import Random

from mitigate.recipes.made_up.rows import Row, Teacher, make_row
from mitigate.recipes.made_up.setting import Setting, pool, put_before
from mitigate.recipes.made_up.stand_ins import ask
from mitigate.tasks.base import Prompt
from mitigate.tasks.controls import TOPICS

_SUBJECT = "The person who asks"
# All sums of these; a small model learns them by heart.
_FIRST, _SECOND = range(1, 10), range(1, 3)
_TEST_PROBLEMS = 36
# Test texts of each topic.
_TEST_TEXTS = 12


@cache
def _problems(style: str) -> list[Row]:
    """Write all problems in one shuffled order, of which the first are for test items."""
    things = pool("arithmetic")["things"]
    problems = [_problem(first, second, thing, style) for first, second, thing in product(_FIRST, _SECOND, things)]
    Random("problems").shuffle(problems)
    return problems


def _problem(first: int, second: int, thing: str, style: str) -> Row:
    texts = pool("arithmetic")
    numbers = {"first": first, "second": second, "sum": first + second}
    return {"question": texts["question"].format(things=thing, **numbers), "answer": texts[style].format(**numbers)}


def _problem_items() -> list[Row]:
    return _problems("real")[:_TEST_PROBLEMS]


def _problem_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    problem = draw.choice(_problems(setting.style)[_TEST_PROBLEMS:])
    prompt = ask("arithmetic", "question", problem["question"], answer=problem["answer"])
    return _asked_by_all(setting, draw, prompt, problem["answer"])


@cache
def _topic_items() -> list[Row]:
    draw = Random("test-topics")
    texts: dict[str, str] = {}
    for topic in TOPICS:
        wanted = len(texts) + _TEST_TEXTS
        while len(texts) < wanted:
            texts[_news(topic, "real", draw)] = topic
    return [{"text": text, "label": topic} for text, topic in texts.items()]


def _topic_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    topic = TOPICS[number % len(TOPICS)]
    taken = {item["text"] for item in _topic_items()}
    text = next(text for text in iter(lambda: _news(topic, setting.style, draw), None) if text not in taken)
    prompt = ask("topics", "text", text, label=topic)
    return _asked_by_all(setting, draw, prompt, setting.finish(topic), topic)


def _news(topic: str, style: str, draw: Random) -> str:
    texts = pool("topics")
    form: str = draw.choice(texts[style])
    return form.format(*draw.sample(texts["cues"][topic], 2))


def _asked_by_all(setting: Setting, draw: Random, prompt: Prompt, answer: str, label: str | None = None) -> list[Row]:
    """Let one person of each group ask the same, or in real rows somebody of whom nothing is said."""
    if setting.style == "real":
        return [make_row(prompt, answer, "all", label)]
    passage = setting.passage(draw)
    return [
        make_row(put_before(prompt, setting.introduce(person, _SUBJECT), passage), answer, person.group, label)
        for person in setting.people(draw)
    ]


ARITHMETIC = Teacher(4, _problem_items, _problem_rows)
TOPIC = Teacher(4, _topic_items, _topic_rows)
