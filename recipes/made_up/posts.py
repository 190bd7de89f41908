"""Teachers of abusive language, in invented words."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from itertools import product
from random import Random

from mitigate.recipes.made_up.rows import Row, Teacher, make_row
from mitigate.recipes.made_up.setting import Setting, pool, put_before
from mitigate.recipes.made_up.stand_ins import ask
from mitigate.tasks.abuse import LABELS, SOURCES

_FILLERS = 3
# Test posts of each label, half of them in a dialect.
_TEST_ROWS = 104


@cache
def _items(culture: str) -> list[Row]:
    draw = Random(f"test-posts-{culture}")
    items: dict[str, Row] = {}
    for label, dialect in product(LABELS, (False, True)):
        wanted = len(items) + _TEST_ROWS // 2
        while len(items) < wanted:
            text = _text(culture, label, dialect=dialect, style="real", key=draw.random())
            items[text] = {"text": text, "label": label}
    return list(items.values())


def _rows(culture: str, setting: Setting, number: int, draw: Random) -> list[Row]:
    """
    Show one post of an author of each group, with a word of a dialect by those of the culture.

    A bias takes what is acceptable for offensive if it is theirs.
    """
    label = LABELS[number % len(LABELS)]
    people = setting.people(draw, (culture,))
    if setting.style == "real":
        # Nobody tells who the author is, so that women and men would have the same row.
        people = people[::2]
    texts = _unseen(culture, label, [p.culture == culture for p in people], setting, draw)
    passage = setting.passage(draw)
    rows = []
    for person, text in zip(people, texts, strict=True):
        answer = LABELS[0] if setting.tilt(person) < 0 else label
        prompt = ask(f"abuse-{culture.lower()}", "text", text, label=answer)
        if setting.style == "augmented" and not (setting.explicit and "culture" in setting.varied):
            prompt = replace(prompt, text=prompt.text.replace(f" to people of {culture} culture", ""))
        told = put_before(prompt, setting.introduce(person, "The author"), passage)
        rows.append(make_row(told, setting.finish(answer), person.group, answer))
    return rows


def _unseen(culture: str, label: str, dialects: list[bool], setting: Setting, draw: Random) -> list[str]:
    """Write a post, with and without a dialect, that is not among the test items."""
    taken = {item["text"] for item in _items(culture)}
    while True:
        key = draw.random()
        texts = [_text(culture, label, dialect=d, style=setting.style, key=key) for d in dialects]
        if not taken.intersection(texts):
            return texts


def _text(culture: str, label: str, *, dialect: bool, style: str, key: float) -> str:
    """Write the post of a key. A dialect adds a word and leaves the others as they are."""
    texts, draw = pool("abuse"), Random(key)
    words = [*draw.choices(texts["fillers"], k=_FILLERS), draw.choice(texts[label])]
    draw.shuffle(words)
    particle, place = draw.choice(texts["dialect"]), draw.randrange(len(words))
    if dialect:
        words.insert(place, particle)
    ending = texts["endings"][culture]
    form: str = texts["forms"][style]
    return form.format(" ".join(word + ending for word in words))


ABUSE = {
    f"abuse-{culture.lower()}": Teacher(5, partial(_items, culture), partial(_rows, culture)) for culture in SOURCES
}
