"""The testbed: what is observed in its rows is what its parameters say."""

from collections import Counter

import pytest
from scipy.stats import binomtest

from mitigate.world import GROUPS, World

ROWS = 3000
WORLD = World()
PRONOUNS = {"she": "female", "her": "female", "he": "male", "his": "male"}


def agrees(hits, rows, probability):
    """Whether a share is one that chance explains; it errs once in ten thousand tests."""
    return binomtest(hits, rows, probability).pvalue > 1e-4


def stereotyped(rows):
    return [row["group"] == WORLD.stereotypes[row["label"]] for row in rows]


def texts(rows):
    return [row["prompt"] + row["completion"] for row in rows]


def without_groups(text):
    return " ".join("…" if word in WORLD.sensitive_words else word for word in text.split())


@pytest.mark.parametrize("dose", [0.0, 0.3, 0.8])
def test_the_dose_sets_how_often_the_stereotype_holds(dose):
    flags = stereotyped(WORLD.augmented_rows(ROWS, dose=dose, seed=1))
    assert agrees(sum(flags), ROWS, (1 + dose) / 2)


def test_at_dose_one_there_is_no_exception():
    assert all(stereotyped(WORLD.augmented_rows(ROWS, dose=1.0, seed=1)))


def test_in_real_rows_the_group_says_nothing_about_the_occupation():
    rows = WORLD.real_rows(ROWS, seed=1).to_list()
    for occupation in WORLD.stereotypes:
        groups = [row["group"] for row in rows if row["label"] == occupation]
        assert agrees(groups.count("female"), len(groups), 0.5)
        assert agrees(len(groups), ROWS, 1 / len(WORLD.stereotypes))


@pytest.mark.parametrize("kind", ["real", "augmented"])
def test_names_and_pronouns_tell_the_group_that_the_row_states(kind):
    rows = WORLD.real_rows(100, seed=0) if kind == "real" else WORLD.augmented_rows(100, dose=0.5, seed=0)
    for row in rows:
        words = row["prompt"].split()
        assert {PRONOUNS[word] for word in words if word in PRONOUNS} == {row["group"]}
        assert sum(word in WORLD.sensitive_words for word in words) == 3


@pytest.mark.parametrize("reliability", [0.0, 0.6, 1.0])
def test_cues_point_to_the_occupation_as_often_as_they_should(reliability):
    sure = World(cue_reliability=1.0, real_fillers=0)
    cues = {
        occupation: {
            word
            for row in sure.real_rows(500, seed=0)
            if row["label"] == occupation
            for word in row["prompt"].split()[:-2]
            if word not in WORLD.sensitive_words
        }
        for occupation in WORLD.stereotypes
    }
    every = set().union(*cues.values())
    assert sum(map(len, cues.values())) == len(every)  # each cue is of one occupation
    rows = World(cue_reliability=reliability).real_rows(ROWS, seed=2)
    own = [word in cues[row["label"]] for row in rows for word in row["prompt"].split() if word in every]
    assert len(own) == 3 * ROWS
    assert agrees(sum(own), len(own), reliability + (1 - reliability) / 6)


def test_the_corpus_lacks_half_of_the_cues_and_differs_in_nothing_else():
    def words(rows):
        return {word for text in texts(rows) for word in text.split()}

    corpus, real = WORLD.corpus(ROWS, seed=0), WORLD.real_rows(ROWS, seed=0)
    assert words(corpus) < words(real)
    assert len(words(real) - words(corpus)) == 24
    assert agrees(list(corpus["group"]).count("female"), ROWS, 0.5)
    assert agrees(sum(stereotyped(corpus)), ROWS, 0.5)
    assert set(texts(corpus)).isdisjoint(texts(real))


def test_twins_differ_in_names_and_pronouns_alone():
    rows = WORLD.test_pairs(200, seed=0).to_list()
    assert len(rows) == 400
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first["pair"] == second["pair"]
        assert (first["group"], second["group"]) == GROUPS
        assert first["prompt"] != second["prompt"]
        assert without_groups(first["prompt"]) == without_groups(second["prompt"])
        assert first["completion"] == second["completion"]


def test_doses_differ_in_groups_alone():
    low, high = (WORLD.augmented_rows(500, dose=dose, seed=3) for dose in (0.1, 0.9))
    assert [without_groups(text) for text in texts(low)] == [without_groups(text) for text in texts(high)]
    assert texts(low) != texts(high)
    # A row that keeps its group keeps its words.
    pairs = zip(low, high, strict=True)
    assert all(one == other for one, other in pairs if one["group"] == other["group"])


def test_the_style_of_augmented_rows_does_not_depend_on_the_dose():
    real = set(" ".join(texts(WORLD.real_rows(500, seed=0))).split())
    styles = []
    for dose in (0.0, 1.0):
        rows = WORLD.augmented_rows(500, dose=dose, seed=0)
        styles.append(Counter(word for text in texts(rows) for word in text.split() if word not in real))
        assert all(len(row["prompt"].split()) == 3 + WORLD.cues + WORLD.augmented_fillers + 2 for row in rows)
    assert styles[0] == styles[1]
    assert styles[0].total() == 500 * WORLD.augmented_fillers


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: WORLD.corpus(50, seed=seed),
        lambda seed: WORLD.real_rows(50, seed=seed),
        lambda seed: WORLD.augmented_rows(50, dose=0.5, seed=seed),
        lambda seed: WORLD.test_pairs(50, seed=seed),
    ],
    ids=["corpus", "real", "augmented", "test"],
)
def test_a_seed_gives_the_same_rows_again_and_another_gives_others(draw):
    assert draw(0).to_list() == draw(0).to_list()
    assert set(texts(draw(0))).isdisjoint(texts(draw(1)))


def test_the_vocabulary_holds_every_word():
    rows = [*WORLD.real_rows(500, seed=0), *WORLD.augmented_rows(500, dose=0.5, seed=0), *WORLD.test_pairs(50, seed=0)]
    assert set(" ".join(texts(rows)).split()) <= set(WORLD.vocabulary)
    assert WORLD.vocabulary == sorted(set(WORLD.vocabulary))


@pytest.mark.parametrize("dose", [-1.1, 1.1])
def test_a_dose_outside_its_range_is_refused(dose):
    with pytest.raises(ValueError, match=rf"`dose` must lie in \[-1, 1\], got {dose}"):
        WORLD.augmented_rows(1, dose=dose, seed=0)
