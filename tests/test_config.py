"""Configurations: what is in the repository can be read, and every mistake is told before anything is trained."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mitigate.recipes.arguments import BIAS_TYPES, MITIGATIONS, MitigationArguments
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.grid import READ_BY, cell_id, cells_of
from mitigate.recipes.sweep import main
from mitigate.tasks import TASKS as DOWNSTREAM

RECIPES = Path(__file__).parents[1] / "recipes"
# recipes/accelerate/ holds configurations of accelerate, not of a sweep; tests/test_augment.py reads the other one.
FILES = sorted(path for path in RECIPES.glob("*.yaml") if path.name != "augment.yaml" and "-tiny" not in path.name)
TINY = [path for path in FILES if path.with_name(f"{path.stem}-tiny.yaml").is_file()]
TABLE = {
    "task": "table", "real_file": "real.csv", "test_file": "test.csv", "text_column": "text", "label_column": "label",
    "group_column": "group", "stereotypes": ["nurse=f", "pilot=m"],
}  # fmt: skip
TASKS = {
    "task": "tasks", "tasks": ["hiring", "topics"], "attribute": "gender", "real_file": "real.csv",
    "augmented_file": "augmented.csv", "prompt_column": "prompt", "completion_column": "answer",
}  # fmt: skip


def parse(**settings):
    """Read a configuration from a file, as users do."""
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    return parse_config(["--config", "config.yaml"])


def ids(**settings):
    config = parse(**settings)
    return {cell_id(config, cell) for cell in cells_of(config)}


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_recipe_can_be_read(path):
    written = yaml.safe_load(path.read_text())
    # A template leaves the files to its user.
    names = ("real_file", "test_file", "twin_pairs")
    files = [f"--{name}={name}.csv" for name in names if written.get(name, "") is None]
    config = parse_config(["--config", str(path), *files])
    written = {name: value for name, value in written.items() if value is not None}
    assert {name: config.as_dict()[name] for name in written} == written
    assert len(set(cells_of(config))) == len(cells_of(config))


@pytest.mark.parametrize("path", TINY, ids=[path.stem for path in TINY])
def test_a_tiny_run_goes_the_whole_way_offline(path):
    config = parse_config(["--config", str(path), "--tiny"])
    files = ["--real_file", "r.csv", "--augmented_file", "a.csv", "--twin_pairs", "p.tsv"]
    whole = parse_config(["--config", str(path), *files])
    assert config.model.model is None and config.tasks.made_up_rows and config.run.report_to == "none"
    assert config.tasks.tasks == whole.tasks.tasks == list(DOWNSTREAM)
    for name in ("bias_types", "mitigations"):
        assert set(getattr(config.grid, name)) == set(getattr(whole.grid, name))
    assert set(config.grid.bias_types) == set(BIAS_TYPES) and len(config.grid.seeds) >= 2
    assert config.run.output_dir != whole.run.output_dir


def test_the_tiny_file_goes_over_the_file_and_the_command_line_over_both():
    Path("a.yaml").write_text("epochs: 3\nbatch_size: 8\nseeds: [0, 1]\nmodel: large\n")
    Path("a-tiny.yaml").write_text("epochs: 2\nseeds: [5]\nmodel: null\nbatch_size: 4\n")
    config = parse_config(["--tiny", "--config", "a.yaml", "--batch_size", "2"])
    assert (config.fit.epochs, config.fit.batch_size, config.grid.seeds, config.model.model) == (2, 2, [5], None)
    assert parse_config(["--config", "a.yaml"]).model.model == "large"


def test_a_recipe_without_a_tiny_run_says_so():
    Path("a.yaml").write_text("epochs: 3\n")
    with pytest.raises(ConfigError, match=r"`--tiny`: a\.yaml has no tiny run, for which a-tiny\.yaml would have"):
        parse_config(["--config", "a.yaml", "--tiny"])
    with pytest.raises(ConfigError, match="`--tiny` reads a file beside that of `--config`"):
        parse_config(["--tiny"])


def test_the_command_line_overrides_the_file():
    Path("config.yaml").write_text("epochs: 3\nseeds: [0, 1]\n")
    config = parse_config(["--config", "config.yaml", "--seeds", "7", "--mitigations", "none", "mask"])
    assert (config.fit.epochs, config.grid.seeds, config.grid.mitigations) == (3, [7], ["none", "mask"])


def test_cells_of_bias_ratio_zero_serve_all_arms():
    config = parse(bias_ratios=[0, 0.5], doses=[0, 1], mitigations=["none", "mask", "loss"], seeds=[0, 1])
    cells = cells_of(config)
    assert sum(cell.bias_ratio == 0 for cell in cells) == 2
    assert sum(cell.dose == 0 and cell.bias_ratio > 0 for cell in cells) == 2  # the null arm, without mitigations
    assert len(cells) == 2 * (1 + 1 + 3) == len(set(cells))


def test_arms_without_augmented_rows_serve_all_bias_types():
    config = parse(
        **TASKS,
        bias_types=["explicit", "implicit"],
        mitigations=["none", "drop", "mask"],
        bias_ratios=[0, 0.5],
        seeds=[0],
    )
    cells = Counter((cell.mitigation, cell.bias_type) for cell in cells_of(config) if cell.bias_ratio)
    mixed = [(mitigation, kind) for mitigation in ("none", "mask") for kind in ("explicit", "implicit")]
    assert cells == Counter([("drop", "all"), *mixed])


class TestMistakes:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"epoch": 1}, "There is no key `epoch`. Did you mean 'epochs'?"),
            ({"bias_ratios": [0, 1.0]}, r"`bias_ratios`: The bias ratio must lie in [0, 1), got 1.0"),
            ({"bias_ratios": [0, -0.5]}, r"must lie in [0, 1), got -0.5"),
            ({"bias_ratios": [0.2, 0.4]}, "`bias_ratios` must hold 0"),
            ({"bias_ratios": [0]}, "and one more, got [0.0]"),
            ({"training_rows": 300, "bias_ratios": [0, 0.001]}, "0.001 of 300 rows is 0 augmented and 300 real rows"),
            ({"training_rows": 300, "bias_ratios": [0, 0.999]}, "0.999 of 300 rows is 300 augmented and 0 real rows"),
            ({"training_rows": 300, "bias_ratios": [0, 0.5, 0.5001]}, "0.5 and 0.5001 of 300 rows are both 150"),
            ({"doses": [0, 1.5]}, r"`doses` must lie in [-1, 1], got 1.5"),
            ({"mitigations": ["none", "maks"]}, "`mitigations`: 'maks' is none of none, drop"),
            ({"mitigations": ["none", "maks"]}, "Did you mean 'mask'?"),
            ({"mitigations": ["mask"]}, "`mitigations` must hold `none`, with which the others are compared"),
            ({"null_mitigations": ["non"]}, "`null_mitigations`: 'non' is none of"),
            ({"task": "wrld"}, "`task`: 'wrld' is none of world, table, tasks. Did you mean 'world'?"),
            ({"report_to": "wandbb"}, "Did you mean 'wandb'?"),
            ({"mitigations": ["none", "loss"], "discrepancy": "mdm"}, "Did you mean 'mmd'?"),
            ({**TABLE, "mitigations": ["none", "mask"], "lexicon": ["nationality", "gendr"]}, "`lexicon`: "),
            ({"seeds": [1, 1]}, "`seeds` must hold at least one value and none twice, got [1, 1]"),
            ({"tag_dropout": 1.0}, "must lie in [0, 1), got 1.0"),
            ({"loss_weight": -1}, "`loss_weight` must be at least 0, got -1"),
            ({"training_rows": 0}, "`training_rows` must be greater than 0, got 0"),
            ({"mitigations": ["none", "token"], "architecture": "classification"}, "set it to `start`"),
            ({**TABLE, "real_file": None}, "`real_file` is missing"),
            ({**TABLE, "stereotypes": ["nurse"]}, "'nurse' is not of the form label=group"),
            ({**TABLE, "stereotypes": ["chef=m", "chef=f"]}, "`stereotypes`: 'chef' has several groups."),
            ({"real_file": "real.csv"}, "`real_file`: the testbed makes its own rows; set `task: table`"),
            ({**TABLE, "max_items": 5}, "`max_items` is for `task: tasks`, got 5 with `task: table`"),
            ({**TABLE, "label_column": None}, "are needed for the TPR gap"),
            ({**TABLE, "options_column": "o"}, "`options_column` and `distribution_column` go together"),
            ({**TASKS, "tasks": ["hirng"]}, "`tasks`: 'hirng' is none of hiring, salary"),
            ({**TASKS, "tasks": ["hirng"]}, "Did you mean 'hiring'?"),
            ({**TASKS, "tasks": ["topics", "topics"]}, "`tasks` must hold at least one task and none twice"),
            ({**TASKS, "bias_types": ["explict"]}, "`bias_types`: 'explict' is none of all, contextless"),
            ({**TASKS, "bias_types": ["explict"]}, "Did you mean 'explicit'?"),
            ({**TASKS, "attribute": None}, "`attribute` must be gender or culture, whose bias is studied, got None"),
            ({**TASKS, "architecture": "classification"}, "`architecture`: a classifier can answer none of the tasks"),
            ({**TASKS, "doses": [0, 1]}, "`doses` must be [1] with `task: tasks`"),
            ({**TASKS, "max_items": 0}, "`max_items` must be greater than 0, got 0"),
            ({**TASKS, "eval_batch_size": 0}, "`eval_batch_size` must be greater than 0, got 0"),
            ({**TASKS, "real_file": None}, "`real_file` is missing: `task: tasks` needs a file of real rows, or"),
            ({**TASKS, "prompt_column": None}, "Name either `text_column` or `prompt_column`"),
            ({**TASKS, "test_file": "t.csv"}, "`test_file` is not read with `task: tasks`"),
            ({**TASKS, "made_up_rows": True}, "`real_file` is not read with `made_up_rows`"),
            ({**TASKS, "mitigations": ["none", "balanced"]}, "`group_column` is needed for 'balanced'"),
            ({**TABLE, "bias_types": ["explicit"]}, "`bias_types`: the rows of `task: table` have none"),
            ({"seeds": [0, -1]}, "`seeds` must lie in [0, 2**32), got -1"),
            ({"hidden_size": 50}, "`hidden_size` must be a multiple of 16, as each attention head has 16, got 50"),
            ({"output_dir": "config.yaml/out"}, "`output_dir` must be a folder, and config.yaml is a file"),
            ({**TASKS, "items_dir": "/nope/typo"}, "`items_dir`: there is no folder /nope/typo"),
            ({"tasks": ["hiring"]}, "`tasks` is for `task: tasks`, got ['hiring'] with `task: world`"),
        ],
    )
    def test_a_mistake_is_told_with_its_field_and_value(self, settings, message):
        with pytest.raises(ConfigError) as error:
            parse(**settings)
        assert message in str(error.value)

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("hirng.csv", "hiring"),
            ("hiring.json", "hiring"),
            ("hiring.csv.gz", "hiring"),
            ("job.csv", "jobs"),
            ("x.jsonl", None),
        ],
    )
    def test_a_file_of_items_that_would_be_passed_over_is_told(self, name, meant):
        for file in ("stories.csv", "README.md", name):  # a task that this sweep does not ask
            Path("items", file).parent.mkdir(exist_ok=True)
            Path("items", file).touch()
        with pytest.raises(ConfigError) as error:
            parse(**TASKS, items_dir="items")
        hint = f" Did you mean '{meant}'?" if meant else ""
        assert str(error.value) == f"`items_dir`: items/{name} is not `<task>.jsonl` or `<task>.csv`.{hint}"
        Path("items", name).unlink()
        assert parse(**TASKS, items_dir="items")
        Path("items/stories.csv").unlink()
        with pytest.raises(ConfigError, match=r"`items_dir`: items holds no `<task>.jsonl` or `<task>.csv`"):
            parse(**TASKS, items_dir="items")

    @pytest.mark.parametrize(
        "settings",
        [
            {"epochs": "many"},
            {"epochs": [1]},
            {"seeds": 3},
            {"seeds": ["a"]},
            {"seeds": [0.5]},
            {"bias_ratios": [0, "x"]},
            {"training_rows": 40.5},
            {"lora": "maybe"},
            {"mitigations": "none"},
            {"model": {"a": 1}},
            {"seeds": [[0, 1]]},
            {"lexicon": [{"a": "b"}]},
        ],
        ids=str,
    )
    def test_a_value_of_the_wrong_type_is_told_with_its_field(self, settings):
        (name, value) = next(iter(settings.items()))
        with pytest.raises(ConfigError) as error:
            parse(**settings)
        assert name in str(error.value)
        assert str(value if not isinstance(value, list) else value[-1]) in str(error.value)
        assert "'n' is none of" not in str(error.value)  # a word taken for a list of letters

    @pytest.mark.parametrize(
        "name", ["seeds", "bias_ratios", "doses", "bias_types", "mitigations", "null_mitigations", "lexicon"]
    )
    def test_an_empty_list_is_not_taken_for_the_default(self, name):
        with pytest.raises(ConfigError, match=rf"`{name}` must hold at least one value, got \[\]\. Left out, it is"):
            parse(**{name: []})

    def test_a_list_that_is_empty_by_default_may_be_empty(self):
        assert parse(stereotypes=[], tasks=[]).tasks.tasks == []

    @pytest.mark.parametrize("name", ["mitigations", "null_mitigations"])
    def test_a_mitigation_named_twice_is_one_arm_or_refused(self, name):
        try:
            cells = cells_of(parse(**{name: ["none", "none"], "doses": [0, 1]}))
        except ConfigError as error:
            assert name in str(error)
        else:
            assert len(cells) == len(set(cells))

    @pytest.mark.parametrize("words", [["--epoch", "1"], ["--epoch=1"], ["--training_row", "5"]], ids=" ".join)
    def test_a_key_on_the_command_line_is_not_guessed_from_its_beginning(self, words):
        with pytest.raises(ConfigError, match=r"There is no key `(epoch|training_row)`\. Did you mean"):
            parse_config(words)

    def test_a_stray_word_is_not_passed_over(self):
        with pytest.raises(ConfigError, match="quickstart"):
            parse_config(["quickstart.yaml"])

    @pytest.mark.parametrize("words", [["--config", "."], ["--config", ".", "--tiny"]], ids=" ".join)
    def test_a_folder_in_place_of_a_file_is_refused(self, words):
        with pytest.raises(ConfigError, match=r"`--config`: \. cannot be read"):
            parse_config(words)

    @pytest.mark.parametrize("text", ["seeds: [0", "- seeds", "seeds: {a"], ids=["open", "list", "brace"])
    def test_a_file_that_is_not_a_mapping_is_refused(self, text):
        Path("config.yaml").write_text(text)
        with pytest.raises(ConfigError):
            parse_config(["--config", "config.yaml"])

    def test_a_key_that_stands_in_a_file_twice_is_refused(self):
        Path("config.yaml").write_text("epochs: 1\nseeds: [0]\nepochs: 2\n")
        with pytest.raises(ConfigError, match=r"the key 'epochs' stands there twice.*\n.*line 3"):
            parse_config(["--config", "config.yaml"])

    def test_all_mistakes_are_listed_at_once(self):
        with pytest.raises(ConfigError) as error:
            parse(epoch=1, bias_ratios=[0, 1.2], mitigations=["none", "msk"], batch_size=0, loss_weight=-1)
        lines = str(error.value).splitlines()
        assert len(lines) == 5
        for word in ("`epoch`", "1.2", "'msk'", "`batch_size`", "`loss_weight`"):
            assert sum(word in line for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochz", "1", "--bias_ratios", "0", "2"], "There is no key `epochz`"),
        (["--epochs", "many"], "epochs"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--task", "table", "--real_file", "no.csv", "--test_file", "no.csv", "--text_column", "t", "--label_column",
          "l", "--group_column", "g", "--stereotypes", "a=b"], "There is no file no.csv"),
        (["--model", "my-org/typo", "--dry_run"], "`model`: my-org/typo cannot be loaded: "),
        (["--model", "./typo", "--dry_run"], "`model`: there is no folder ./typo."),
    ],
)  # fmt: skip
def test_a_wrong_configuration_ends_with_two_and_trains_nothing(arguments, message, capsys):
    assert main([*arguments, "--output_dir", "results"]) == 2
    assert "This configuration cannot be run:" in (told := capsys.readouterr().err)
    assert message in told
    assert not Path("results").exists()


def test_a_word_list_that_only_the_null_arm_masks_is_looked_for(capsys):
    rows = [f"a,{label},{group},{n % 2}\n" for label in ("nurse", "pilot") for group in "fm" for n in range(8)]
    Path("rows.csv").write_text("".join(["text,label,group,augmented\n", *rows]))
    settings = {**TABLE, "real_file": "rows.csv", "test_file": "rows.csv", "training_rows": 8, "bias_ratios": [0, 0.5]}
    settings |= {"doses": [0, 1], "null_mitigations": ["none", "mask"], "lexicon": ["gone.txt"]}
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["--config", "config.yaml", "--dry_run"]) == 2
    assert "`lexicon`: " in capsys.readouterr().err


def test_rows_that_do_not_suffice_are_found_before_training(capsys):
    Path("rows.csv").write_text(
        "text,label,group,augmented\n"
        + "".join(f"a,{label},{group},{flag}\n" for label in ("nurse", "pilot") for group in "fm" for flag in (0, 1))
    )
    Path("config.yaml").write_text(yaml.safe_dump({**TABLE, "real_file": "rows.csv", "test_file": "rows.csv"}))
    assert main(["--config", "config.yaml", "--output_dir", "results", "--training_rows", "50"]) == 2
    assert "50 real rows are needed and 4 are there: lower `training_rows`" in capsys.readouterr().err
    assert not Path("results").exists()


class TestNamesOfCells:
    """A result is used again only for the settings that gave it."""

    @pytest.mark.parametrize(
        "change",
        [
            {"learning_rate": 1e-3}, {"training_rows": 41}, {"hidden_size": 32}, {"base_epochs": 1.0}, {"lora": True},
            {"model": "another"}, {"seeds": [5]},
        ],
        ids=str,
    )  # fmt: skip
    def test_a_changed_setting_gives_other_names(self, change):
        assert ids(seeds=[0, 1]).isdisjoint(ids(**{"seeds": [0, 1], **change}))

    @pytest.mark.parametrize(
        ("change", "arms"),
        [
            ({"loss_weight": 2.0}, {"loss", "loss-shuffled"}),
            ({"discrepancy": "mmd"}, {"loss", "loss-shuffled"}),
            ({"tag_position": "start"}, {name for name in MITIGATIONS if name.startswith("token")}),
            ({"tag_dropout": 0.5}, {name for name in MITIGATIONS if name.startswith("token")}),
            ({"lexicon": ["nationality"]}, {"mask", "mask-shuffled", "mask-random"}),
            ({"augmented_weight": 0.1}, {"down-weight"}),
            ({"twin_pairs": "pairs.tsv"}, {"cda"}),
            ({"augmented_file": "other.csv"}, {*MITIGATIONS} - {"drop", "repeat"}),
        ],
        ids=lambda value: " ".join(sorted(value)),  # a set has no order of its own, which xdist needs
    )
    def test_a_setting_of_a_mitigation_gives_other_names_to_its_arms_alone(self, change, arms):
        settings = {**TABLE, "seeds": [0], "bias_ratios": [0, 0.5], "mitigations": [*MITIGATIONS]}
        before, after = ({cell: cell_id(config, cell) for cell in cells_of(config)}
                         for config in (parse(**settings), parse(**settings, **change)))  # fmt: skip
        changed = {cell for cell in before if before[cell] != after[cell]}
        assert changed == {cell for cell in before if cell.bias_ratio and cell.mitigation in arms}

    def test_each_setting_of_the_mitigations_has_its_arms(self):
        assert {option.name for option in dataclasses.fields(MitigationArguments)} <= READ_BY.keys()
        assert {arm for arms in READ_BY.values() for arm in arms} <= {*MITIGATIONS}

    @pytest.mark.parametrize(
        "change",
        [{"workers": 1}, {"title": "T"}, {"report_to": "none"}, {"output_dir": "o"}, {"project": "p"}],
        ids=str,
    )
    def test_where_and_how_it_runs_gives_the_same_names(self, change):
        assert ids(seeds=[0, 1]) == ids(seeds=[0, 1], **change)

    def test_a_larger_grid_keeps_the_names_of_the_smaller_one(self):
        small = ids(seeds=[0, 1], bias_ratios=[0, 0.5])
        assert small < ids(seeds=[0, 1, 2], bias_ratios=[0, 0.25, 0.5], mitigations=["none", *MITIGATIONS[1:4]])

    @pytest.mark.parametrize("changed", ["a/rows.csv", "b/rows.csv", "c/rows.csv", "words.txt"])
    def test_a_changed_file_gives_other_names_even_where_all_files_are_called_the_same(self, changed):
        files = {"real_file": "a/rows.csv", "augmented_file": "b/rows.csv", "test_file": "c/rows.csv"}
        for name in [*files.values(), "words.txt"]:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text("she\n")
        settings = {
            **TABLE,
            **files,
            "lexicon": ["words.txt"],
            "mitigations": ["none", "mask"],
            "bias_ratios": [0, 0.5],
        }
        config = parse(**settings)
        before = {cell: cell_id(config, cell) for cell in cells_of(config)}
        Path(changed).write_text("he\n")
        config = parse(**settings)
        kept = {cell for cell in before if before[cell] == cell_id(config, cell)}
        unread = {"b/rows.csv": lambda cell: not cell.bias_ratio, "words.txt": lambda cell: cell.mitigation != "mask"}
        assert kept == {cell for cell in before if unread.get(changed, lambda _: False)(cell)}

    def test_the_same_files_elsewhere_give_the_same_names(self):
        for name in ("real.csv", "test.csv", "words.txt", "model/config.json", "items/hiring.csv"):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(name)
        settings = {"lexicon": "words.txt", "model": "model", "real_file": "real.csv", "items_dir": "items"}
        shutil.copytree(".", "elsewhere")

        def named(folder):
            paths = {name: f"{folder}{path}" for name, path in settings.items()}
            return ids(**{**TASKS, **paths, "lexicon": [paths["lexicon"]], "augmented_file": paths["real_file"]})

        assert named("") == named("./") == named("elsewhere/")

    @pytest.mark.parametrize(("name", "is_new"), [("w.safetensors", True), (".cache/x", False), ("sweep/x", False)])
    def test_other_weights_in_the_folder_of_the_model_give_other_names(self, name, is_new):
        Path("model").mkdir()
        Path("model/w.safetensors").write_text("old")
        before = ids(model="model")
        Path("model", name).parent.mkdir(exist_ok=True)
        Path("model", name).write_text("new")
        assert ids(model="model").isdisjoint(before) == is_new

    def test_another_file_in_a_folder_of_rows_gives_other_names(self):
        Path("rows/data").mkdir(parents=True)
        Path("rows/data/train.csv").write_text("old")
        before = ids(**{**TABLE, "real_file": "rows"})
        Path("rows/data/train.csv").write_text("new")
        assert ids(**{**TABLE, "real_file": "rows"}).isdisjoint(before)
