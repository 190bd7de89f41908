"""The audit as a function, its findings in words, its page and the command."""

import csv
import io
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from rich.console import Console

from mitigate.intervals import Interval
from mitigate.misalignment import Answers, AnswerTable, Features, TextRows, audit, read_answers, read_rows
from mitigate.misalignment.groups import group_misalignment, within_label
from mitigate.recipes import cli
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
        assert null.groups.pooled.low < null.groups.chance
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
        ("distance", "chance", "expected"),
        [
            (Interval(0.3, 0.2, 0.4, 9), 0.1, "apart"),
            (Interval(0.3, 0.2, 0.4, 9), 0.2, "open"),
            (Interval(0.09, 0.08, 0.1, 9), 0.0, "open"),
            (Interval(0.05, 0.0, 0.09, 9), 0.0, "alike"),
            (Interval(0.2, math.nan, math.nan, 1), 0.0, "open"),
        ],
    )
    def test_grades(self, distance, chance, expected):
        assert grade(distance, chance) == expected

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
        assert outline.tags.count("table") == 7
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


def write_csv(path, rows):
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label", "group"])
        writer.writerows(
            (number, *cells) for number, cells in enumerate(zip(rows.texts, rows.labels, rows.groups, strict=True))
        )
    return str(path)


class TestTables:
    def test_three_formats_are_the_same(self, tmp_path):
        rows = world_rows(12)
        columns = {"text": list(rows.texts), "label": list(rows.labels), "group": list(rows.groups)}
        write_csv(tmp_path / "a.csv", rows)
        parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
        lines = [json.dumps(dict(zip(columns, cells, strict=True))) for cells in zip(*columns.values(), strict=True)]
        (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
        for suffix in ("csv", "jsonl", "parquet"):
            assert read_rows(tmp_path / f"a.{suffix}", label="label", group="group") == rows

    def test_unknown_groups_and_line_breaks(self, tmp_path):
        (tmp_path / "a.csv").write_text('text,group\n"a\nb",\nc, x \n', encoding="utf-8")
        assert read_rows(tmp_path / "a.csv", group="group") == TextRows(("a\nb", "c"), None, ("", "x"))

    @pytest.mark.parametrize(
        ("name", "content", "options", "message"),
        [
            ("a.csv", b"txt\na\n", {}, r"has no column 'text' \(columns: txt\)"),
            ("a.csv", b"text\n", {}, "has no rows"),
            ("a.csv", b"", {}, "has no rows"),
            ("a.jsonl", b"\n", {}, "has no rows"),
            ("a.csv", b"text,group\na,b\nc\n", {}, "1 cells in row 2, and 2 columns"),
            ("a.csv", b'text\n"a\n', {}, "cannot be read as CSV"),
            ("a.csv", b"text\nb\xe9b\xe9\n", {}, "not in UTF-8: line 2 has the byte 0xe9"),
            ("a.jsonl", b'{"text": "a"}\n{"text": ', {}, "no valid JSON in line 2"),
            ("a.jsonl", b"[1]\n", {}, "one object a line, got list in line 1"),
            ("a.jsonl", b'{"text": "a"}\n{"text": " "}\n', {}, "`text` is empty in row 2"),
            ("a.jsonl", b'{"text": ["a"]}\n', {}, "`text` is no text in row 1"),
            ("a.jsonl", b'{"text": "a", "l": "x"}\n{"text": "b"}\n', {"label": "l"}, "`l` is empty in row 2"),
            ("a.csv", b"text,id\na,1\nb,1\nc,2\nd,2\n", {"id": "id"}, r"'1' comes 2 times \(2 such ids\)"),
            ("a.parquet", b"no", {}, "cannot be read as Parquet"),
            ("a.txt", b"text", {}, r"must be one of \.csv, \.jsonl, \.parquet"),
        ],
    )
    def test_bad_files(self, tmp_path, name, content, options, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message) as error:
            read_rows(tmp_path / name, **options)
        assert "\n" not in str(error.value)

    def test_no_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"There is no file .*a\.csv"):
            read_rows(tmp_path / "a.csv")

    def test_answers(self, tmp_path):
        row = {"question": "q", "land": "A", "options": ["x", "y"], "human": [1, 0], "llm": [0.5, 0.5]}
        broken = [{**row, "llm": [1]}, {**row, "llm": None}, {**row, "llm": ["a", "b"]}, {**row, "land": ""}]
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps(each) for each in [row, *broken]), encoding="utf-8")
        table = read_answers(path, culture="land", augmented="llm")
        assert table.answers == (Answers("q", "A", ("x", "y"), (1, 0), (0.5, 0.5)),)
        assert table.left_out == 4 and table.reason.startswith("row 2: `augmented` must have one share for each")
        with pytest.raises(ValueError, match="has no column 'culture'"):
            read_answers(path)
        path.write_text("\n".join(json.dumps(each) for each in broken), encoding="utf-8")
        with pytest.raises(ValueError, match="no usable row of answers; row 1"):
            read_answers(path, culture="land", augmented="llm")


class TestCommand:
    def files(self, tmp_path):
        return [
            write_csv(tmp_path / "real.csv", world_rows(60)),
            write_csv(tmp_path / "augmented.csv", world_rows(60, augmented=True)),
        ]

    def test_writes_page_and_json(self, tmp_path, capsys):
        values = tmp_path / "values.jsonl"
        row = {"question": "q", "culture": "A", "options": ["x", "y"], "human": [1, 0], "augmented": [0, 1]}
        values.write_text(json.dumps(row), encoding="utf-8")
        columns = ["--label", "label", "--group", "group", "--id", "id", "--values", str(values), "--ordered"]
        assert cli.main(["audit", *self.files(tmp_path), *columns, "--output_dir", "out/deep"]) == 0
        record = json.loads(Path("out/deep/audit.json").read_text(encoding="utf-8"))
        assert record["rows"] == [60, 60] and record["config"]["label"] == "label"
        assert record["findings"]["groups"]["grade"] == "apart"
        assert record["values"][0]["ordered_distance"] == 1
        assert sorted(path.name for path in Path("out/deep").iterdir()) == ["audit.html", "audit.json"]
        shown = capsys.readouterr().out
        assert "Findings" in shown and "Written: out/deep/audit.html" in shown

    def test_embeddings_and_tagger(self, tmp_path, capsys):
        files, rng = self.files(tmp_path), np.random.default_rng(0)
        for name in ("real", "augmented"):
            np.save(tmp_path / f"{name}.npy", rng.normal(size=(60, 4)))
        arrays = [str(tmp_path / f"{name}.npy") for name in ("real", "augmented")]
        assert cli.main(["audit", *files, "--embeddings", *arrays]) == 0
        assert "given embeddings of width 4" in Path("outputs/audit/audit.html").read_text(encoding="utf-8")
        assert cli.main(["audit", *files, "--embeddings", arrays[0], str(tmp_path / "none.npy")]) == 2
        assert cli.main(["audit", *files, "--tagger", "no_such_pipeline"]) == 2
        assert "no_such_pipeline" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--text", "body"], "has no column 'body'"),
            (["--encoder", "nowhere"], "The encoder 'nowhere' cannot be loaded"),
            (["--values", "none.jsonl"], "There is no file none.jsonl"),
            (["--respondents", "0", "--values", "v.jsonl"], "`respondents` must be at least 1"),
            (["--output_dir", "real.csv/out"], "real.csv"),
        ],
    )
    def test_what_cannot_be_audited_writes_nothing(self, tmp_path, capsys, change, message):
        row = {"question": "q", "culture": "A", "options": ["x", "y"], "human": [1, 0], "augmented": [0, 1]}
        Path("v.jsonl").write_text(json.dumps(row), encoding="utf-8")
        assert cli.main(["audit", *self.files(tmp_path), *change]) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("This cannot be audited: ") and message in error
        assert "Traceback" not in error and not Path("outputs").exists()

    def test_commands(self, capsys):
        assert cli.main([]) == cli.main(["--help"]) == 0
        assert "audit" in capsys.readouterr().out
        assert cli.main(["--version"]) == 0
        assert cli.main(["audti"]) == 2
        assert "There is no command 'audti'" in capsys.readouterr().err
        with pytest.raises(SystemExit) as stop:
            cli.main(["audit", "a.csv", "b.csv", "--encoder", "x", "--embeddings", "a", "b"])
        assert stop.value.code == 2

    def test_it_is_installed(self):
        (program,) = entry_points(group="console_scripts", name="mitigate")
        assert program.load() is cli.main
