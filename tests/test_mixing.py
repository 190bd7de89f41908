"""The training mix: exact bias ratios, no row lost or doubled, and arms that differ in what they say they do."""

import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from datasets import ClassLabel, Dataset
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import Trainer, TrainingArguments

from mitigate.arms import ARMS, allocate, arm_counts, draw_mix, equal_steps
from mitigate.mixing import bias_counts, mix


def rows(name, count, labels=("x",)):
    texts = [f"{name} {i}" for i in range(count)]
    return Dataset.from_dict({"text": texts, "label": [labels[i % len(labels)] for i in range(count)]})


def drawn(mixed):
    """Texts of the real and of the augmented rows of a mix."""
    sides = {False: [], True: []}
    for row in mixed:
        sides[row["augmented"]].append(row["text"])
    return sides[False], sides[True]


class TestCounts:
    @given(total=st.integers(1, 10**6), ratio=st.floats(0, 1, exclude_max=True))
    def test_the_bias_ratio_is_exact_to_half_a_row_and_the_mix_keeps_its_size(self, total, ratio):
        real, augmented = bias_counts(total, ratio)
        assert real + augmented == total
        assert 0 <= augmented <= total
        assert abs(augmented - ratio * total) <= 0.5

    @given(total=st.integers(1, 10**4), percent=st.integers(0, 99))
    def test_a_bias_ratio_that_divides_the_rows_is_met(self, total, percent):
        assert bias_counts(100 * total, percent / 100) == ((100 - percent) * total, percent * total)

    @pytest.mark.parametrize("ratio", [1.0, 1.5, -0.1, float("nan")])
    def test_a_bias_ratio_outside_its_range_is_refused(self, ratio):
        with pytest.raises(ValueError, match=rf"bias ratio must lie in \[0, 1\), got {ratio}.*a mix needs real rows"):
            bias_counts(10, ratio)

    def test_largest_remainders_by_hand(self):
        # Hamilton's method on 100 votes for 10 seats: 4.7, 1.6, 1.58, 1.2, 0.61, 0.31.
        quotas = torch.tensor([4.7, 1.6, 1.58, 1.2, 0.61, 0.31]).numpy()
        assert allocate(10, quotas).tolist() == [5, 2, 1, 1, 1, 0]


class TestMix:
    @settings(max_examples=20, deadline=None)
    @given(real=st.integers(1, 30), augmented=st.integers(0, 30), seed=st.integers(0, 2**31))
    def test_no_row_is_lost_or_doubled_and_each_is_marked_as_what_it_is(self, real, augmented, seed):
        mixed = mix(rows("real", real), rows("augmented", augmented), seed=seed)
        assert sorted(mixed["text"]) == sorted([*rows("real", real)["text"], *rows("augmented", augmented)["text"]])
        assert all(row["augmented"] is row["text"].startswith("augmented") for row in mixed)

    def test_the_order_depends_on_the_seed_alone(self):
        first, again, other = (list(mix(rows("r", 20), rows("a", 20), seed=seed)["text"]) for seed in (0, 0, 1))
        assert first == again != other
        assert first != sorted(first)

    def test_the_column_can_have_another_name(self):
        assert mix(rows("r", 1), rows("a", 1), seed=0, column="synthetic").column_names[-1] == "synthetic"

    def test_a_column_is_not_written_over(self):
        with pytest.raises(ValueError, match=r"`label` is a column of the rows already.*remove_columns\('label'\)"):
            mix(rows("r", 1), rows("a", 1), seed=0, column="label")

    def test_rows_with_other_columns_are_refused(self):
        with pytest.raises(ValueError, match=r"same columns, got \['label', 'text'\] and \['label', 'prompt'\]"):
            mix(rows("r", 2), rows("a", 2).rename_column("text", "prompt"), seed=0)

    def test_columns_of_other_types_are_refused(self):
        with pytest.raises(
            ValueError, match=r"`label` must be of one type, but is Value\('string'\) in real and Value\('int64'\)"
        ):
            mix(rows("r", 2), rows("a", 2, labels=(1,)), seed=0)


class TestArms:
    def draw(self, arm, ratio=0.25, total=80, seed=0, label="label", labels=("x", "y", "z")):
        real, augmented = rows("real", 200, labels), rows("augmented", 200, labels)
        return draw_mix(real, augmented, rows=total, bias_ratio=ratio, seed=seed, arm=arm, label=label)

    @pytest.mark.parametrize(
        ("arm", "counts"), [("replace", (60, 20)), ("add", (80, 27)), ("drop", (60, 0)), ("repeat", (80, 0))]
    )
    def test_sizes_by_hand(self, arm, counts):
        real, augmented = drawn(self.draw(arm))
        assert (len(real), len(augmented)) == counts
        assert arm_counts(80, 0.25, arm) == (len(set(real)), len(augmented), len(real) + len(augmented))

    def test_at_a_bias_ratio_of_0_all_arms_are_the_same(self):
        first, *others = (list(self.draw(arm, ratio=0.0)) for arm in ARMS)
        assert all(other == first for other in others)

    def test_the_real_rows_of_three_arms_are_the_same(self):
        real = sorted(drawn(self.draw("replace"))[0])
        assert sorted(drawn(self.draw("drop"))[0]) == real
        repeats = Counter(drawn(self.draw("repeat"))[0])
        assert sorted(repeats) == real
        assert set(repeats.values()) == {1, 2}

    def test_real_rows_at_a_higher_ratio_are_among_those_at_a_lower_one(self):
        one_label = [self.draw("replace", ratio, label=None) for ratio in (0.1, 0.5, 0.9)]
        most, half, least = (set(drawn(mixed)[0]) for mixed in one_label)
        assert least < half < most

    @settings(max_examples=40, deadline=None)
    @given(
        arm=st.sampled_from(ARMS),
        ratio=st.floats(0, 0.6),
        total=st.integers(6, 60),
        seed=st.integers(0, 2**31),
        sizes=st.lists(st.integers(60, 90), min_size=1, max_size=4),
    )
    def test_every_arm_is_exact(self, arm, ratio, total, seed, sizes):
        # Of each label a real row must be left to repeat.
        assume(arm != "repeat" or bias_counts(total, ratio)[0] >= 2 * len(sizes))
        labels = [str(label) for label, size in enumerate(sizes) for _ in range(size)]
        real = Dataset.from_dict({"text": [f"real {i}" for i in range(len(labels))], "label": labels})
        augmented = rows("augmented", 100 * len(sizes), [str(label) for label in range(len(sizes))])
        mixed = draw_mix(real, augmented, rows=total, bias_ratio=ratio, seed=seed, arm=arm, label="label")
        own, written = drawn(mixed)
        wanted = {"replace": total, "add": total + len(written), "drop": total - bias_counts(total, ratio)[1]}
        assert len(mixed) == wanted.get(arm, total)
        if arm == "add":
            assert len(own) == total
        if arm != "repeat":
            assert len({*own, *written}) == len(mixed)
        assert all(text.startswith("real") for text in own) and all(text.startswith("augmented") for text in written)
        if arm in ("replace", "add"):
            assert abs(len(written) - ratio * len(mixed)) <= 0.5
            of_label = Counter(mixed["label"])
            of_written = Counter(row["label"] for row in mixed if row["augmented"])
            assert all(abs(of_written[label] - ratio * count) < 1 + 1e-9 for label, count in of_label.items())

    def test_labels_have_the_shares_of_the_real_rows(self):
        real, augmented = rows("real", 90, ("x", "x", "y")), rows("augmented", 90, ("x", "y", "y"))
        mixed = draw_mix(real, augmented, rows=30, bias_ratio=0.5, seed=0, label="label")
        counts = Counter(zip(mixed["label"], mixed["augmented"], strict=True))
        assert counts == {("x", False): 10, ("x", True): 10, ("y", False): 5, ("y", True): 5}

    def test_the_draw_depends_on_the_seed_and_not_on_the_hash_seed(self):
        program = (
            "from datasets import Dataset\nfrom mitigate.arms import draw_mix\n"
            "d = Dataset.from_dict({'text': list('abcdefghij'), 'label': list('xyxyxyxyxy')})\n"
            "texts = list(draw_mix(d, d, rows=8, bias_ratio=0.5, seed=3, label='label')['text'])"
        )
        here: dict = {}
        exec(program, here)
        elsewhere = subprocess.run(
            [sys.executable, "-c", f"{program}; print(texts)"],
            env={**os.environ, "PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert elsewhere.strip() == str(here["texts"])
        assert list(self.draw("replace", seed=0)["text"]) != list(self.draw("replace", seed=1)["text"])

    def test_a_view_of_shuffled_rows_is_read_in_its_own_order(self):
        real, augmented = (
            rows("real", 40, ("x", "y")).shuffle(seed=1),
            rows("augmented", 40, ("x", "y")).shuffle(seed=2),
        )
        mixed = draw_mix(real, augmented, rows=40, bias_ratio=0.5, seed=0, label="label")
        assert all((int(row["text"].split()[1]) % 2 == 0) == (row["label"] == "x") for row in mixed)


class TestErrors:
    @pytest.mark.parametrize(("arm", "largest"), [("replace", 0.3), ("add", 0.2307)])
    def test_too_few_augmented_rows_tell_the_largest_ratio_that_can_be_had(self, arm, largest):
        real, augmented = rows("r", 200), rows("a", 30)
        with pytest.raises(
            ValueError,
            match=rf"ratio of 0.5 with `rows=100` needs \d+ augmented .* there are 30.*possible is {largest};",
        ):
            draw_mix(real, augmented, rows=100, bias_ratio=0.5, seed=0, arm=arm)
        assert sum(draw_mix(real, augmented, rows=100, bias_ratio=largest, seed=0, arm=arm)["augmented"]) == 30
        with pytest.raises(ValueError, match="needs 31 augmented rows"):
            draw_mix(real, augmented, rows=100, bias_ratio=largest + 0.0075, seed=0, arm=arm)

    @settings(max_examples=30, deadline=None)
    @given(sizes=st.lists(st.integers(1, 20), min_size=2, max_size=4), arm=st.sampled_from(["replace", "add"]))
    def test_the_ratio_that_an_error_names_can_be_had(self, sizes, arm):
        names = [str(i) for i in range(len(sizes))]
        real = rows("r", 100 * len(sizes), names)
        labels = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
        augmented = Dataset.from_dict({"text": labels, "label": labels})
        options = {"rows": 80 * len(sizes), "seed": 0, "arm": arm, "label": "label"}
        with pytest.raises(ValueError, match="largest bias ratio possible") as error:
            draw_mix(real, augmented, bias_ratio=0.9, **options)
        named = float(str(error.value).split("possible is ")[1].split(";")[0])
        assert sum(draw_mix(real, augmented, bias_ratio=named, **options)["augmented"]) > 0

    def test_too_few_real_rows(self):
        with pytest.raises(
            ValueError, match=r"`rows=100` needs 90 real rows of all rows, and there are 50. Lower `rows`"
        ):
            draw_mix(rows("r", 50), rows("a", 50), rows=100, bias_ratio=0.1, seed=0)
        with pytest.raises(ValueError, match="no real rows to draw from"):
            draw_mix(rows("r", 0), rows("a", 50), rows=10, bias_ratio=0.1, seed=0)

    def test_a_label_that_one_side_lacks(self):
        with pytest.raises(ValueError, match=r"no augmented row of label=y, but 10 real ones.*add augmented ones"):
            draw_mix(rows("r", 20, "xy"), rows("a", 20, "x"), rows=10, bias_ratio=0.5, seed=0, label="label")
        with pytest.raises(ValueError, match="no real row of label=y, but 10 augmented ones"):
            draw_mix(rows("r", 20, "x"), rows("a", 20, "xy"), rows=10, bias_ratio=0.5, seed=0, label="label")

    def test_rows_without_a_label_and_a_label_that_is_no_column(self):
        without = Dataset.from_dict({"text": ["a", "b"], "label": ["x", None]})
        with pytest.raises(ValueError, match="`label` has no value in 1 of the 2 real rows"):
            draw_mix(without, rows("a", 2), rows=2, bias_ratio=0.5, seed=0, label="label")
        with pytest.raises(ValueError, match=r"`topic` is not a column of the real rows \(columns: text, label\)"):
            draw_mix(rows("r", 2), rows("a", 2), rows=2, bias_ratio=0.5, seed=0, label="topic")

    def test_classes_that_are_numbered_otherwise(self):
        first, other = (
            Dataset.from_dict({"label": [0, 1]}).cast_column("label", ClassLabel(names=names))
            for names in (["nurse", "pilot"], ["pilot", "nurse"])
        )
        with pytest.raises(ValueError, match=r"classes \['nurse', 'pilot'\] in real.*align_labels_with_mapping"):
            draw_mix(first, other, rows=2, bias_ratio=0.5, seed=0, label="label")
        with pytest.raises(ValueError, match="needs 2 real rows of label=nurse, and there are 1"):
            draw_mix(first, first, rows=3, bias_ratio=0, seed=0, label="label")

    def test_labels_that_are_lists(self):
        lists = Dataset.from_dict({"label": [["x"], ["y"]]})
        with pytest.raises(ValueError, match="`label` must hold texts, numbers or booleans"):
            draw_mix(lists, lists, rows=2, bias_ratio=0.5, seed=0, label="label")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"arm": "mixed"}, "`arm` must be one of replace, add, drop, repeat, got 'mixed'"),
            ({"seed": -1}, "`seed` must be a whole number in"),
            ({"seed": 0.5}, "`seed` must be a whole number in.*got 0.5"),
            ({"rows": 0}, "`rows` must be a whole number of at least 1, got 0"),
            ({"rows": 50.0}, "`rows` must be a whole number of at least 1, got 50.0"),
            ({"bias_ratio": "0.3"}, r"must lie in \[0, 1\), got '0.3'"),
            ({"bias_ratio": 1.0}, r"must lie in \[0, 1\), got 1.0"),
            ({"rows": 1, "bias_ratio": 0.9}, "0.9 leaves no real row of `rows=1`"),
        ],
    )
    def test_arguments_out_of_range(self, options, message):
        with pytest.raises(ValueError, match=message):
            draw_mix(rows("r", 20), rows("a", 20), **{"rows": 10, "bias_ratio": 0.5, "seed": 0, **options})

    def test_no_augmented_rows(self):
        with pytest.raises(ValueError, match="There are no augmented rows to draw from"):
            draw_mix(rows("r", 20), rows("a", 0), rows=10, bias_ratio=0.5, seed=0)

    def test_a_label_of_which_nothing_real_is_left_cannot_be_repeated(self):
        with pytest.raises(ValueError, match="no real row of label=y is left to repeat"):
            draw_mix(
                rows("r", 20, "xxxy"),
                rows("a", 20, "xy"),
                rows=4,
                bias_ratio=0.75,
                seed=0,
                arm="repeat",
                label="label",
            )


class TestSteps:
    @pytest.mark.parametrize(("accumulation", "epochs"), [(1, 1.0), (3, 2.0), (2, 1.5)])
    def test_as_many_steps_as_the_trainer_makes_of_itself_and_in_every_arm(self, tmp_path, accumulation, epochs):
        def steps(arm, **options):
            mixed = draw_mix(real, real, rows=26, bias_ratio=0.5, seed=0, arm=arm)
            train_dataset = [{"x": torch.ones(1)} for _ in mixed]
            batches = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": accumulation}
            quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True}
            settings = TrainingArguments(str(tmp_path), **batches, **quiet, **options)
            trainer = Trainer(Mean(), settings, train_dataset=train_dataset)
            trainer.train()
            return trainer.state.global_step

        class Mean(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.zeros(1))

            def forward(self, x):
                return {"loss": ((x - self.weight) ** 2).mean()}

        real = rows("r", 26)
        wanted = steps("replace", num_train_epochs=epochs)
        assert equal_steps(26, rows_per_step=4 * accumulation, epochs=epochs) == wanted
        assert {steps(arm, max_steps=wanted) for arm in ARMS} == {wanted}

    def test_arguments_out_of_range(self):
        with pytest.raises(ValueError, match="`rows_per_step` must be above 0, got 0"):
            equal_steps(10, rows_per_step=0)
