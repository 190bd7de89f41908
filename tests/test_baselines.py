"""Baselines of a sweep: what they do to the rows of the mix, and that they reduce the bias that is inherited."""

import json
from collections import Counter

import pytest
from datasets import Dataset

from mitigate.cells import ORDER, Cell
from mitigate.dose import group_label_association
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.recipes.arguments import MITIGATIONS
from mitigate.recipes.baselines import count_rows, mix_rows
from mitigate.recipes.cell import make_task, run_cell, training_mix
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.grid import cell_id
from mitigate.recipes.sweep import main
from mitigate.world import World

STEREOTYPES = World().stereotypes
SMALL = [
    *("--training_rows", "200", "--epochs", "0.1", "--batch_size", "16", "--base_epochs", "0.05"),
    *("--hidden_size", "16", "--layers", "1", "--report_to", "none", "--seeds", "0"),
]
BASELINES = ("drop", "down-weight", "balanced", "cda", "mask-random")


@pytest.fixture
def config(tmp_path):
    return parse_config([*SMALL, "--output_dir", str(tmp_path)])


def mixed(config, mitigation, ratio=0.6):
    return training_mix(config, make_task(config), Cell(1.0, mitigation, ratio, seed=0))


def association(rows):
    return group_label_association(rows["group"], rows["label"], STEREOTYPES)


def cells(**counts):
    """So many rows of each label and group."""
    return Dataset.from_list(
        [{"label": cell[0], "group": cell[1]} for cell, count in counts.items() for _ in range(count)]
    )


def table(tmp_path, texts, *more):
    """Arguments for a table of forty real and forty augmented rows, of the labels a and b in turn."""
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for number in range(80):
            row = {"text": texts[number % len(texts)], "label": "ab"[number % 2], "augmented": number >= 40}
            file.write(json.dumps({**row, "group": "fm"[number // 2 % 2]}) + "\n")
    columns = ["--task", "table", "--real_file", str(path), "--test_file", str(path), "--text_column", "text"]
    columns += ["--label_column", "label", "--group_column", "group", "--stereotypes", "a=f", "b=m"]
    return [*SMALL, "--training_rows", "40", *columns, "--output_dir", str(tmp_path / "out"), *more]


class TestRows:
    def test_balanced_has_as_many_rows_of_which_the_group_tells_no_label(self, config):
        before, after = mixed(config, "none"), mixed(config, "balanced")
        assert len(after) == len(before) == 200
        assert set(after["prompt"]) <= set(before["prompt"])
        assert association(before) > 0.5
        assert association(after) == pytest.approx(0, abs=0.03)
        assert Counter(after["label"]).keys() == Counter(before["label"]).keys()

    def test_cda_keeps_the_bias_ratio_and_its_augmented_rows_are_pairs_of_twins(self, config):
        before, after = mixed(config, "none"), mixed(config, "cda")
        assert Counter(after[AUGMENTED_COLUMN]) == Counter(before[AUGMENTED_COLUMN]) == {True: 120, False: 80}
        real = [[row["prompt"] for row in rows if not row[AUGMENTED_COLUMN]] for rows in (before, after)]
        assert sorted(real[0]) == sorted(real[1])
        augmented = after.filter(lambda row: row[AUGMENTED_COLUMN])
        assert set(Counter(augmented["pair"]).values()) == {2}
        assert association(augmented) == 0
        assert association(before.filter(lambda row: row[AUGMENTED_COLUMN])) == 1

    def test_rows_without_a_twin_stay_and_are_counted(self, tmp_path):
        texts = ["She flies.", "He rests.", "They sing.", "The hostess waits."]
        config = parse_config(table(tmp_path, texts, "--epochs", "0.1"))
        cell = Cell(1.0, "cda", 0.5, seed=0)
        rows = training_mix(config, make_task(config), cell)
        plain = training_mix(config, make_task(config), cell._replace(mitigation="none"))
        kept = [[row["prompt"] for row in each if row[AUGMENTED_COLUMN]] for each in (plain, rows)]
        twinless = [sorted(text for text in each if text in texts[2:]) for each in kept]
        assert twinless[0] == twinless[1]
        assert run_cell(config, make_task(config), cell)["rows"] == {
            "real": 20, "augmented": 20, "unpaired": len(twinless[0]) + (20 - len(twinless[0])) % 2,
        }  # fmt: skip

    def test_a_table_is_balanced_by_its_columns(self, tmp_path):
        config = parse_config(table(tmp_path, ["She flies."]))
        rows = mixed(config, "balanced", 0.5)
        found = Counter(zip(rows["label"], rows["group"], strict=True))
        assert len(rows) == 40
        assert all(abs(found[label, "f"] - found[label, "m"]) <= 1 for label in "ab")

    def test_rows_of_a_label_that_a_group_has_no_row_of_stay_and_are_counted(self, config):
        real, augmented = cells(af=6, bf=4, bm=4, cf=2, cm=2), cells(af=4, bm=6, cf=6)
        rows = mix_rows(real, augmented, make_task(config), Cell(1.0, "balanced", 0.5, seed=0))
        # Of b and c together, 12 rows of each group; 14 of label b and 10 of c.
        found = Counter(label + group for label, group in zip(rows["label"], rows["group"], strict=True))
        assert found == {"af": 10, "bf": 7, "bm": 7, "cf": 5, "cm": 5}
        assert count_rows(rows)["unbalanced"] == 10

    def test_tasks_of_made_up_rows_have_groups_to_balance_and_to_swap(self, tmp_path):
        arguments = ["--task", "tasks", "--attribute", "gender", "--tasks", "hiring", "--made_up_rows", "true"]
        config = parse_config([*SMALL, *arguments, "--max_items", "4", "--output_dir", str(tmp_path)])
        task = make_task(config)
        none, balanced, cda = (
            training_mix(config, task, Cell(1.0, name, 0.5, 0)) for name in ("none", "balanced", "cda")
        )
        groups = Counter(balanced["group"])
        assert max(groups.values()) - min(groups.values()) <= 1
        assert count_rows(cda)["augmented"] == count_rows(none)["augmented"]
        assert count_rows(cda)["unpaired"] < 50

    def test_twins_of_cultures_swap_the_pairs_of_a_file(self, tmp_path):
        pairs = tmp_path / "pairs.tsv"
        pairs.write_text("danish\tother\nDane\tItalian\nDenmark\tItaly\nDane\tKorean\nDenmark\tKorea\n")
        texts = ["A Dane sings of Denmark.", "She rests."]
        config = parse_config(table(tmp_path, texts, "--twin_pairs", str(pairs)))
        rows = training_mix(config, make_task(config), Cell(1.0, "cda", 0.5, seed=0))
        twins = Counter(row["prompt"] for row in rows if row["pair"] >= 0)
        assert set(twins) == {texts[0], "An Italian sings of Italy."} and len(set(twins.values())) == 1
        assert not any(row["pair"] >= 0 for row in rows if not row[AUGMENTED_COLUMN])

    def test_the_content_of_the_pairs_names_the_cells(self, tmp_path):
        found = []
        for word in ("Italian", "Korean"):
            (tmp_path / "pairs.tsv").write_text(f"danish\tother\nDane\t{word}\n")
            config = parse_config(table(tmp_path, ["A Dane."], "--twin_pairs", str(tmp_path / "pairs.tsv")))
            found.append(cell_id(config, Cell(1.0, "cda", 0.5, seed=0)))
        assert len(set(found)) == 2

    def test_made_up_rows_of_cultures_have_twins(self, tmp_path):
        arguments = ["--task", "tasks", "--attribute", "culture", "--tasks", "hiring", "--made_up_rows", "true"]
        arguments += ["--mitigations", "none", "cda", "--max_items", "4", "--output_dir", str(tmp_path)]
        config = parse_config([*SMALL, *arguments])
        rows = training_mix(config, make_task(config), Cell(1.0, "cda", 0.5, 0))
        assert count_rows(rows) == {"real": 100, "augmented": 100, "unpaired": 0}

    def test_each_is_a_cell_that_makes_as_many_steps(self, config):
        assert set(BASELINES) <= set(MITIGATIONS) & set(ORDER)
        task = make_task(config)
        records = [run_cell(config, task, Cell(1.0, name, 0.6, 0)) for name in ("none", *BASELINES)]
        assert [record["steps"] for record in records] == [2] * len(records)  # a tenth of 13, rounded up


@pytest.mark.slow
def test_baselines_reduce_the_bias_that_is_inherited_and_random_masks_do_not(tmp_path):
    settings = ["--base_epochs", "2", "--training_rows", "600", "--report_to", "none", "--augmented_weight", "0.05"]
    config = parse_config([*settings, "--output_dir", str(tmp_path)])
    task = make_task(config)
    names = ("none", "down-weight", "balanced", "cda", "mask", "mask-random")
    metrics = {name: run_cell(config, task, Cell(1.0, name, 0.6, seed=0))["metrics"] for name in names}
    # Of one seed, models that are trained in the same way are the same.
    assert len({tuple(values.items()) for values in metrics.values()}) == len(names)
    inherited = metrics["none"]["bias"]
    assert inherited > 0.05
    for name in ("down-weight", "balanced", "cda", "mask"):
        assert metrics[name]["bias"] < inherited / 2
        assert metrics[name]["utility"] > 0.7
    assert metrics["mask-random"]["bias"] > inherited / 2


class TestRefusals:
    def test_what_cannot_be_is_refused_before_any_training(self, tmp_path, capsys):
        arguments = table(tmp_path, ["They sing."], "--bias_ratios", "0", "0.5", "--mitigations", "none", "cda")
        assert main(arguments) == 2
        message = capsys.readouterr().err
        assert "none of the 20 augmented rows has a twin (nothing to swap: 20)" in message
        assert not (tmp_path / "out" / "models").exists()

    def test_labels_that_no_draw_can_balance(self, config):
        with pytest.raises(ConfigError, match=r"'balanced' needs a label of which every group.*there is none"):
            mix_rows(cells(af=2, bm=2), cells(af=1), make_task(config), Cell(1.0, "balanced", 0.2, seed=0))

    def test_cda_of_cultures_without_pairs(self):
        arguments = ["--task", "tasks", "--tasks", "hiring", "--attribute", "culture", "--real_file", "r.jsonl"]
        arguments += ["--augmented_file", "a.jsonl", "--prompt_column", "p", "--completion_column", "c"]
        with pytest.raises(ConfigError, match=r"^`twin_pairs` is missing: .* give a file of pairs"):
            parse_config([*arguments, "--mitigations", "none", "cda"])
        assert parse_config([*arguments, "--mitigations", "none", "mask"])
        assert parse_config([*arguments, "--mitigations", "none", "cda", "--twin_pairs", "pairs.tsv"])

    def test_pairs_that_would_not_be_read(self):
        with pytest.raises(ConfigError, match="`twin_pairs`: the testbed has pairs of its own"):
            parse_config(["--twin_pairs", "pairs.tsv"])
        tasks = ["--task", "tasks", "--tasks", "hiring", "--attribute", "culture", "--made_up_rows", "true"]
        with pytest.raises(ConfigError, match="`twin_pairs` is not read with `made_up_rows`"):
            parse_config([*tasks, "--twin_pairs", "pairs.tsv"])

    def test_a_file_that_holds_no_pairs(self, tmp_path):
        pairs = tmp_path / "pairs.tsv"
        pairs.write_text("danish other\nDane Turk\n")
        config = parse_config(table(tmp_path, ["A Dane sings."], "--twin_pairs", str(pairs)))
        with pytest.raises(
            ConfigError, match=r"^`twin_pairs`: .*pairs\.tsv: line 1 must be two words or names with one"
        ):
            training_mix(config, make_task(config), Cell(1.0, "cda", 0.5, seed=0))

    def test_a_file_of_pairs_that_is_not_there(self, tmp_path, capsys):
        pairs = str(tmp_path / "pairs.tsv")
        arguments = ["--bias_ratios", "0", "0.5", "--mitigations", "none", "cda", "--twin_pairs", pairs]
        assert main(table(tmp_path, ["A Dane sings."], *arguments)) == 2
        assert f"`twin_pairs`: {pairs} cannot be read: No such file" in capsys.readouterr().err
        assert not (tmp_path / "out" / "models").exists()

    def test_rows_without_a_group_column_cannot_be_balanced(self, tmp_path):
        opinions = ["--task", "table", "--real_file", "r.jsonl", "--test_file", "t.jsonl", "--text_column", "text"]
        opinions += ["--completion_column", "answer", "--options_column", "o", "--distribution_column", "d"]
        with pytest.raises(ConfigError, match="`group_column` is needed for 'balanced'"):
            parse_config([*opinions, "--mitigations", "none", "balanced"])

    @pytest.mark.parametrize("weight", ["1", "-0.1"])
    def test_a_weight_that_weighs_nothing_down(self, weight):
        with pytest.raises(ConfigError, match=r"`augmented_weight` must lie in \[0, 1\)"):
            parse_config(["--augmented_weight", weight])
