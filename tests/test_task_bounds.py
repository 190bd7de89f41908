"""What could not be read: the bounds are reached, and nothing that could have been read lies outside."""

import itertools
import math

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.gaps import TprGaps
from mitigate.tasks import Prompt, load_task
from mitigate.tasks.labels import NO_LABEL, macro_f1

LETTER = f"He is confident. {' '.join(['the day went on and the letter grew'] * 5)}."
WORDS = "She came. " + " ".join(["the day went on and the letter grew"] * 5) + "."


def reached(task, prompts, answers, choices):
    """Score all that the answers could have been; `None` stands for one that cannot be read."""
    wanted = [choices(prompt) if answer is None else [answer] for prompt, answer in zip(prompts, answers, strict=True)]
    biases = [task.score(prompts, filled).bias for filled in itertools.product(*wanted)]
    return min(biases), max(biases)


def bounds(task, prompts, answers):
    scores = task.score(prompts, ["?" if answer is None else answer for answer in answers])
    low, high = scores.bias_bounds
    assert math.isnan(scores.bias) or low <= scores.bias <= high
    return low, high


def test_occupation():
    # Ten rows a cell, of which five can be read. One class favours women and the other men, so that filling all of a
    # group alike reaches neither end.
    task = load_task("occupation", labels=("nurse", "pilot"))
    cells = [(label, group) for label in ("nurse", "pilot") for group in ("female", "male")]
    right = {("nurse", "female"), ("pilot", "male")}
    other = {"nurse": "pilot", "pilot": "nurse"}
    rows = [{"text": "t", "label": label, "group": group} for label, group in cells for _ in range(10)]
    prompts = task.prompts(Dataset.from_list(rows))

    def answers(favoured):
        says = [label if (label, group) in right else other[label] for label, group in cells]
        rest = [label if (label, group) in favoured else other[label] for label, group in cells]
        return [own for cell in zip(says, rest, strict=True) for own in [cell[0]] * 5 + [cell[1]] * 5]

    unread = [None if i % 10 >= 5 else answer for i, answer in enumerate(answers(right))]
    even, apart = (task.score(prompts, answers(favoured)).bias for favoured in (set(cells) - right, right))
    assert (even, apart) == (0, 1)
    assert bounds(task, prompts, unread) == (0, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=4))
def test_gaps_of_several_classes(cells):
    hits, missing, wrong = np.moveaxis(np.array(cells).reshape(2, 2, 3), -1, 0)
    gaps = TprGaps(("a", "b"), hits, hits + missing + wrong)
    found = [
        TprGaps(gaps.classes, hits + np.array(more).reshape(2, 2), gaps.counts).corrected_rms()
        for more in itertools.product(*(range(own + 1) for own in missing.ravel()))
    ]
    assert gaps.corrected_rms_bounds(missing) == pytest.approx((min(found), max(found)), nan_ok=True)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(["yes", "no", "both", None]), min_size=6, max_size=6),
    st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any),
)
def test_opinions(answers, shares):
    task = load_task("opinions")
    items = [
        {"question": f"{number}?", "group": "Peru", "options": ["yes", "no", "both"], "distribution": own}
        for number, own in enumerate(np.array([shares, [0, 1, 3]]) / [[sum(shares)], [4]])
    ]
    prompts = task.prompts(Dataset.from_list(items))
    answers = [*answers[:5], "yes"]  # something can be read
    low, high = bounds(task, prompts, answers)
    least, most = reached(task, prompts, answers, lambda prompt: prompt.item["options"])
    plain = task.score(prompts, ["?" if answer is None else answer for answer in answers]).bias
    assert (low, high) == pytest.approx((min(least, plain), max(most, plain)), abs=1e-7)


def test_a_question_that_was_answered_once_is_not_fully_known():
    task = load_task("opinions")
    items = [{"question": "Q?", "group": "Peru", "options": ["yes", "no"], "distribution": [0.5, 0.5]}]
    scores = task.score(task.prompts(Dataset.from_list(items)), ["yes", "?"])
    assert scores.bias_bounds == pytest.approx((0, scores.bias))
    assert scores.bias > 0.5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([LETTER, WORDS, None]), min_size=6, max_size=6))
def test_letters(answers):
    task = load_task("letters", pair=("m", "f"))
    prompts = [Prompt("", group, item={"pair": str(pair)}) for pair in range(3) for group in ("m", "f")]
    low, high = bounds(task, prompts, answers)
    # A letter of no sentence that is agentic, or of no other.
    least, most = reached(task, prompts, answers, lambda _: [WORDS, "Confident " * 40])
    plain = task.score(prompts, ["?" if answer is None else answer for answer in answers]).bias
    assert (low, high) == pytest.approx((np.nanmin([least, plain]), np.nanmax([most, plain])))


def test_abusive_language():
    task = load_task("abuse-spanish")
    labels = ["offensive"] * 3 + ["acceptable"] * 4
    prompts = task.prompts(Dataset.from_dict({"text": ["t"] * 7, "label": labels}))
    answers = ["offensive", None, "acceptable", "acceptable", "offensive", None, None]
    assert bounds(task, prompts, answers) == pytest.approx(
        reached(task, prompts, answers, lambda prompt: prompt.choices)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), min_size=1, max_size=4))
def test_macro_f1_of_any_answers_that_could_not_be_read_lies_in_the_bounds(pairs):
    targets, found = zip(*pairs, strict=True)
    labels = ("a", "b", "c")
    scores = macro_f1(targets, found, labels)
    fills = itertools.product((*labels, NO_LABEL), repeat=found.count(None))
    possible = []
    for fill in fills:
        rest = iter(fill)
        possible.append(macro_f1(targets, [next(rest) if one is None else one for one in found], labels).value)
    assert scores.bounds[0] <= min(possible) + 1e-12
    assert scores.bounds[1] == pytest.approx(max(possible))


def test_an_answer_that_could_not_be_read_takes_from_the_precision_of_the_others():
    scores = macro_f1(["a", "b", "c"], ["a", None, "c"], ("a", "b", "c"))
    assert scores == (pytest.approx(2 / 3), (pytest.approx(4 / 9), 1))


def test_a_bias_of_one_dimension_lies_within_the_bounds_of_all():
    # All that is known of agency are men, so that only communion tells a difference.
    task = load_task("stories")
    end = "Then the day went on and on until the sun was gone and all of them were back home and slept."
    items = {"name": ["Ann", "Bea", "Cyd"], "group": ["f", "f", "m"], "gender": ["female", "female", "male"]}
    answers = [f"Ann was warm. {end}", None, f"Cyd was cold and powerful. {end}"]
    low, high = bounds(task, task.prompts(Dataset.from_dict(items)), answers)
    assert low < 2 == high
