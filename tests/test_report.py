import csv
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console

from mitigate.analysis import analyse
from mitigate.intervals import Interval
from mitigate.report import figure, render, verdict, write_figure, write_html, write_table
from mitigate.report.figures import _spread
from mitigate.report.numbers import bounds, decimals, number, p_sentence, p_value, plus_minus, share, with_bounds
from mitigate.report.tables import curve_table, slope_table, subgroup_tables, trend_table
from tests.pages import Outline
from tests.sweeps import EFFECTS, LABELS, RATIOS, sweep

EVIL = "<script>alert('$x$')</script>[bold]&"
CONFIG = {"model": "tiny", "ratios": [0.0, 0.5], "note": EVIL}
NAN = math.nan


@pytest.fixture(scope="module")
def analysis():
    return analyse(sweep(subgroups=True), labels=LABELS)


@pytest.fixture(scope="module")
def evil():
    effects = {**EFFECTS, EVIL: (0.05, 0.0)}
    return analyse(sweep(effects, subgroups=True), labels={"bias": f"{EVIL} gap", "utility": "accuracy"})


def page(analysis, path, title="Report"):
    write_html(analysis, path, title=title, config=CONFIG, versions={"mitigate": "0.1.0"})
    return path.read_text(encoding="utf-8")


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"), [(0.0104, "0.010"), (-0.0104, "−0.010"), (-0.0001, "0.000"), (NAN, "–")]
    )
    def test_number(self, value, text):
        assert number(value, 3) == text

    def test_intervals(self):
        interval, alone = Interval(0.01, 0.008, 0.012, 5), Interval(0.01, NAN, NAN, 1)
        assert (plus_minus(interval, 3), plus_minus(alone, 3)) == ("0.010 ± 0.002", "0.010")
        assert (with_bounds(interval, 3), with_bounds(alone, 3)) == ("+0.010 [0.008, 0.012]", "+0.010")
        assert bounds(alone, 3) == "–"
        assert (share(Interval(0.834, -0.05, 1.1, 5)), share(None)) == ("83% [−5%, 110%]", "–")

    def test_p_values(self):
        assert [p_value(p) for p in (0.0123, 0.0001, NAN)] == ["0.012", "<0.001", "–"]
        assert [p_sentence(p) for p in (0.0123, 0.0001)] == ["p = 0.012", "p < 0.001"]

    def test_decimals_follow_the_intervals(self):
        small, large = (analyse(sweep(noise=noise)) for noise in (0.0003, 0.03))
        assert decimals(small).bias > decimals(large).bias
        assert decimals(analyse(sweep(seeds=1))).bias == 3


class TestTables:
    def test_curves(self, analysis):
        table = curve_table(analysis, "bias")
        assert table.header == ("arm", *(f"ρ = {ratio:g}" for ratio in RATIOS))
        assert [row[0] for row in table.rows][:4] == [
            "no mitigation (β = 1)",
            "drop (β = 1)",
            "mask (β = 1)",
            "null arm (β = 0)",
        ]
        assert re.fullmatch(r"0\.\d+ ± 0\.\d+", table.rows[0][1])

    def test_slopes(self, analysis):
        table = slope_table(analysis)
        assert "per +0.10 of ρ" in table.caption
        assert table.rows[0][3:] == ("–",) * 4
        assert "%" in table.rows[1][5]

    def test_trends(self, analysis, tmp_path):
        none, *_ = trend_table(analysis).rows
        assert re.fullmatch(r"\+\d\.\d\d( =| \[\S+ \S+\])", none[1])
        assert trend_table(analysis).header == ("arm", "trend", "p")
        records = sweep(noise=0.01)
        for r in records:
            cell = r["cell"]
            r["metrics"]["data_bias"] = cell["dose"] * cell["bias_ratio"] + 0.01 * cell["seed"]
        known = analyse(records, labels={"data_bias": "association of the rows"})
        table = trend_table(known)
        assert table.header[-1] == "inheritance coefficient"
        assert table.caption.endswith("per shift of the association of the rows")
        assert re.fullmatch(r"\+0\.\d\d \[0\.\d\d, 0\.\d\d\]", table.rows[0][-1])
        assert table.rows[-1][-1] == "–"  # the null arm
        rows = list(csv.DictReader(io.StringIO(table.csv)))
        assert {row["quantity"] for row in rows} == {"trend", "inheritance coefficient"}
        assert all(float(row["p"]) <= 1 for row in rows if row["quantity"] == "trend")
        shown = Outline(page(known, tmp_path / "a.html")).shown
        assert "in units of the shift of the association of the rows" in shown

    def test_subgroups(self, analysis):
        assert [table.caption.split(":")[0] for table in subgroup_tables(analysis)] == [
            "TPR gap / Brazil",
            "TPR gap / Iran",
        ]

    def test_csv_is_the_same_whatever_the_order_and_time(self, tmp_path):
        records = sweep()
        write_table(analyse(records), tmp_path / "a.csv")
        write_table(analyse([{**r, "runtime_s": 9.0} for r in reversed(records)]), tmp_path / "b.csv")
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
        records[-1]["metrics"]["bias"] += 1e-15
        write_table(analyse(records), tmp_path / "c.csv")
        assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "c.csv"]

    def test_csv_keeps_every_digit(self, analysis, tmp_path):
        write_table(analysis, tmp_path / "a.csv")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8"))))
        slope = next(row for row in rows if row["quantity"] == "slope")
        assert float(slope["estimate"]) == analysis.arms[0].slope.estimate
        assert float(slope["p_holm"]) == analysis.arms[0].p_holm
        assert {row["quantity"] for row in rows} == {
            "bias",
            "utility",
            "bias/Brazil",
            "bias/Iran",
            "slope",
            "trend",
            "slope - null arm",
            "none - slope",
            "utility - none",
            "removed",
        }


class TestFigure:
    def test_is_well_formed_and_deterministic(self, analysis, tmp_path):
        svg = figure(analysis)
        assert svg == figure(analysis)
        text = " ".join(ElementTree.fromstring(svg).itertext())
        for name in ("no mitigation", "drop", "mask", "null arm (β = 0)", "TPR gap, biased content β = 1", "Accuracy"):
            assert name in text
        assert "date" not in svg.lower()
        write_figure(analysis, tmp_path / "a.svg")
        assert (tmp_path / "a.svg").read_text(encoding="utf-8") == svg

    def test_names_are_text(self, evil):
        svg = figure(evil)
        assert "<script" not in svg
        assert "<script>alert('$x$')" in " ".join(ElementTree.fromstring(svg).itertext())

    def test_element_for_a_page(self, analysis):
        svg = figure(analysis, panels=("bias",), standalone=False)
        assert svg.startswith('<svg role="img" aria-label="bias over the bias ratio"')
        assert "currentColor" in svg
        assert "#ffffff" not in svg  # a white ground would show on a dark page
        assert "http" not in svg
        known = set(re.findall(r' id="([^"]+)"', svg))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= known

    def test_one_seed_and_only_null_arms_are_drawn(self):
        assert "null arm" in figure(analyse(sweep(seeds=1)))
        assert "null arm" in figure(analyse(sweep(doses=(0.0,))))

    def test_labels_are_spread_and_stay_near(self):
        assert _spread([0.0, 5.0], gap=1.0) == [0.0, 5.0]
        assert _spread([1.0, 1.0, 9.0], gap=1.0) == [0.5, 1.5, 9.0]
        assert _spread([0.0, 0.9, 1.0], gap=1.0) == pytest.approx([1.9 / 3 - 1, 1.9 / 3, 1.9 / 3 + 1])
        assert _spread([], gap=1.0) == []


class TestPage:
    def test_holds_everything(self, analysis, tmp_path):
        text = page(analysis, tmp_path / "report.html")
        outline = Outline(text)
        shown = outline.shown
        for sentence in verdict(analysis):
            assert sentence in shown
        assert "ratios: - 0.0 - 0.5" in shown
        assert "TPR gap / Brazil" in shown
        assert outline.tags.count("svg") == 2
        assert outline.tags.count("table") == 7
        assert shown.index("Verdict") < shown.index("Inheritance curves") < shown.index("How to read this")
        assert len(outline.ids) == len(set(outline.ids))

    def test_loads_nothing(self, analysis, tmp_path):
        text = page(analysis, tmp_path / "report.html")
        outline = Outline(text)
        assert not {"script", "link", "img", "iframe"} & set(outline.tags)
        assert "http:" not in text
        assert "https:" not in text
        assert "@import" not in text
        targets = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
        assert all(value.startswith(("#", "data:text/csv;")) for value in targets)

    def test_escapes_names_title_and_configuration(self, evil, tmp_path):
        text = page(evil, tmp_path / "report.html", title=EVIL)
        assert "<script" not in text
        outline = Outline(text)
        assert "script" not in outline.tags
        assert EVIL in "".join(outline.text)

    def test_same_bytes_and_no_temporary_file(self, analysis, tmp_path):
        assert page(analysis, tmp_path / "a.html") == page(analysis, tmp_path / "b.html")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]

    def test_a_failed_write_keeps_the_old_page(self, analysis, tmp_path, monkeypatch):
        path = tmp_path / "a.html"
        path.write_text("old")
        monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            page(analysis, path)
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]

    def test_a_picture_per_dose(self, tmp_path):
        text = page(analyse(sweep(doses=(1.0, 0.5, 0.0))), tmp_path / "a.html")
        outline = Outline(text)
        assert outline.tags.count("svg") == 4
        assert len(outline.ids) == len(set(outline.ids))

    def test_without_further_metrics(self, tmp_path):
        assert "Further metrics" not in page(analyse(sweep()), tmp_path / "a.html")


def test_terminal(evil):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(evil))
    text = console.export_text()
    assert EVIL in text
    assert "Verdict" in text
    assert "Slope of the" in text
