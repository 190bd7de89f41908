"""The recipe of augmentation, by the command that a user gives, against endpoints on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, Value
from filelock import FileLock

from mitigate.recipes.augment import main
from mitigate.recipes.augment_config import parse_augment_config, read_seeds
from tests.endpoints import Endpoint, completion, sensible

RECIPES = Path(__file__).parents[1] / "recipes"
PASSAGE = "The office on floor {} closes at five, and the lift has been out of order since Monday."
KEY = "sk-very-secret-0123456789"
# 8 rows a seed.
SMALL = ["--scopes", "single", "--attributes", "gender"]


def write_seeds(count=2, name="seeds.jsonl", **columns):
    rows = [{"id": f"s{i}", "text": PASSAGE.format(i), "label": i % 2, **columns} for i in range(count)]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def command(url, *more, seeds=None):
    seeds = seeds or write_seeds()
    fixed = ["--seed_file", seeds, "--model", "m", "--output_dir", "out", "--max_retries", "1", "--concurrency", "3"]
    return [*fixed, "--endpoint", url, *more]


def rows(name="augmented"):
    return [json.loads(line) for line in Path(f"out/{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def files():
    return {path.name for path in Path("out").iterdir()} - {".lock"}


class TestRun:
    def test_rows_of_all_types_and_groups_and_a_second_start_that_asks_nothing(self, capsys):
        with Endpoint() as endpoint:
            assert main(command(endpoint.url, "--price_prompt", "2", "--price_completion", "10")) == 0
            asked = endpoint.prompts()
            assert len(asked) == len(set(asked)) == 112
            first = Path("out/augmented.jsonl").read_bytes()
            assert main(command(endpoint.url)) == 0
            assert endpoint.prompts() == asked
        assert Path("out/augmented.jsonl").read_bytes() == first
        written = rows()
        assert len({row["id"] for row in written}) == len(written) == 112
        for axis in (("contextless", "contextual"), ("single", "intersectional"), ("explicit", "implicit")):
            counts = Counter(level for row in written for level in (row["context"], row["scope"], row["signal"]))
            assert all(counts[level] > 40 for level in axis)
        assert set(Counter(row["group"] for row in written if row["scope"] == "intersectional").values()) == {8}
        assert files() == {"augmented.jsonl", "rejected.jsonl", "journal.jsonl", "summary.json"}
        out = capsys.readouterr().out
        assert "112 rows to write, 0 of them answered before" in out
        assert "112 rows to write, 112 of them answered before" in out
        assert "5,600 tokens read and 2,240 written, at a cost of 0.0336" in out

    def test_the_summary_says_what_the_rows_came_from(self):
        with Endpoint() as endpoint:
            main(command(endpoint.url, *SMALL, "--temperature", "0.3"))
        summary = json.loads(Path("out/summary.json").read_text())
        assert (summary["accepted"], summary["rejected"], summary["missing"]) == (16, 0, 0)
        assert summary["settings"]["temperature"] == 0.3
        assert summary["reasons"]["cell"]["contextual-single-implicit"] == {"accepted": 4}
        assert summary["usage"]["prompt_tokens"] == 16 * 50
        assert {"mitigate", "openai", "python"} <= summary["versions"].keys()
        assert summary["task"] == "Write two to four sentences about a person."

    def test_rejected_rows_are_set_apart_with_their_reason(self, capsys):
        def some(body, number):
            prompt = body["messages"][0]["content"]
            if "woman" in prompt:
                return 200, {}, completion("I'm sorry, but I can't help with that.")
            return (
                (200, {}, completion("He likes the sea very much.")) if "Olivia" in prompt else sensible(body, number)
            )

        with Endpoint(some) as endpoint:
            assert main(command(endpoint.url, *SMALL)) == 0
        assert Counter(row["reason"] for row in rows("rejected")) == {"refusal": 4, "group word": 2}
        assert {row["detail"] for row in rows("rejected") if row["reason"] == "group word"} == {"he"}
        assert len(rows()) == 10
        table = capsys.readouterr().out
        assert "group word" in table
        assert "refusal" in table

    def test_labels_are_taken_over_and_named_to_contextless_prompts(self):
        with Endpoint() as endpoint:
            main(command(endpoint.url, *SMALL, "--label_column", "label"))
            assert all('as an example of the class "' in prompt for prompt, _ in endpoint.prompts())
        assert {(row["seed_id"], row["label"]) for row in rows()} == {("s0", 0), ("s1", 1)}

    def test_a_class_label_is_named_by_its_name(self):
        Path("seeds").mkdir()
        features = Features(
            {"id": Value("int64"), "text": Value("string"), "label": ClassLabel(names=["nurse", "pilot"])}
        )
        seeds = {"id": [0, 1], "text": [PASSAGE.format(i) for i in range(2)], "label": [1, 0]}
        Dataset.from_dict(seeds, features=features).to_parquet("seeds/train.parquet")
        with Endpoint() as endpoint:
            assert main(command(endpoint.url, *SMALL, "--label_column", "label", seeds="seeds")) == 0
        assert {(row["seed_id"], row["label"]) for row in rows()} == {("0", "pilot"), ("1", "nurse")}

    def test_the_arms_are_told_apart_and_share_a_folder_without_asking_twice(self):
        with Endpoint() as endpoint:
            for more, arm, model in (
                ([], "plain", "m"),
                (["--aligned", "prompt"], "aligned-prompt", "m"),
                (["--aligned", "other"], "aligned-model", "other"),
            ):
                assert main(command(endpoint.url, *SMALL, *more)) == 0
                assert {(row["arm"], row["model"]) for row in rows()} == {(arm, model)}
            assert len(endpoint.asked) == 48
            assert Counter(body["model"] for body in endpoint.asked) == {"m": 32, "other": 16}
            assert sum("Write without stereotypes." in prompt for prompt, _ in endpoint.prompts()) == 16
            assert main(command(endpoint.url, *SMALL)) == 0
            assert len(endpoint.asked) == 48
        assert {row["arm"] for row in rows()} == {"plain"}

    def test_rows_say_which_generator_gave_each_answer_and_a_mix_is_told_of(self, model, tokenizer, capsys):
        model.save_pretrained("tiny")
        tokenizer.save_pretrained("tiny")
        local = ["--seed_file", write_seeds(1), "--model", "tiny", "--output_dir", "out", *SMALL]
        more = ["--max_tokens", "12", "--min_words", "1"]
        main([*local, *more])
        assert {row["generator"] for row in rows() + rows("rejected")} == {"local"}
        assert "were given by" not in capsys.readouterr().err
        with Endpoint() as first:
            main([*local, *more, "--endpoint", first.url, "--repeats", "2"])
            assert len(first.asked) == 8
        assert Counter(row["generator"] for row in rows() + rows("rejected")) == {"local": 8, "endpoint": 8}
        assert "8 of the answers that are there were given by another generator (local)" in capsys.readouterr().err
        with Endpoint() as second:
            main([*local, *more, "--endpoint", second.url, "--repeats", "2"])
            assert second.asked == []
        assert f"8 of the answers that are there were given by the endpoint {first.url}" in capsys.readouterr().err

    def test_numbers_of_tokens_that_are_texts_end_no_run(self):
        told = {**completion("They walked to the market for bread."), "usage": {"prompt_tokens": "3"}}
        with Endpoint(lambda body, number: (200, {}, told)) as endpoint:
            assert main(command(endpoint.url, *SMALL)) == 0
        assert json.loads(Path("out/summary.json").read_text())["usage"]["untold"] == 16

    def test_a_seed_that_tells_the_group_is_not_asked_for(self, capsys):
        seeds = write_seeds(1, text="She looks after the office, and her lift is out of order.")
        with Endpoint() as endpoint:
            assert main(command(endpoint.url, *SMALL, seeds=seeds)) == 0
            assert len(endpoint.asked) == 4  # the contextless ones
        assert "4 more are not asked for" in capsys.readouterr().out
        assert {row["detail"] for row in rows("rejected")} == {"the passage tells the group by itself: she, her"}

    def test_a_model_of_this_machine(self, model, tokenizer, capsys):
        model.save_pretrained("tiny")
        tokenizer.save_pretrained("tiny")
        words = ["--seed_file", write_seeds(1), "--model", "tiny", "--output_dir", "out", "--scopes", "intersectional"]
        assert main([*words, "--max_tokens", "12", "--batch_size", "5", "--min_words", "1"]) in (0, 1)
        journal = Path("out/journal.jsonl").read_bytes()
        assert len(journal.splitlines()) == 32
        assert len(rows()) + len(rows("rejected")) == 32
        assert main([*words, "--max_tokens", "12", "--batch_size", "3", "--min_words", "1"]) in (0, 1)
        assert Path("out/journal.jsonl").read_bytes() == journal
        assert "32 rows to write, 32 of them answered before" in capsys.readouterr().out


class TestFailures:
    """One clear sentence, what was answered is kept, and a second start goes on."""

    def test_failed_requests_are_asked_for_again_and_no_others(self, capsys):
        def one_fails(body, number):
            return (200, {}, b"{not json") if "Olivia" in body["messages"][0]["content"] else sensible(body, number)

        with Endpoint(one_fails) as endpoint:
            assert main(command(endpoint.url, *SMALL)) == 1
            told = capsys.readouterr().err
            assert "2 requests failed: the answer is not JSON" in told
            assert "2 rows are missing. Start again to ask for them once more." in told
            assert len(rows()) == 14
            before = len(endpoint.asked)
            endpoint.reply = sensible
            assert main(command(endpoint.url, *SMALL)) == 0
            assert len(endpoint.asked) == before + 2
        assert len(rows()) == 16
        assert not list(Path("out").glob("*.tmp"))

    def test_an_endpoint_that_goes_down_keeps_what_was_answered(self, capsys):
        with Endpoint() as endpoint:
            url = endpoint.url
            endpoint.reply = lambda body, number: sensible(body, number) if number < 5 else (401, {}, b"{}")
            assert main(command(url, *SMALL, "--concurrency", "1")) == 1
        assert "says 401" in (told := capsys.readouterr().err)
        assert "5 answers came, and are kept; 11 are missing. Start again to go on." in told
        assert files() == {"journal.jsonl"}  # no rows, which would look finished
        assert main(command(url, *SMALL)) == 1
        assert "cannot be reached, after 2 tries" in capsys.readouterr().err
        with Endpoint() as endpoint:
            assert main(command(endpoint.url, *SMALL)) == 0
            assert len(endpoint.asked) == 11

    def test_an_interrupt_keeps_what_was_answered(self, capsys):
        def interrupt(body, number):
            if number == 5:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.5)
            return sensible(body, number)

        # The processes of pytest-xdist ignore the signal.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with Endpoint(interrupt) as endpoint:
                assert main(command(endpoint.url, *SMALL, "--concurrency", "1")) == 130
        finally:
            signal.signal(signal.SIGINT, before)
        assert "5 answers came, and are kept; 11 are missing" in capsys.readouterr().err

    def test_no_row_that_passes_is_a_failure(self, capsys):
        with Endpoint(lambda body, number: (200, {}, completion("No."))) as endpoint:
            assert main(command(endpoint.url, *SMALL)) == 1
        assert "No row passed the checks; out/rejected.jsonl says why." in capsys.readouterr().err
        assert rows() == []

    def test_two_at_a_time_in_one_folder_are_refused(self, capsys):
        Path("out").mkdir()
        with Endpoint() as endpoint, FileLock("out/.lock"):
            assert main(command(endpoint.url)) == 2
            assert endpoint.asked == []
        assert "another augmentation is at work in out" in capsys.readouterr().err

    def test_a_damaged_journal_is_told_of_and_left_alone(self, capsys):
        Path("out").mkdir()
        Path("out/journal.jsonl").write_text("what is this?\n")
        with Endpoint() as endpoint:
            assert main(command(endpoint.url)) == 2
        assert "Line 1 of out/journal.jsonl is not an answer" in capsys.readouterr().err
        assert Path("out/journal.jsonl").read_text() == "what is this?\n"

    def test_a_model_that_cannot_be_loaded(self, capsys):
        Path("broken").mkdir()
        words = ["--seed_file", write_seeds(), "--model", "broken", "--output_dir", "out"]
        assert main(words) == 2
        assert "`model`: broken cannot be loaded: " in capsys.readouterr().err


class TestSeeds:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("s.csv", b"id,words\n1,x\n", "`text_column`: 'text' is not a column of s.csv (columns: id, words)."),
            ("s.csv", b"key,text\n1,x\n", "`id_column`: 'id' is not a column of s.csv (columns: key, text)."),
            ("s.csv", b"id,text\n1,x\n1,y\n2,z\n", "`id_column`: 1 ids of s.csv come more than once, such as '1'."),
            ("s.csv", b"id,text\n1,x\n2,\n", "`text_column`: 'text' is empty in row 2 of s.csv."),
            ("s.csv", b"id,text\n1,x\n2,caf\xe9\n", "`seed_file`: s.csv is not in UTF-8: line 3 has the byte 0xe9."),
            (
                "s.jsonl",
                b'{"id":1,"text":"x"}\n{"id":2,"text":"\xff"}\n',
                "s.jsonl is not in UTF-8: line 2 has the byte 0xff.",
            ),
            (
                "s.jsonl",
                b'{"id":1,"text":"x"}\n{"id":2,"te\n',
                "`seed_file`: s.jsonl has no valid JSON in line 2",
            ),
            ("s.jsonl", b"", "`seed_file`: s.jsonl has no rows."),
            ("s.csv", b"text,label\n", "`seed_file`: s.csv has no rows."),
            ("s.jsonl", b"\n \n", "`seed_file`: s.jsonl has no rows."),
            (
                "s.csv",
                b"id,text\n1,The lift,extra\n",
                "s.csv has 3 cells in row 1, and 2 columns.",
            ),
            ("s.csv", b"id,text\n1,x\n2\n", "s.csv has 1 cells in row 2, and 2 columns."),
            (
                "s.csv",
                b"id,id,text\n1,2,x\n",
                "s.csv has 2 columns 'id', and nobody can tell which is meant: rename one.",
            ),
            (
                "s.jsonl",
                b'{"id":1,"text":["a"]}\n',
                "'text' must hold texts, got \"['a']\" (list) in row 1 of s.jsonl.",
            ),
            ("s.jsonl", b'{"id":1,"text":7}\n', "`text_column`: 'text' must hold texts, got '7' (int) in row 1"),
            ("s.jsonl", b'{"id":1,"text":NaN}\n', "`text_column`: 'text' is empty in row 1 of s.jsonl."),
            ("s.jsonl", b'{"id":[1],"text":"x"}\n', "`id_column`: 'id' must hold texts or numbers, got '[1]' (list)"),
            ("other.csv", None, "`seed_file`: There is no file s.csv."),
        ],
    )
    def test_seeds_that_cannot_be_used_are_told_of_before_anything_is_asked(self, name, content, message, capsys):
        if content is not None:
            Path(name).write_bytes(content)
        with Endpoint() as endpoint:
            assert main(command(endpoint.url, seeds=name if content is not None else "s.csv")) == 2
            assert endpoint.asked == []
        assert message in capsys.readouterr().err
        assert not Path("out").exists()

    def test_a_long_text_with_lines_and_commas_is_one_cell(self):
        Path("s.csv").write_text('id,text\n\n1,"The lift, and\n' + "the office " * 20_000 + '"\n')
        assert len(read_seeds(parse_augment_config(["--seed_file", "s.csv", "--model", "m"]).arguments)) == 1

    def test_a_folder_without_data_is_named(self, capsys):
        assert main(["--seed_file", ".", "--model", "m", "--output_dir", "out"]) == 2
        assert str(Path.cwd()) in capsys.readouterr().err
        Path("empty").mkdir()
        Path("empty/train.jsonl").write_text("")
        assert main(["--seed_file", "empty", "--model", "m", "--output_dir", "out"]) == 2
        assert "empty/train.jsonl has no rows." in capsys.readouterr().err


class TestConfiguration:
    def test_the_file_in_the_repository_is_the_defaults(self):
        written = yaml.safe_load((RECIPES / "augment.yaml").read_text())
        parsed = parse_augment_config(["--config", str(RECIPES / "augment.yaml"), "--seed_file", "s", "--model", "m"])
        plain = parse_augment_config(["--seed_file", "s", "--model", "m"])
        assert parsed.arguments == plain.arguments
        assert set(written) == set(vars(plain.arguments))

    def test_all_mistakes_are_listed_at_once(self, capsys):
        wrong = ["--genders", "woman", "--temperature", "-1", "--min_words", "0", "--endpoint", "host", "--modle", "x"]
        assert main(wrong) == 2
        told = capsys.readouterr().err
        for message in (
            "There is no key `modle`. Did you mean 'model'?",
            "`seed_file` is missing",
            "`model` is missing",
            "`genders` must hold at least two groups to compare, got ['woman']",
            "`temperature` must be at least 0, got -1",
            "`min_words` must be at least 1",
            "`endpoint` must be an address",
        ):
            assert message in told

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--task", "A $label."], "name the column of the labels, `label_column`"),
            (["--task", "A text.", "--label_column", "label"], "let `task` name it (`$label`)"),
            (["--batch_size", "0"], "`batch_size` must be at least 1"),
            (["--price_prompt", "-1"], "`price_prompt` must be at least 0, got -1.0"),
            (["--samples", "2"], "There is no key `samples`."),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, more, message, capsys):
        assert main(["--seed_file", write_seeds(), "--model", "m", *more]) == 2
        assert message in capsys.readouterr().err

    def test_a_task_of_ones_own(self):
        more = [
            "--contexts",
            "contextual",
            "--task",
            "Answer for the person. It costs $$5.",
            "--label_column",
            "label",
        ]
        with Endpoint() as endpoint:
            assert main(command(endpoint.url, *SMALL, *more)) == 0
            assert all(prompt.startswith("Answer for the person. It costs $5.\n") for prompt, _ in endpoint.prompts())


class TestKey:
    def test_it_is_sent_and_stands_in_no_file_and_no_output(self, monkeypatch, capsys):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)

        def echo(body, number):
            if number == 3:
                return 400, {}, {"error": {"message": f"bad key {KEY}"}}
            return sensible(body, number)

        with Endpoint(echo) as endpoint:
            assert main(command(endpoint.url, *SMALL)) == 1
            assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
            endpoint.reply = lambda body, number: (401, {}, {"error": {"message": f"Incorrect API key: {KEY}"}})
            assert main(command(endpoint.url, *SMALL)) == 1
        captured = capsys.readouterr()
        assert "Incorrect API key: ***" in captured.err
        assert KEY not in captured.out + captured.err
        assert not [path for path in Path("out").iterdir() if KEY.encode() in path.read_bytes()]

    @pytest.mark.parametrize("words", [["--api_key", KEY], [f"--api_key={KEY}"], ["--api-key", KEY]])
    def test_on_the_command_line_it_is_refused_and_not_shown(self, words, capsys):
        assert main(["--seed_file", "s.csv", "--model", "m", *words]) == 2
        captured = capsys.readouterr()
        assert "set the environment variable OPENAI_API_KEY" in captured.err
        assert KEY not in captured.out + captured.err

    def test_in_a_file_it_is_refused_and_not_shown(self, capsys):
        Path("config.yaml").write_text(f"api_key: {KEY}\n")
        assert main(["--config", "config.yaml", "--seed_file", "s.csv", "--model", "m"]) == 2
        captured = capsys.readouterr()
        assert "There is no key `api_key`." in captured.err
        assert KEY not in captured.out + captured.err


@pytest.mark.slow
def test_killed_in_the_middle_it_asks_for_nothing_twice_that_was_answered(monkeypatch):
    def slowly(body, number):
        time.sleep(0.1)
        return sensible(body, number)

    with Endpoint(slowly) as endpoint:
        words = [sys.executable, str(RECIPES / "augment.py"), *command(endpoint.url)]
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 120
            while len(endpoint.asked) < 40 and run.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
        before = len(endpoint.asked)
        assert 40 <= before < 112, run.stderr.read()
        journal = Path("out/journal.jsonl").read_bytes()
        assert not Path("out/augmented.jsonl").exists()
        assert main(command(endpoint.url)) == 0
        times_asked = Counter(endpoint.prompts())
    assert len(times_asked) == len({row["id"] for row in rows()}) == 112
    # What was under way has no answer that could have been kept.
    assert sum(times_asked.values()) <= 112 + 3
    finished = {json.loads(line)["key"] for line in journal.splitlines() if line.endswith(b"}")}
    assert before - 3 <= len(finished) <= before
    assert Path("out/journal.jsonl").read_bytes().startswith(journal[: journal.rfind(b"\n") + 1])
