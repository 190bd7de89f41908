"""The audit as a function, its findings in words, and its page."""

import io
import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from mitigate.intervals import Interval
from mitigate.misalignment import Answers, AnswerTable, Features, TextRows, audit
from mitigate.misalignment.groups import group_misalignment, within_label
from mitigate.report.audit import findings, render, write_html
from mitigate.report.audit.findings import grade
from mitigate.world import World

EVIL = "<script>alert('$x$')</script>[bold]&"
VOID = {"meta", "link", "br", "hr", "img", "input", "col", "path", "use"}


def rows_of(data):
    return TextRows(tuple(data["prompt"]), tuple(data["label"]), tuple(data["group"]))


def world_rows(count=180, *, augmented=False, dose=1.0, seed=0):
    world = World()
    return rows_of(
        world.augmented_rows(count, dose=dose, seed=seed) if augmented else world.real_rows(count, seed=seed)
    )


def answer(human, augmented, culture="A", question="q"):
    return Answers(question, culture, tuple(f"option {i}" for i in range(len(human))), tuple(human), tuple(augmented))


ANSWERS = AnswerTable(
    (answer([0.9, 0.1], [0.1, 0.9]), answer([0.5, 0.5], [0.1, 0.9], question="r"), answer([1, 0], [1, 0], "B")),
    left_out=2,
    reason="row 3: broken.",
)


@pytest.fixture(scope="module")
def biased():
    return audit(world_rows(), world_rows(augmented=True), answers=ANSWERS)


@pytest.fixture(scope="module")
def null():
    return audit(world_rows(), world_rows(seed=1))


@pytest.fixture(scope="module")
def evil():
    rows = world_rows(60)
    texts = tuple(f"{EVIL} {text}" for text in rows.texts)
    labels, groups = tuple(EVIL + label for label in rows.labels), tuple(EVIL + group for group in rows.groups)
    answers = AnswerTable((answer([1, 0], [0, 1], EVIL, EVIL),) * 2, 1, EVIL)
    return audit(TextRows(texts, labels, groups), TextRows(texts, labels, groups), answers=answers)


class Outline(HTMLParser):
    """Checks that elements nest, and collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


class TestAudit:
    def test_bias_is_found(self, biased):
        assert biased.rows == (180, 180) and biased.groups_by == "column"
        assert biased.groups.association.estimate > 0.9
        assert biased.distributions.within_label.separability.estimate > 0.9
        assert [value.culture for value in biased.values] == ["A", "B"]
        assert biased.values[1].distance == 0
        assert [(far.culture, far.question) for far in biased.farthest] == [("A", "q"), ("B", "q")]

    def test_real_against_real(self, null):
        assert null.distributions.pooled.separability.low == 0 and null.distributions.pooled.p > 0.05
        assert null.groups.p > 0.05
        assert null.values == () and null.farthest == ()

    def test_json_round_trip(self, biased):
        content = biased.to_dict()
        assert json.loads(json.dumps(content, allow_nan=False)) == content
        assert content["values"][1]["excess"]["low"] is None  # one question has no interval
        assert content["groups"]["pooled"]["estimate"] == biased.groups.pooled.estimate

    def test_no_text_of_a_row(self, biased):
        written = json.dumps(biased.to_dict())
        for text in world_rows(5).texts:
            assert text not in written

    def test_same_seed_same_result(self, null):
        assert audit(world_rows(), world_rows(seed=1)) == null

    def test_order_of_rows_does_not_matter_to_groups_and_surface(self, null):
        rows = world_rows(seed=1)
        turned = audit(world_rows(), TextRows(rows.texts[::-1], rows.labels[::-1], rows.groups[::-1]))
        assert turned.groups == null.groups
        assert turned.surface.words == pytest.approx(null.surface.words)
        assert turned.distributions.pooled.mmd.estimate == pytest.approx(
            null.distributions.pooled.mmd.estimate, abs=1e-3
        )

    def test_groups_by_words(self):
        real, augmented = (TextRows(rows.texts) for rows in (world_rows(), world_rows(augmented=True)))
        result = audit(real, augmented)
        assert result.groups_by == "words" and result.groups.groups == ("man", "woman")
        assert result.groups.unknown == (0.0, 0.0) and result.groups.within_label is None
        assert any("English pronouns and titles" in note for note in result.notes)
        assert any("nothing was measured within labels" in note for note in result.notes)

    def test_no_group_can_be_told(self):
        rows = TextRows(tuple(f"ein Wort und {i} mehr" for i in range(20)))
        result = audit(rows, rows)
        assert result.groups is None and "group data were not measured" in result.notes[0]
        assert findings(result)[1].grade == "not measured"

    def test_given_features(self):
        rng = np.random.default_rng(0)
        features = Features(rng.normal(size=(180, 3)), rng.normal(size=(180, 3)) + 9, "given embeddings of width 3")
        result = audit(world_rows(), world_rows(seed=1), features=features)
        assert result.distributions.features == "given embeddings of width 3"
        assert result.distributions.pooled.auc.estimate == 1

    def test_refusals(self):
        rows = world_rows(20)
        bare = TextRows(rows.texts)
        cases = {
            "Only one side has labels": (rows, bare),
            r"No group is on both sides \(real: female, male; augmented: f, m\): spell them alike": (
                rows,
                replace(rows, groups=tuple(group[0] for group in rows.groups)),
            ),
            "`groups` has 'male' and 'Male', which differ in case alone": (
                rows,
                replace(rows, groups=(rows.groups[0].title(), *rows.groups[1:])),
            ),
            "No label is on both sides": (rows, replace(rows, labels=("?",) * 20)),
            "all rows of known group are 'x'": (replace(rows, groups=("x",) * 20), replace(rows, groups=("x",) * 20)),
            "No augmented row has a known group": (rows, replace(rows, groups=("",) * 20)),
            "from 10 rows a side on": (bare, TextRows(rows.texts[:4])),
        }
        for message, sides in cases.items():
            with pytest.raises(ValueError, match=message):
                audit(*sides)
        with pytest.raises(ValueError, match="features of 20 real and 3 augmented rows, and 20 and 20 texts"):
            audit(bare, bare, features=Features(np.ones((20, 2)), np.ones((3, 2)), "test"))
        with pytest.raises(ValueError, match="`groups` must have one value for each of 1 texts, got 2"):
            TextRows(("a",), groups=("x", "y"))


def test_chance_within_labels():
    # What two samples of one population measure is, on average, what is called chance.
    rng = np.random.default_rng(0)
    sizes, shares = ([40, 20], [15, 60]), np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    draws = [rng.multinomial(size, shares, size=(500, 2)).swapaxes(1, 2).astype(float) for size in sizes]
    measured = np.mean([within_label(*pair) for pair in zip(*draws, strict=True)])
    sides, labels = [], []
    for draw in draws:
        counts = draw[0].astype(int)
        sides.append([f"g{g}" for g in range(3) for y in range(2) for _ in range(counts[g, y])])
        labels.append([f"y{y}" for g in range(3) for y in range(2) for _ in range(counts[g, y])])
    result = group_misalignment(*sides, labels=tuple(labels))
    assert result.within_chance == pytest.approx(measured, rel=0.2)


class TestFindings:
    @pytest.mark.parametrize(
        ("distance", "detected", "expected"),
        [
            (Interval(0.3, 0.2, 0.4, 9), True, "apart"),
            (Interval(0.3, 0.2, 0.4, 9), False, "open"),
            (Interval(0.09, 0.08, 0.1, 9), True, "open"),
            (Interval(0.05, 0.0, 0.09, 9), True, "alike"),
            (Interval(0.2, math.nan, math.nan, 1), False, "open"),
        ],
    )
    def test_grades(self, distance, detected, expected):
        assert grade(distance, detected=detected) == expected

    def test_the_sentence_has_the_interval_of_its_direction(self, biased):
        for change, said in (
            (Interval(0.094, -0.071, 0.157, 1), "stronger by 0.094 [−0.071, 0.157]"),
            (Interval(-0.111, -0.395, 0.285, 1), "weaker by 0.111 [−0.285, 0.395]"),
        ):
            groups = replace(biased.groups, association=change)
            assert said in findings(replace(biased, groups=groups))[1].sentence

    def test_many_labels_are_no_reason_for_an_alarm(self):
        # Some rows for each of ten labels and four groups: the distance within labels is large by chance alone.
        rng, alarms = np.random.default_rng(0), 0
        for _ in range(12):
            labels = tuple([f"y{y}" for y in rng.integers(0, 10, 200)] for _ in range(2))
            groups = [[f"g{g}" for g in rng.integers(0, 4, 200)] for _ in range(2)]
            result = group_misalignment(*groups, labels=labels)
            assert result.within_label.estimate > 0.1
            alarms += grade(result.within_label, detected=result.within_p <= 0.05) == "apart"
        assert alarms <= 3

    def test_bias(self, biased):
        values, groups, distributions = findings(biased)
        assert [found.grade for found in (values, groups, distributions)] == ["apart"] * 3
        assert "stronger by" in groups.sentence and "BiasMaskCollator" in groups.advice
        assert "within labels" in distributions.sentence and "AlignmentLossCallback" in distributions.advice

    def test_values(self, biased):
        apart = findings(biased)[0]
        assert apart.grade == "apart" and apart.sentence.startswith(
            "Values are apart in 1 of 2 cultures. Farthest is A"
        )
        assert "BiasTagTokenizer" in apart.advice

    def test_null(self, null):
        values, groups, distributions = findings(null)
        assert (values.grade, values.advice) == ("not measured", "")
        assert groups.grade != "apart" and distributions.grade != "apart"
        assert groups.advice == distributions.advice == ""

    def test_labels_that_are_mixed_otherwise(self, null):
        pooled = replace(null.distributions.pooled, separability=Interval(0.5, 0.4, 0.6, 9), p=0.0001)
        within = replace(null.distributions.pooled, separability=Interval(0.02, 0.0, 0.05, 9), p=0.5)
        mixed = replace(null, distributions=replace(null.distributions, pooled=pooled, within_label=within))
        found = findings(mixed)[2]
        assert found.grade == "alike" and "stratify the mix by label" in found.sentence

    def test_a_classifier_alone_does_not_decide(self, null):
        within = replace(null.distributions.pooled, separability=Interval(0.5, 0.4, 0.6, 9), p=0.2)
        assert (
            findings(replace(null, distributions=replace(null.distributions, within_label=within)))[2].grade == "open"
        )

    def test_mode_collapse(self):
        # Equal means, so a linear classifier is at chance, and a third of the spread.
        rng = np.random.default_rng(0)
        sides = rng.normal(size=(180, 8)), 0.3 * rng.normal(size=(180, 8))
        rows = [replace(world_rows(seed=seed), labels=None, groups=None) for seed in (0, 1)]
        found = findings(audit(*rows, features=Features(*sides, "test")))[2]
        assert found.grade == "apart" and "rows that are too much alike" in found.sentence
        assert "AlignmentLossCallback" in found.advice

    def test_alike_only_if_the_mmd_finds_nothing(self, null):
        within = replace(
            null.distributions.pooled,
            separability=Interval(0.01, 0.0, 0.05, 9),
            mmd=Interval(0.03, 0.02, 0.04, 9),
            p=0.001,
        )
        grades = [
            findings(replace(null, distributions=replace(null.distributions, within_label=each)))[2].grade
            for each in (within, replace(within, p=0.3), replace(within, mmd=Interval(0.03, -0.01, 0.07, 9)))
        ]
        assert grades == ["open", "alike", "alike"]

    def test_no_classifier(self, null):
        nan = Interval(math.nan, math.nan, math.nan, 9)
        within = replace(null.distributions.pooled, separability=nan)
        found = findings(replace(null, distributions=replace(null.distributions, within_label=within)))[2]
        assert found.grade == "open" and "too few different rows" in found.sentence


class TestReports:
    def page(self, result, path):
        write_html(result, path, title=EVIL, config={"real": EVIL}, versions={"mitigate": "0.1.0"})
        return path.read_text(encoding="utf-8")

    def test_page_holds_everything(self, biased, tmp_path):
        text = self.page(biased, tmp_path / "audit.html")
        outline = Outline(text)
        shown = " ".join("".join(outline.text).replace("\N{NO-BREAK SPACE}", " ").split())
        for finding in findings(biased):
            assert finding.sentence in shown and finding.advice in shown
        for note in biased.notes:
            assert note in shown
        assert outline.tags.count("svg") == 4  # map, groups, two questions
        assert outline.tags.count("table") == 8
        ids = [value for name, value in outline.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        assert "no encoder was named" in shown and "It is not proven" in shown

    def test_page_loads_nothing(self, evil, tmp_path):
        text = self.page(evil, tmp_path / "audit.html")
        outline = Outline(text)
        assert not {"script", "link", "img", "iframe"} & set(outline.tags)
        assert "default-src 'none'" in text and "http:" not in text and "https:" not in text
        targets = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
        assert all(value.startswith("#") for value in targets)

    def test_names_are_escaped(self, evil, tmp_path):
        text = self.page(evil, tmp_path / "audit.html")
        assert "<script" not in text and "onerror" not in text
        assert EVIL in "".join(Outline(text).text)

    def test_same_bytes(self, biased, tmp_path):
        assert self.page(biased, tmp_path / "a.html") == self.page(biased, tmp_path / "b.html")

    def test_many_groups_and_options(self, biased, tmp_path):
        names = tuple(f"group {i:02}" for i in range(30))
        many = replace(biased.groups, groups=names, real=(1 / 30,) * 30, augmented=(1 / 30,) * 30)
        result = replace(biased, groups=many, farthest=(answer([1] * 26, [2] * 26),))
        text = self.page(result, tmp_path / "audit.html")
        assert "(20 more)" in text and "(16 more)" in text  # in the figures
        assert "(10 more)" in text  # in the table

    def test_terminal(self, evil):
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(render(evil))
        text = " ".join(console.export_text().split())
        assert EVIL in text and "Findings" in text and "no encoder was named" in text
