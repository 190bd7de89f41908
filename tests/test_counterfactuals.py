"""Counterfactual augmentation: as many rows, each beside its twin of the other group if it has one."""

from collections import Counter

import pytest
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.dose import group_label_association
from mitigate.twins import pair_with_twins
from mitigate.world import World

WORLD = World()
TWINLESS = "the hostess waits"


def rows(texts, labels=None):
    return Dataset.from_dict({"text": texts, "label": labels or ["x"] * len(texts)})


def paired(data, **options):
    return pair_with_twins(data, columns=["text"], **{"seed": 0, **options})


class TestPairs:
    @settings(max_examples=30, deadline=None)
    @given(
        kinds=st.lists(st.sampled_from(["she", "he", "none"]), max_size=20),
        seed=st.integers(0, 2**31),
    )
    def test_there_are_as_many_rows_and_those_without_a_twin_are_all_there(self, kinds, seed):
        texts = [
            f"{kind} rests {number}" if kind != "none" else f"{TWINLESS} {number}" for number, kind in enumerate(kinds)
        ]
        data = Dataset.from_dict({"text": texts}) if texts else rows(["she"]).select([]).select_columns(["text"])
        result, report = paired(data, seed=seed)
        assert len(result) == len(texts)
        assert [text for text in result["text"] if TWINLESS in text] == [text for text in texts if TWINLESS in text]
        pairs = Counter(result["pair"])
        able = sum(kind != "none" for kind in kinds)
        assert report.accepted == able
        assert pairs.pop(-1, 0) == len(texts) - able + able % 2
        assert set(pairs.values()) <= {2}

    def test_each_row_is_followed_by_its_twin_in_the_order_of_the_rows(self):
        result, _ = paired(rows(["she flies", "he rests", TWINLESS, "she sings", "he runs"]))
        texts, numbers = list(result["text"]), list(result["pair"])
        other = {"she": "he", "he": "she"}
        for place, number in enumerate(numbers):
            if number != -1 and numbers[place - 1] == number:
                pronoun, verb = texts[place - 1].split()
                assert texts[place] == f"{other[pronoun]} {verb}"
        assert [number for number in numbers if number != -1] == sorted(number for number in numbers if number != -1)

    def test_twins_have_the_label_and_all_other_columns_of_their_row(self):
        data = rows(["she flies", "he rests"], ["pilot", "nurse"]).add_column("augmented", [True, True])
        result, _ = paired(data)
        assert len(set(result["label"])) == len(set(result["pair"])) == 1
        assert result.column_names == ["text", "label", "augmented", "pair"]
        assert result.features["augmented"] == data.features["augmented"]

    def test_half_of_each_label_is_kept(self):
        labels = [f"label {number % 3}" for number in range(60)]
        texts = [f"she rests {number}" for number in range(60)]
        for seed in range(5):
            assert set(Counter(paired(rows(texts, labels), label="label", seed=seed).rows["label"]).values()) == {20}

    def test_classes_of_a_label_stay_classes(self):
        data = rows(["she flies", "he rests"]).cast_column("label", ClassLabel(names=["x", "y"]))
        assert paired(data, label="label").rows.features["label"] == ClassLabel(names=["x", "y"])

    def test_both_groups_of_a_row_change_places(self):
        result, _ = paired(rows(["she calls him"] * 2))
        assert list(result["text"]) == ["she calls him", "he calls her"]

    def test_the_draw_depends_on_the_seed_alone(self):
        data = rows([f"she rests {number}" for number in range(30)])
        first, again, other = (list(paired(data, seed=seed).rows["text"]) for seed in (0, 0, 1))
        assert first == again != other


class TestWorld:
    def test_twins_are_rows_of_the_world_about_the_other_group(self):
        data = WORLD.augmented_rows(40, dose=1.0, seed=0)
        result, report = pair_with_twins(data, WORLD.twin_words, seed=0, label="label")
        assert report.rejected == {}
        assert set(" ".join([*result["prompt"], *result["completion"]]).split()) <= set(WORLD.vocabulary)
        assert [WORLD.group_of(text) for text in result["prompt"]] == list(result["group"])

    def test_the_bias_of_augmented_rows_is_gone(self):
        data = WORLD.augmented_rows(40, dose=1.0, seed=0)
        result = pair_with_twins(data, WORLD.twin_words, seed=0, label="label").rows
        before, after = (group_label_association(d["group"], d["label"], WORLD.stereotypes) for d in (data, result))
        assert before == 1
        assert after == 0


class TestRefusals:
    @pytest.mark.parametrize("column", ["pair", "twin"])
    def test_columns_of_its_own(self, column):
        with pytest.raises(ValueError, match=f"'?`?{column}'?`?"):
            paired(rows(["she flies"]).rename_column("label", column))

    def test_groups_that_are_no_texts(self):
        with pytest.raises(ValueError, match=r"`group` must hold texts.*Convert it"):
            paired(rows(["she flies"]).add_column("group", [1]))
