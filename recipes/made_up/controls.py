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
_DIGITS = range(1, 10)
# Test texts of each topic.
_TEST_TEXTS = 12


def _is_test_sum(first: int, second: int) -> bool:
    # The sum with the numbers exchanged is for training, so that there is a way to learn it.
    return first > second and (first + second) % 3 == 0


def _problem(first: int, second: int, thing: str, style: str) -> Row:
    texts = pool("arithmetic")
    numbers = {"first": first, "second": second, "sum": first + second}
    return {"question": texts["question"].format(things=thing, **numbers), "answer": texts[style].format(**numbers)}


def _problem_items() -> list[Row]:
    sums = [pair for pair in product(_DIGITS, _DIGITS) if _is_test_sum(*pair)]
    return [_problem(*pair, thing, "real") for pair in sums for thing in pool("arithmetic")["things"][:3]]


def _problem_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    sums = [pair for pair in product(_DIGITS, _DIGITS) if not _is_test_sum(*pair)]
    problem = _problem(*draw.choice(sums), draw.choice(pool("arithmetic")["things"]), setting.style)
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
