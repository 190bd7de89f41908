"""What trackers are told of a cell: none of them gets rows, and none goes to the network by itself."""

import json
import os
import subprocess
import sys

import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mitigate.cells import Cell
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.grid import cell_id, run_name
from mitigate.recipes.tracking import log_measured, sweep_tag, tracked

CELL = Cell(1.0, "none", 0.5, 0)
OWN = {"bias": 0.1, "utility": 0.8, "bias_low": 0.05, "unparsed/a": 0.5, "unparsed/b": 0.0, "n/a": 10.0, "n/b": 30.0}
MEASURED = {"tasks": {"hiring": OWN, "topics": {"bias": None, "utility": 0.9}}}


def config(tmp_path, tracker):
    return parse_config(["--output_dir", str(tmp_path / "mine"), "--report_to", tracker])


def test_tensorboard_has_the_losses_and_results_of_a_cell_in_one_folder(tmp_path):
    chosen = config(tmp_path, "tensorboard")
    folder = tmp_path / "mine" / "tensorboard" / cell_id(chosen, CELL)
    with tracked(chosen, CELL):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(folder)  # where transformers writes
        log_measured(chosen, CELL, MEASURED)
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    events = EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {*(f"hiring/{name}" for name in OWN), "topics/utility"}
    assert events.Scalars("hiring/bias")[0].value == pytest.approx(0.1)


def test_wandb_has_a_table_with_a_row_for_each_task(tmp_path):
    chosen = config(tmp_path, "wandb")
    (tmp_path / "mine").mkdir()
    with tracked(chosen, CELL) as run:
        log_measured(chosen, CELL, MEASURED)
        assert run.tags == ("world", "none", sweep_tag(chosen.as_dict()))
        assert run.config["sweep"] == sweep_tag(chosen.as_dict())
        assert dict(run.summary)["hiring/bias"] == 0.1
        assert "topics/bias" not in dict(run.summary)
    assert wandb.run is None
    (table,) = (tmp_path / "mine").rglob("*.table.json")
    written = json.loads(table.read_text())
    assert written["columns"] == ["task", "bias", "bias_low", "bias_high", "utility", "unparsed", "refused"]
    assert written["data"] == [
        ["hiring", 0.1, 0.05, None, 0.8, 0.125, None],
        ["topics", None, None, None, 0.9, None, None],
    ]


@pytest.mark.slow
def test_trackio_keeps_results_on_this_machine_beside_the_losses_of_the_trainer(tmp_path):
    chosen = config(tmp_path, "trackio")
    name = run_name(chosen, CELL)
    code = (
        "import json, sys; from mitigate.cells import Cell; from mitigate.recipes.config import parse_config;"
        "from mitigate.recipes.tracking import log_measured;"
        "arguments, cell, measured = map(json.loads, sys.argv[1:]);"
        "import trackio; trackio.init(project='mitigate', name=run_name, resume='allow'); trackio.log({'loss': 2.0});"
        "trackio.finish(); log_measured(parse_config(arguments), Cell(*cell), measured)"
    ).replace("run_name", repr(name))
    arguments = [["--output_dir", str(tmp_path / "mine"), "--report_to", "trackio"], list(CELL), MEASURED]
    # Where it writes is read on import, so in processes of their own.
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}

    def run(*command):
        result = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=120
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    run("-c", code, *map(json.dumps, arguments))
    assert json.loads(run("-m", "trackio.cli", "list", "runs", "--project", "mitigate", "--json"))["runs"] == [name]
    listed = run("-m", "trackio.cli", "list", "metrics", "--project", "mitigate", "--run", name, "--json")
    assert {"loss", "hiring/bias", "topics/utility"} <= set(json.loads(listed)["metrics"])


@pytest.mark.parametrize("tracker", ["none", "trackio"])
def test_nothing_is_opened_before_training(tracker, tmp_path):
    with tracked(config(tmp_path, tracker), CELL):
        assert wandb.run is None
    assert not (tmp_path / "mine").exists()


def test_a_tracker_that_is_none_and_one_that_is_not_installed(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"'tensorbord' is none of .* Did you mean 'tensorboard'"):
        config(tmp_path, "tensorbord")
    monkeypatch.setattr("mitigate.recipes.checks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'trackio' is not installed. Run `pip install trackio`"):
        config(tmp_path, "trackio")
