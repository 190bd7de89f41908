import base64
import csv
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from mitigate.grid import MEAN_TYPE, TaskDescription, analyse_grid
from mitigate.report.grid import grid_tables, grid_verdict, render_grid, write_grid_html
from mitigate.report.grid.effects import two_digits
from mitigate.report.grid.figures import mitigation_map
from tests.pages import Outline
from tests.sweeps import ARMS, TASKS, task_sweep

EVIL = "<script>alert('$x$')</script>[bold]&|"
FINDING = {"factor": "groups", "grade": "apart", "sentence": "Group data are apart.", "advice": f"Mask them {EVIL}."}


def describe(tasks=TASKS):
    return {
        name: TaskDescription(related, "direct" if related else "none", {"bias": f"{name} gap", "utility": "accuracy"})
        for name, related in tasks.items()
    }


def page(grid, path, **more):
    settings = {"title": "Report", "config": {"seeds": [0, 1]}, "versions": {"mitigate": "0.1.0"}, **more}
    write_grid_html(grid, path, **settings)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def records():
    return task_sweep()


@pytest.fixture(scope="module")
def grid(records):
    return analyse_grid(records, describe())


@pytest.fixture(scope="module")
def text(grid, records, tmp_path_factory):
    return page(grid, tmp_path_factory.mktemp("page") / "report.html", records=records)


class TestVerdict:
    def test_names_what_is_found(self, grid):
        first, second, third, *rest = grid_verdict(grid)
        assert first.startswith("Bias is inherited on related tasks: +")
        assert second.startswith("Related tasks inherit more than control tasks")
        assert third.startswith("mask inherits less than no mitigation on related tasks: +")
        assert "Task by task, growth of bias without mitigation is detected on hiring, salary (3 tested)." in rest
        assert any("Benjamini and Hochberg" in sentence and "36 fields" in sentence for sentence in rest)

    def test_says_not_detected_where_nothing_is(self):
        arms = {"none": (0.0, 0.0), "mask": (0.0, 0.0)}
        sentences = grid_verdict(analyse_grid(task_sweep(arms, noise=0.02), describe()))
        assert sentences[0].startswith("That bias is inherited on related tasks is not detected")
        assert not any("absent" in sentence for sentence in sentences)

    def test_one_and_two_seeds(self):
        for seeds, start in (
            (1, "Not tested, as there is 1 seed, and a test needs two: that bias is inherited"),
            (2, "Bias is inherited"),
        ):
            sentences = grid_verdict(analyse_grid(task_sweep(seeds=seeds), describe()))
            assert sentences[0].startswith(start)
            assert "nan" not in " ".join(sentences)
            assert any(sentence.startswith(f"Few seeds: {seeds}") for sentence in sentences)

    def test_unreadable_answers_that_could_undo_a_finding(self, records):
        loose = [{**r, "tasks": {t: {**m, "bias_low": m["bias"] - 9} for t, m in r["tasks"].items()}} for r in records]
        sentences = grid_verdict(analyse_grid(loose, describe()))
        assert any(s.startswith("On hiring, answers that could not be read could undo the finding") for s in sentences)
        assert "undo" not in " ".join(grid_verdict(analyse_grid(records, describe())))

    def test_what_could_not_be_measured(self, records):
        some = [
            {**r, "tasks": {**r["tasks"], "salary": {**r["tasks"]["salary"], "bias": None}}} if i in (11, 12) else r
            for i, r in enumerate(records)
        ]
        said = " ".join(grid_verdict(analyse_grid(some, describe())))
        assert "On salary bias or utility could not be measured in " in said
        assert "On hiring bias" not in said

    def test_incomplete(self, records):
        some = [{**r, "status": "missing"} if i == 11 else r for i, r in enumerate(records)]
        assert any(s.startswith("Incomplete sweep: 1 of") for s in grid_verdict(analyse_grid(some, describe())))


class TestMap:
    def test_stars_and_outlines_are_those_of_the_corrected_tests(self, grid):
        svg = mitigation_map(grid, 1.0)
        shown = "".join(ElementTree.fromstring(svg).itertext())
        significant = [e for e in grid.effects if e.bias_type == MEAN_TYPE and e.p_bh <= 0.05]
        assert 0 < len(significant) < 12
        assert len(re.findall(r"\d\*", shown)) == len(significant)
        # A field has one filled rectangle, and one that is drawn if it is significant.
        assert len(re.findall(r"fill: none; stroke: currentColor; stroke-width: 1.5", svg)) == len(significant)
        for name in ("hiring", "topics (control)", "inherited", "balanced"):
            assert name in shown

    def test_harm_is_orange_and_help_blue(self, grid):
        svg = mitigation_map(grid, 1.0).lower()
        assert "#d55e00" in svg
        assert "#0072b2" in svg

    def test_small_effects_are_pale_whatever_stands_beside_them(self):
        small = mitigation_map(analyse_grid(task_sweep({"none": (0.0001, 0.0)}), describe()), 1.0)
        strengths = [
            float(found) for found in re.findall(r"fill: #(?:d55e00|0072b2); fill-opacity: ([0-9.]+)", small.lower())
        ]
        assert strengths and max(strengths) < 0.3


class TestPage:
    def test_holds_everything(self, grid, text):
        outline = Outline(text)
        for sentence in grid_verdict(grid):
            assert sentence in outline.shown
        sections = ["verdict", "map", "frontier", "related", "types", "tasks", "missing", "data", "reading", "setup"]
        assert [name for name in outline.ids if name in sections] == sections
        # Map, frontier, related and types, and two of each task.
        assert outline.tags.count("svg") == 4 + 2 * len(TASKS)
        labels = [value for name, value in outline.attributes if name == "aria-label"]
        assert len(labels) == outline.tags.count("svg")
        assert len(outline.ids) == len(set(outline.ids))
        assert outline.tags.count("details") == len(TASKS) + 1

    def test_trends_are_shown_and_in_the_file(self, grid, text):
        (table,) = (table for table in grid_tables(grid) if table.name == "tasks")
        assert table.header[-2:] == ("trend", "p (trend)")
        (row,) = (row for row in csv.DictReader(io.StringIO(table.csv)) if row["task"] == "topics")
        arm = grid.task("topics").arm("none", grid.dose)
        assert (float(row["trend_estimate"]), float(row["trend_p"])) == (arm.trend.estimate, arm.trend_p)
        assert table.rows[-1][-1] in Outline(text).shown

    def test_loads_and_runs_nothing(self, text):
        outline = Outline(text)
        assert not {"script", "link", "img", "iframe"} & set(outline.tags)
        assert not any(name.startswith("on") for name, _ in outline.attributes)
        targets = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
        assert all(value.startswith(("#", "data:text/csv;")) for value in targets)
        assert "http:" not in text
        assert "https:" not in text

    def test_every_table_is_a_csv_file_with_all_digits(self, grid, text, records):
        outline = Outline(text)
        links = [value for name, value in outline.attributes if name == "href" and value.startswith("data:")]
        files = [base64.b64decode(link.partition("base64,")[2]).decode() for link in links]
        # The versions are the one table of the page without a file, the whole grid the one file without a table.
        assert len(files) == outline.tags.count("table")
        assert sorted(files) == sorted(table.csv for table in grid_tables(grid, records))
        (whole,) = (file for file in files if file.count("\n") == 37)
        rows = list(csv.DictReader(io.StringIO(whole)))
        effects = {(row["task"], row["bias_type"], row["mitigation"]): row for row in rows}
        for effect in grid.effects:
            row = effects[effect.task, effect.bias_type, effect.mitigation]
            assert float(row["estimate"]) == effect.interval.estimate
            assert float(row["p_bh"]) == effect.p_bh

    def test_the_file_of_rows_names_each_model_once(self, grid, records):
        (table,) = (table for table in grid_tables(grid, records) if table.name == "rows")
        models = [tuple(row.values())[:5] for row in csv.DictReader(io.StringIO(table.csv))]
        assert len(set(models)) == len(models) == len(records)

    def test_files_have_names_of_their_own(self, grid, records):
        names = [table.file for table in grid_tables(grid, records)]
        assert len(names) == len(set(names))
        assert all(re.fullmatch(r"[\w.-]+\.csv", name) for name in names)

    def test_escapes_names_and_findings(self, tmp_path):
        tasks = {EVIL: True, "topics": False}
        grid = analyse_grid(task_sweep({**ARMS, EVIL: (0.0, 0.0)}, tasks=tasks), describe(tasks))
        text = page(grid, tmp_path / "a.html", title=EVIL, audit={"findings": {"groups": FINDING}}, config={"a": EVIL})
        assert "<script" not in text
        outline = Outline(text)
        assert "script" not in outline.tags
        assert "Group data are apart. Mask them" in outline.shown
        assert EVIL in "".join(outline.text)
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(render_grid(grid))
        assert EVIL in console.export_text()

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_few_seeds(self, seeds, tmp_path):
        outline = Outline(page(analyse_grid(task_sweep(seeds=seeds), describe()), tmp_path / "a.html"))
        assert not re.search(r"\bnan\b|\binf\b", outline.shown)
        assert ("There is no frontier" in outline.shown) == (seeds == 1)

    def test_a_task_that_could_not_be_analysed(self, records, tmp_path):
        broken = [{**r, "tasks": {**r["tasks"], "salary": {"bias": None, "utility": None}}} for r in records]
        outline = Outline(page(analyse_grid(broken, describe()), tmp_path / "a.html"))
        assert "It could not be analysed: Nothing to analyse" in outline.shown

    def test_one_bias_type_has_no_section_on_types(self, tmp_path):
        grid = analyse_grid(task_sweep(types=("all",)), describe())
        assert "types" not in Outline(page(grid, tmp_path / "a.html")).ids

    def test_same_bytes(self, grid, tmp_path):
        assert page(grid, tmp_path / "a.html") == page(grid, tmp_path / "b.html")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.01234, "0.012"),
        (-34.5, "−34"),
        (1234.0, "1234"),
        (0.0, "0"),
        (1e-12, "0"),
        (math.nan, "–"),
        (2.04e-5, "0.000020"),
    ],
)
def test_two_digits(value, shown):
    assert two_digits(value) == shown
