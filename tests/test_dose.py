import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from mitigate.dose import bias_dose, draw_dose, group_label_association, stereotyped_share
from mitigate.recipes import dose as recipe
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.grid import cell_id, cells_of
from mitigate.recipes.records import write_record
from mitigate.twins import make_twins, mark_stereotyped
from mitigate.world import World

STEREOTYPES = {"nurse": "female", "pilot": "male"}


def pairs_of(count):
    rows = [
        {"pair": pair, "stereotyped": side, "text": f"{pair} {side}"}
        for pair in range(count)
        for side in (True, False)
    ]
    return Dataset.from_list(rows)


class TestScale:
    def test_dose_and_share_are_one_scale(self):
        shares = [0, 0.25, 0.5, 0.75, 1]
        assert [bias_dose(share) for share in shares] == [-1, -0.5, 0, 0.5, 1]
        assert [stereotyped_share(bias_dose(share)) for share in shares] == shares

    def test_it_is_the_scale_of_the_testbed(self):
        world = World()
        rows = [world.augmented_rows(50, dose=bias_dose(share), seed=0) for share in (0, 1)]
        for share, drawn in zip((0, 1), rows, strict=True):
            groups = [world.group_of(text) for text in drawn["prompt"]]
            assert groups == drawn["group"]
            assert group_label_association(groups, drawn["label"], world.stereotypes) == bias_dose(share)

    @pytest.mark.parametrize("call", [lambda: bias_dose(1.1), lambda: stereotyped_share(-1.1)])
    def test_what_is_not_on_it_is_refused(self, call):
        with pytest.raises(ValueError, match="must lie in"):
            call()


class TestDraw:
    @settings(deadline=None, max_examples=50)
    @given(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
    def test_it_is_exact_nested_and_uses_each_pair_once(self, count, share, other, seed):
        low, high = (draw_dose(pairs_of(count), each, seed) for each in sorted((share, other)))
        for rows, each in zip((low, high), sorted((share, other)), strict=True):
            assert rows["pair"] == list(range(count))
            assert sum(rows["stereotyped"]) == round(each * count)
        assert all(more or not less for less, more in zip(low["stereotyped"], high["stereotyped"], strict=True))

    def test_the_seed_decides_which(self):
        first, again, other = (draw_dose(pairs_of(40), 0.5, seed)["text"] for seed in (1, 1, 2))
        assert first == again != other

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ({"pair": [1, 1], "text": ["a", "b"]}, "lack the column `stereotyped`"),
            ({"pair": [1, 1], "stereotyped": [True, True]}, "Pair 1 has 2 rows"),
            ({"pair": [1], "stereotyped": [True]}, "Pair 1 has 1 rows"),
            ({"pair": [1, 1, 1], "stereotyped": [True, False, False]}, "Pair 1 has 3 rows"),
        ],
    )
    def test_pairs_that_are_none_are_refused(self, rows, message):
        with pytest.raises(ValueError, match=message):
            draw_dose(Dataset.from_dict(rows), 0.5, 0)


class TestManipulation:
    def test_association_is_what_one_counts(self):
        groups = ["female", "female", "female", "male", "male", "female"]
        labels = ["nurse", "nurse", "nurse", "nurse", "pilot", "pilot"]
        # Three of four nurses and one of two pilots follow the stereotype: q = (3/4 + 1/2) / 2.
        assert group_label_association(groups, labels, STEREOTYPES) == pytest.approx(0.25)

    def test_association_in_the_text_follows_the_share_in_a_line(self):
        texts = [
            f"{start} works with care as a {job}." for start in ("She", "He", "Mary", "Paul") for job in STEREOTYPES
        ]
        rows = Dataset.from_dict({"text": texts * 25, "label": [text.split()[-1][:-1] for text in texts] * 25})
        pairs, report = make_twins(rows, columns=["text"])
        assert report.rejected == {}
        marked = mark_stereotyped(pairs, STEREOTYPES)
        shares, measured = [], []
        for seed in range(4):
            for share in (0, 0.25, 0.5, 0.75, 1):
                drawn = draw_dose(marked, share, seed).select_columns(["text", "label"])
                women = [bool({"She", "Mary"} & set(text.split())) or text.startswith(WOMEN) for text in drawn["text"]]
                groups = ["female" if each else "male" for each in women]
                shares.append(share)
                measured.append(group_label_association(groups, drawn["label"], STEREOTYPES))
        fit = linregress(shares, measured)
        assert fit.slope == pytest.approx(2, abs=0.02)
        assert fit.intercept == pytest.approx(-1, abs=0.02)
        assert fit.rvalue**2 > 0.999

    @pytest.mark.parametrize(
        ("groups", "labels", "message"),
        [
            ([], [], "one of each per row"),
            (["a"], ["cook"], "for the labels cook"),
            (["a"], ["nurse", "nurse"], "1 groups"),
            (["women", "men"], ["nurse", "nurse"], "names the groups female, male, the rows have men, women"),
        ],
    )
    def test_rows_that_cannot_be_judged_are_refused(self, groups, labels, message):
        with pytest.raises(ValueError, match=message):
            group_label_association(groups, labels, STEREOTYPES)


# What Paul becomes.
WOMEN = make_twins(Dataset.from_dict({"text": ["Paul"]}), columns=["text"], length_ratios=(0.1, 10)).pairs["text"][1]


class TestRecipe:
    """The analysis of a sweep whose bias is known: 0.5 q ρ, or 0.5 q ρ + ρ / 2, with some noise of the seed."""

    def analyse(self, folder, capsys, drift=0.0, spread=0.0001):
        arguments = ["--output_dir", str(folder), "--bias_ratios", "0", "0.2", "0.4", "--doses", "-1", "0", "1"]
        arguments += ["--seeds", "0", "1", "2", "3", "4", "--report_to", "none", "--null_mitigations", "none", "drop"]
        config = parse_config(arguments)
        (folder / "cells").mkdir()
        for cell in cells_of(config):
            # What fewer real rows do falls out of the difference of the two arms.
            fewer_real = 0.3 * cell.bias_ratio
            slope = 0.5 * cell.dose * (1 + spread * (cell.seed - 2)) + drift + 10 * spread * cell.seed
            bias = cell.bias_ratio * slope + 0.01 * cell.seed
            bias = fewer_real + (0.01 * cell.seed if cell.mitigation == "drop" else bias)
            record = {"cell_id": cell_id(config, cell), "cell": cell._asdict(), "status": "done"}
            write_record(folder / "cells", {**record, "metrics": {"bias": bias, "utility": 1.0}})
        assert recipe.main(arguments) == 0
        return capsys.readouterr().out

    def test_slopes_are_those_that_were_put_in(self, tmp_path, capsys):
        out = self.analyse(tmp_path, capsys)
        # dB/dq = 2 dB/dβ = ρ.
        assert "| 0.2 | +0.200 | +0.200 to +0.200 | 5 |" in out
        assert "| 0.4 | +0.400 | +0.400 to +0.400 | 5 |" in out
        assert "| replace | +0.0302 |" in out
        assert "| replace − drop | +0.0002 |" in out and "| too small to matter |" in out

    def test_seeds_that_agree_are_no_proof(self, tmp_path, capsys):
        out = self.analyse(tmp_path, capsys, spread=0.0)
        assert "| 0.2 | +0.200 | none: all seeds gave the same | 5 | – | – |" in out
        assert "| not testable: all seeds gave the same slope |" in out
        assert "nan" not in out

    def test_a_slope_of_balanced_rows_is_not_overlooked(self, tmp_path, capsys):
        out = self.analyse(tmp_path, capsys, drift=0.5)
        assert "| replace − drop | +0.0502 |" in out and "| not shown to be too small to matter |" in out

    def test_the_manipulation_check_is_a_line_of_slope_two(self):
        config = parse_config(["--doses", "-1", "0", "1", "--seeds", "0", "1", "--report_to", "none"])
        lines = [line.strip("| ").split(" | ") for line in recipe.check_table(config).splitlines()[2:]]
        assert [(name, float(expected)) for name, *_, expected in lines] == [
            ("slope over q", 2),
            ("at q = 0.5", 0),
            ("curvature, per q²", 0),
        ]
        assert all(abs(float(estimate) - float(expected)) < 0.15 for _, estimate, _, expected in lines)

    @pytest.mark.parametrize(("doses", "seeds"), [(["0", "1"], ["0", "1"]), (["-1", "0", "1"], ["0"])])
    def test_a_line_needs_three_doses_and_an_interval_two_seeds(self, doses, seeds):
        config = parse_config(["--doses", *doses, "--seeds", *seeds, "--report_to", "none"])
        with pytest.raises(ConfigError, match="at least three `doses` and two `seeds`, got"):
            recipe.check_table(config)

    def test_without_cells_it_says_what_to_run(self, tmp_path, capsys):
        assert recipe.main(["--output_dir", str(tmp_path), "--report_to", "none"]) == 2
        assert "Run the sweep first" in capsys.readouterr().err

    def test_the_shipped_configuration_can_be_read(self):
        from importlib import resources

        path = resources.files("mitigate.recipes").joinpath("dose.yaml")
        config = parse_config(["--config", str(path)])
        assert len(config.grid.seeds) >= 5
        assert [stereotyped_share(dose) for dose in config.grid.doses] == [0, 0.25, 0.5, 0.75, 1]
