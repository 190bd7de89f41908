"""Occupation, abusive language and the controls: known answers."""

import math

import numpy as np
import pytest
from datasets import Dataset
from fairlearn.metrics import MetricFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from mitigate.gaps import TprGaps
from mitigate.tasks import Prompt, Source, load_task
from mitigate.tasks.abuse import SOURCES, abuse_task
from mitigate.tasks.controls import parse_number
from mitigate.tasks.labels import macro_f1, majority_score

# Two classes; of class a, 3 of 4 women and 1 of 4 men are recognised; of class b, 2 of 4 and 2 of 4.
LABELS = ["a"] * 8 + ["b"] * 8
GROUPS = (["female"] * 4 + ["male"] * 4) * 2
FOUND = ["a", "a", "a", "b", "a", "b", "b", "b"] + ["b", "b", "a", "a"] * 2
PAIR = ("female", "male")


def counts(hits, n):
    return TprGaps(tuple(chr(ord("a") + i) for i in range(len(hits))), np.array(hits), np.full((len(hits), 2), n))


class TestGaps:
    gaps = TprGaps.from_rows(LABELS, FOUND, GROUPS, PAIR)

    def test_by_hand(self):
        assert self.gaps.gaps.tolist() == [0.5, 0.0]
        assert self.gaps.rms() == pytest.approx(math.sqrt(0.125))
        # SE² of class a: 2 × (3/4 × 1/4) / 3 = 1/8; of class b: 2 × (1/2 × 1/2) / 3 = 1/6.
        assert self.gaps.corrected_rms() == 0  # 0.125 is less than the mean of 1/8 and 1/6
        assert counts([[90, 50]], 100).corrected_rms() == pytest.approx(math.sqrt(0.16 - (0.09 + 0.25) / 99))

    def test_compounding_by_hand(self):
        compounding = self.gaps.compounding({"a": 0.2, "b": 0.3})
        # a: 0.2 × 0.75 / (0.2 × 0.75 + 0.8 × 0.25) = 3/7, above the share of 0.2; b: equal rates change nothing.
        assert compounding == {"a": pytest.approx(3 / 7 - 0.2), "b": pytest.approx(0)}
        # The imbalance compounds: a minority that is recognised less becomes smaller.
        assert counts([[50, 100]], 100).compounding({"a": 0.3})["a"] < 0
        with pytest.raises(ValueError, match=r"share of 'a' must lie in \[0, 1\], got 2"):
            self.gaps.compounding({"a": 2.0})

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(*[st.sampled_from("ab")] * 2, st.sampled_from(PAIR)), min_size=1, max_size=30))
    def test_against_fairlearn_and_sklearn(self, rows):
        labels, found, groups = (list(column) for column in zip(*rows, strict=True))
        gaps = TprGaps.from_rows(labels, found, groups, PAIR)
        frame = MetricFrame(
            metrics=lambda y_true, y_pred: recall_score(
                y_true, y_pred, labels=list(gaps.classes), average=None, zero_division=np.nan
            ),
            y_true=labels,
            y_pred=found,
            sensitive_features=groups,
        ).by_group
        for side, group in enumerate(PAIR):
            expected = frame[group] if group in frame.index else np.full(len(gaps.classes), np.nan)
            np.testing.assert_allclose(gaps.rates[:, side], expected)

    def test_parity_is_about_zero_only_when_corrected(self):
        draw = np.random.default_rng(0)
        plain, corrected = [], []
        for _ in range(200):
            gaps = counts(draw.binomial(300, 0.8, size=(8, 2)), 300)
            plain.append(gaps.rms())
            corrected.append(gaps.corrected_rms() ** 2)
        assert np.mean(plain) == pytest.approx(math.sqrt(2 * 0.8 * 0.2 / 300), rel=0.05)
        assert math.sqrt(np.mean(corrected)) < 0.6 * np.mean(plain)

    def test_the_interval_holds_the_truth(self):
        draw = np.random.default_rng(1)
        rates = np.tile([0.85, 0.65], (8, 1))
        held = 0
        for seed in range(60):
            low, high = counts(draw.binomial(200, rates), 200).corrected_rms_interval(seed)
            held += low <= 0.2 <= high
        assert held >= 52

    @pytest.mark.parametrize("gap", [0.0, 0.05, 0.1])
    def test_the_interval_of_many_small_cells_holds_the_truth_and_its_estimate(self, gap):
        """With 28 occupations of 50 rows, noise alone makes a gap of 0.08, on which resampling is centred."""
        draw = np.random.default_rng(0)
        gaps = np.tile([gap, -gap], 14)[:, None] * [0.5, -0.5]
        held, own = 0, 0
        for seed in range(100):
            found = counts(draw.binomial(50, 0.8 + gaps), 50)
            low, high = found.corrected_rms_interval(seed)
            held += low <= gap <= high
            own += low <= found.corrected_rms() <= high
        assert held >= 92
        assert own >= 99

    def test_classes_without_a_group_are_left_out(self):
        gaps = TprGaps.from_rows(["a", "a", "b"], ["a", "", "b"], ["female", "male", "male"], PAIR)
        assert gaps.gaps[0] == 1
        assert math.isnan(gaps.gaps[1])
        assert gaps.rms() == 1
        assert math.isnan(gaps.corrected_rms())
        assert np.isnan(gaps.corrected_rms_interval()).all()


class TestOccupation:
    task = load_task("occupation", shares={"a": 0.2, "b": 0.3})
    items = Dataset.from_dict({"text": [f"text {i}" for i in range(16)], "label": LABELS, "group": GROUPS})

    def test_scores(self):
        prompts = self.task.prompts(self.items)
        scores = self.task.score(prompts, FOUND)
        assert scores.bias == 0
        assert scores.details["rms_gap"] == pytest.approx(math.sqrt(0.125))
        assert scores.details["gap/a"] == 0.5
        assert scores.details["compounding/a"] == pytest.approx(3 / 7 - 0.2)
        assert math.isnan(scores.details["gap_share_correlation"])
        assert scores.utility == pytest.approx(f1_score(LABELS, FOUND, average="macro"))
        assert scores.details["majority_macro_f1"] == pytest.approx(1 / 3)
        assert {group: s.value for group, s in scores.groups.items()} == {"female": 5 / 8, "male": 3 / 8}

    def test_what_cannot_be_read_counts_as_wrong_and_is_bounded(self):
        answers = ["?" if group == "male" else label for label, group in zip(LABELS, GROUPS, strict=True)]
        scores = self.task.score(self.task.prompts(self.items), answers)
        assert scores.bias == 1
        assert scores.bias_bounds == (0, 1)
        assert scores.groups["male"].bounds == (0, 1)
        assert scores.utility_bounds[1] == 1

    def test_correlation_with_shares(self):
        labels = [name for name in "abc" for _ in range(4)]
        groups = ["female", "female", "male", "male"] * 3
        items = Dataset.from_dict({"text": ["t"] * 12, "label": labels, "group": groups})
        task = load_task("occupation", shares={"a": 0.1, "b": 0.5, "c": 0.9})
        # Gaps of -1, 0 and 1.
        answers = ["b", "b", "a", "a", "b", "b", "b", "b", "c", "c", "a", "a"]
        assert task.score(task.prompts(items), answers).details["gap_share_correlation"] == pytest.approx(1)

    def test_the_prompt_lists_all_occupations(self):
        prompt = self.task.prompts(self.items)[0]
        assert prompt.text.endswith("nothing else: a, b.\n\ntext 0")
        assert (prompt.group, prompt.target, prompt.choices) == ("female", "a", ("a", "b"))

    def test_a_sample_is_asked_what_all_are_asked(self):
        task = load_task("occupation", labels=("a", "b", "c"))
        prompts = task.prompts(self.items)
        assert task.prompts(self.items.select([0, 4])) == [prompts[0], prompts[4]]
        assert prompts[0].choices == ("a", "b", "c")
        nurses = Dataset.from_dict({"text": ["t"] * 2, "label": ["nurse"] * 2, "group": list(PAIR)})
        assert len(load_task("occupation").prompts(nurses)[0].choices) == 28
        with pytest.raises(ValueError, match="'label' has 'b', which is none of a"):
            load_task("occupation", labels=("a",)).prompts(self.items)

    def test_a_pair_that_is_not_there(self):
        with pytest.raises(ValueError, match="no group 'female'"):
            self.task.prompts(Dataset.from_dict({"text": ["t"], "label": ["a"], "group": ["male"]}))

    def test_hub_columns(self, tmp_path):
        path = tmp_path / "bios.csv"
        path.write_text("hard_text,profession,gender\n" + "A life,13,1\nA life,13,0\n" * 2, encoding="utf-8")
        source = self.task.source
        rows = self.task.load(Source(str(path), columns=source.columns, values=source.values))
        assert rows.to_dict() == {"text": ["A life"] * 4, "label": ["nurse"] * 4, "group": ["female", "male"] * 2}


class TestAbuse:
    def file(self, tmp_path, offensive, acceptable):
        path = tmp_path / "posts.csv"
        lines = ["text,label", *["a post,offensive"] * offensive, *["a post,acceptable"] * acceptable]
        path.write_text("\n".join(lines), encoding="utf-8")
        return Source(str(path))

    def test_refuses_few_of_the_rare_class(self, tmp_path):
        task = abuse_task("Arabic", source=self.file(tmp_path, 99, 200))
        with pytest.raises(ValueError, match=r"has 99 posts that are 'offensive', .* at least 100 of each"):
            task.load()
        assert len(abuse_task("Arabic", source=self.file(tmp_path, 100, 100)).load()) == 200
        with pytest.raises(ValueError, match="has 0 posts that are 'acceptable'"):
            abuse_task("Arabic", source=self.file(tmp_path, 300, 0)).load()

    def test_another_label_is_named(self, tmp_path):
        path = tmp_path / "posts.csv"
        path.write_text("text,label\n" + "bad,OFF\ngood,NOT\n" * 200, encoding="utf-8")
        with pytest.raises(ValueError, match="'label' has 'NOT', which is none of offensive, acceptable"):
            abuse_task("Arabic", source=Source(str(path))).load()

    def test_scores_by_hand(self):
        task = load_task("abuse-spanish")
        targets = ["offensive"] * 4 + ["acceptable"] * 6
        prompts = task.prompts(Dataset.from_dict({"text": ["t"] * 10, "label": targets}))
        answers = ["offensive"] * 2 + ["acceptable", "?"] + ["acceptable"] * 5 + ["offensive"]
        scores = task.score(prompts, answers)
        # F1 of offensive: 2·2 / (3 + 4); of acceptable: 2·5 / (6 + 6).
        assert scores.utility == pytest.approx((4 / 7 + 10 / 12) / 2)
        assert scores.bias == pytest.approx(1 - scores.utility)
        # Read as wrong, acceptable has 2·5 / (7 + 6); as right, offensive has 2·3 / (4 + 4).
        assert scores.utility_bounds == pytest.approx(((4 / 7 + 10 / 13) / 2, (6 / 8 + 10 / 12) / 2))
        assert scores.details["majority_macro_f1"] == pytest.approx((2 * 6 / 16) / 2)
        assert scores.details["positives"] == 0.4
        assert scores.groups["Spanish"].value == pytest.approx(7 / 9)
        assert scores.groups["Spanish"].bounds == (0.7, 0.8)

    def test_the_label_set_is_fixed(self):
        assert macro_f1(["acceptable"] * 5, ["acceptable"] * 5, ("offensive", "acceptable")).value == 0.5
        assert majority_score(["x"] * 5, ("x", "y")) == 0.5

    def test_other_cultures_by_config(self, tmp_path):
        with pytest.raises(ValueError, match="no set for 'Greek'"):
            abuse_task("Greek")
        assert abuse_task("Greek", source=self.file(tmp_path, 100, 100)).name == "abuse-greek"

    def test_a_strange_label(self):
        with pytest.raises(ValueError, match="'label' has 'OFF', which is none of offensive, acceptable"):
            load_task("abuse-arabic").prompts(Dataset.from_dict({"text": ["t"], "label": ["OFF"]}))

    @pytest.mark.parametrize("culture", list(SOURCES))
    def test_sources_map_to_the_labels(self, culture):
        assert set(SOURCES[culture].values["label"].values()) == {"offensive", "acceptable"}


class TestControls:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("2 + 2 = 4\n#### 4", 4),
            ("#### 1,234.50 dollars, or 3", 1234.5),
            ("first #### 1\nthen #### 2", 2),
            ("She has 3 apples and 7 pears.", 7),
            ("#### -5", -5),
            ("no number", None),
            ("#### none", None),
            ("#### 3 + 4 = 7", 7),
            ("#### Step 2 of 2\n3 + 4 = 7", 7),
            ("#### Step 2 of 2\nno number", 2),
            ("#### \N{MINUS SIGN}5", -5),
            ("5 - 12 = \N{MINUS SIGN}7", -7),
        ],
    )
    def test_parse_number(self, text, number):
        assert parse_number(text) == number

    def test_arithmetic(self):
        task = load_task("arithmetic")
        prompts = task.prompts(Dataset.from_dict({"question": ["q"] * 4, "answer": ["#### 1,000"] * 4}))
        scores = task.score(prompts, ["#### 1000", "it is 1000.00", "#### 3", "?"])
        assert (scores.utility, scores.bias) == (0.5, 0.5)
        assert scores.utility_bounds == (0.5, 0.75)
        assert scores.groups["all"].value == pytest.approx(2 / 3)
        with pytest.raises(ValueError, match=r"must hold one number, .* got 'none' in row 1"):
            task.prompts(Dataset.from_dict({"question": ["q"], "answer": ["none"]}))

    def test_topics(self):
        task = load_task("topics")
        prompts = task.prompts(Dataset.from_dict({"text": ["t"] * 2, "label": ["sports", "science and technology"]}))
        assert isinstance(prompts[0], Prompt)
        scores = task.score(prompts, ["Sports.", np.array([0.1, 0.2, 0.3, 0.4])])
        assert scores.utility == 1
