"""`mitigate report`: a page from a folder alone, finished or not, and the same for W&B."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from mitigate.recipes.cli import main
from mitigate.recipes.config import parse_config
from mitigate.recipes.description import describe, described_records, read_description, write_description
from mitigate.recipes.grid import cells_of
from mitigate.recipes.tracking import sweep_tag
from tests.pages import Outline
from tests.sweep_folders import write_folder
from tests.sweeps import TASKS, TYPES, sweep, task_sweep

DAMAGES = {
    "{": "no JSON",
    "": "no JSON",
    "[1]": "no JSON object",
    "null": "no JSON object",
    "cell": "its `cell` is not the one that its name stands for",
    "status": "it has no `status`",
    "tasks": "it has neither `tasks` nor `metrics`",
    "steps": "its `rows` lack real or augmented rows, or it lacks `steps`",
}
RECIPES = Path(__file__).parents[1] / "recipes"
AUDIT = {"findings": {"groups": {"factor": "groups", "grade": "apart", "sentence": "Groups are apart.", "advice": ""}}}


def one_task(**settings):
    """Records of a sweep of one task, with ids."""
    return [{**r, "cell_id": f"{i:016x}"} for i, r in enumerate(sweep(**settings))]


class TestReport:
    def test_of_tasks_and_types(self, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", task_sweep(), title="Ten tasks")
        assert main(["report", str(folder)]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "Bias is inherited on related tasks" in printed
        outline = Outline((folder / "report.html").read_text(encoding="utf-8"))
        assert "Ten tasks" in outline.shown
        assert "there is no audit.json" in outline.shown
        rows = list(csv.DictReader(io.StringIO((folder / "tables" / "grid.csv").read_text(encoding="utf-8"))))
        assert {row["bias_type"] for row in rows} == {"mean of bias types", *TYPES}
        assert {row["task"] for row in rows} == set(TASKS)

    def test_of_one_task(self, tmp_path):
        folder = write_folder(tmp_path / "sweep", one_task(), tasks={"world": True})
        assert main(["report", str(folder)]) == 0
        outline = Outline((folder / "report.html").read_text(encoding="utf-8"))
        assert "Inheritance curves" in outline.shown
        assert {path.name for path in (folder / "tables").iterdir()} == {
            *("slopes.csv", "trends.csv", "bias.csv", "utility.csv")
        }
        assert {"table.csv", "inheritance.svg"} <= {path.name for path in folder.iterdir()}

    def test_of_an_unfinished_sweep_says_what_is_missing(self, tmp_path, capsys):
        records = task_sweep()
        records[-1] = {**records[-1], "status": "missing"}
        records[-2] = {
            "cell_id": records[-2]["cell_id"],
            "cell": records[-2]["cell"],
            "status": "failed",
            "error": "x",
        }
        folder = write_folder(tmp_path / "sweep", records)
        assert main(["report", str(folder)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "contextual, mask, β = 1, ρ = 0.75, seed 4 (missing)" in said
        assert "contextless, mask, β = 1, ρ = 0.75, seed 4 (failed)" in said

    @pytest.mark.parametrize(("damage", "problem"), DAMAGES.items())
    def test_a_damaged_record_is_named_and_the_rest_goes_on(self, damage, problem, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", task_sweep(types=("all",)))
        path = sorted((folder / "cells").iterdir())[-1]
        record = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in record.items() if k != damage}) if damage in record else damage)
        assert main(["report", str(folder)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"seed 4 (unreadable: cells/{path.name}, {problem})" in said
        assert "Incomplete sweep: 1 of " in said
        assert main(["report", "--compare", str(folder), str(folder), "--output_dir", str(tmp_path / "out")]) == 0

    def test_a_task_without_a_result_in_one_record_keeps_the_others(self, tmp_path, capsys):
        records = task_sweep(types=("all",))
        records[-1]["tasks"] = {**records[-1]["tasks"], "salary": {"utility": 0.5}}
        records[-2]["tasks"] = {name: records[-2]["tasks"][name] for name in ("hiring", "topics")}
        folder = write_folder(tmp_path / "sweep", records)
        assert main(["report", str(folder)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"On salary bias or utility could not be measured in 2 of {len(records)} cells" in said
        assert "seed 4 (no result of this task)" in said
        assert "seed 4 (no bias of this task)" in said
        assert (folder / "tables" / "salary-bias.csv").is_file()

    def test_a_folder_is_for_comparisons(self, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", task_sweep(seeds=1))
        with pytest.raises(SystemExit):
            main(["report", str(folder), "--output_dir", str(tmp_path / "out")])
        assert "--output_dir is the folder of a comparison" in capsys.readouterr().err
        assert not (folder / "report.html").exists()

    def test_before_anything_is_finished(self, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", [{**r, "status": "missing"} for r in task_sweep(seeds=1)])
        assert main(["report", str(folder)]) == 1
        assert "There is no report: Nothing to analyse" in capsys.readouterr().err
        assert {path.name for path in folder.iterdir()} == {"cells", "sweep.json"}

    def test_audit(self, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", one_task(), tasks={"world": True})
        (folder / "audit.json").write_text(json.dumps(AUDIT))
        assert main(["report", str(folder)]) == 0
        assert "Groups are apart." in Outline((folder / "report.html").read_text(encoding="utf-8")).shown
        (folder / "audit.json").write_text("{}")
        assert main(["report", str(folder)]) == 2
        assert "is not what `mitigate audit` writes" in capsys.readouterr().err

    def test_cells_and_places_that_do_not_match(self, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", task_sweep(seeds=1))
        description = json.loads((folder / "sweep.json").read_text())
        description["cells"].pop()
        (folder / "sweep.json").write_text(json.dumps(description))
        assert main(["report", str(folder)]) == 2
        assert "is no description of a sweep" in capsys.readouterr().err

    @pytest.mark.parametrize("content", [None, "{", "[]", '{"title": "x"}'])
    def test_of_a_folder_that_is_none(self, content, tmp_path, capsys):
        if content is not None:
            (tmp_path / "sweep.json").write_text(content)
        assert main(["report", str(tmp_path)]) == 2
        assert "sweep.json" in capsys.readouterr().err


class TestDescription:
    def test_written_and_read(self, tmp_path):
        config = parse_config(["--output_dir", str(tmp_path), "--seeds", "0", "1", "--title", "Größe"])
        description = describe(config, {"bias": "gap"})
        write_description(tmp_path, description)
        assert read_description(tmp_path) == description
        assert description.tasks["world"].labels == {"bias": "gap"}
        records = list(described_records(tmp_path, description))
        assert [record["status"] for record in records] == ["missing"] * len(cells_of(config))
        assert sweep_tag(description.config) == sweep_tag(config.as_dict())

    def test_a_control_task_has_no_relation(self, tmp_path):
        config = parse_config(["--config", str(RECIPES / "gender.yaml"), "--tiny", "--output_dir", str(tmp_path)])
        tasks = describe(config, {}).tasks
        assert {task.related for task in tasks.values()} == {True, False}
        assert all(task.related == (task.relation != "none") for task in tasks.values())

    def test_the_tag_tells_sweeps_apart_by_what_changes_results(self, tmp_path):
        def tag(*more):
            return sweep_tag(parse_config(["--output_dir", "outputs/mine", *more]).as_dict())

        assert tag().startswith("mine-")
        assert tag() == tag("--workers", "1", "--title", "other")
        assert tag() != tag("--epochs", "2")


class TestWandb:
    def test_offline_it_is_kept_and_the_commands_are_printed(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "offline")
        folder = write_folder(
            tmp_path / "sweep", task_sweep(), tasks={"hiring": True, "salary": True, "topics": False}
        )
        (folder / "wandb" / "offline-run-1").mkdir(parents=True)
        assert main(["report", str(folder), "--wandb", "team/bias"]) == 0
        printed = capsys.readouterr().out
        assert f"mitigate report {folder} --wandb team/bias" in printed
        assert f"wandb sync --entity team --project bias {folder / 'wandb'}/offline-run-*" in printed
        report = json.loads((folder / "report.json").read_text())
        tag = sweep_tag(read_description(folder).config)
        blocks = report["spec"]["blocks"]
        assert report["project"] == {"name": "bias", "entityName": "team"}
        (panels,) = (block["metadata"] for block in blocks if block["type"] == "panel-grid")
        (runs,) = panels["runSets"]
        assert runs["filters"]["filters"] == [
            {"key": {"section": "run", "name": "tags"}, "op": "IN", "value": [tag], "disabled": False}
        ]
        assert [key["name"] for key in runs["grouping"]] == ["mitigation.value", "bias_ratio.value"]
        kinds = [panel["viewType"] for panel in panels["panelBankSectionConfig"]["panels"]]
        assert kinds == ["Bar Chart", "Scatter Plot"] * 3 + ["Weave", "Run Comparer"]
        markdown = [block["content"] for block in blocks if block["type"] == "markdown-block"]
        assert any("| bias is inherited on related tasks | +" in text for text in markdown)
        (bullets,) = (block["children"] for block in blocks if block["type"] == "list")
        assert "Bias is inherited on related tasks" in json.dumps(bullets)

    def test_the_view_of_two_sweeps_groups_by_mitigation_and_sweep(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "offline")
        folders = [
            write_folder(tmp_path / name, task_sweep(rng=number), learning_rate=number)
            for number, name in enumerate("ab")
        ]
        out = tmp_path / "out"
        command = ["report", "--compare", *map(str, folders), "--output_dir", str(out), "--wandb", "team/bias"]
        assert main(command) == 0
        view = json.loads((out / "view.json").read_text())
        (runs,) = view["spec"]["section"]["runSets"]
        assert runs["filters"]["filters"][0]["value"] == [sweep_tag(read_description(f).config) for f in folders]
        assert [key["name"] for key in runs["grouping"]] == ["mitigation.value", "sweep.value"]

    def test_names_are_no_markdown(self):
        from mitigate.report.tables import Table
        from mitigate.report.wandb_report import markdown_table

        text = markdown_table(Table("c|d", ("a",), (("<img src=x> [x](y) | *b*\n",),)))
        assert text.splitlines()[-1] == "| &lt;img src=x&gt; \\[x\\](y) \\| \\*b\\* |"

    @pytest.mark.parametrize("place", ["team", "team/", "/bias", "a/b/c"])
    def test_a_wrong_place(self, place, tmp_path, capsys):
        folder = write_folder(tmp_path / "sweep", task_sweep(seeds=1))
        assert main(["report", str(folder), "--wandb", place]) == 2
        assert "must be ENTITY/PROJECT" in capsys.readouterr().err
        assert not (folder / "report.html").exists()

    def test_without_the_package(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
        folder = write_folder(tmp_path / "sweep", task_sweep(seeds=1))
        assert main(["report", str(folder), "--wandb", "team/bias"]) == 2
        assert "mitigate[wandb-report]" in capsys.readouterr().err
