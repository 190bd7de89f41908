"""The journal: nothing that was answered is lost, whenever the process ends, and nothing is read that was cut off."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mitigate.augment import Answer, Decoding, Journal, JournalError, Request

REQUESTS = [Request(f"prompt {number}", "m", Decoding()) for number in range(3)]
ANSWERS = [Answer(f"text {number} – é\n“”", "stop", number, 2) for number in range(3)]


def write(path="journal.jsonl"):
    with Journal(path) as journal:
        for request, answer in zip(REQUESTS, ANSWERS, strict=True):
            journal.add(request, answer)
    return Path(path)


def read(path="journal.jsonl"):
    with Journal(path) as journal:
        return journal.answers


def test_answers_are_there_again():
    write()
    assert read() == {request.key: answer for request, answer in zip(REQUESTS, ANSWERS, strict=True)}


def test_missing_requests_come_once_and_in_order():
    with Journal("journal.jsonl") as journal:
        journal.add(REQUESTS[1], ANSWERS[1])
        assert journal.missing([REQUESTS[2], *REQUESTS, REQUESTS[0]]) == [REQUESTS[2], REQUESTS[0]]


def test_a_key_is_of_all_that_an_answer_depends_on():
    base = REQUESTS[0]
    changed = [
        replace(base, prompt="other"),
        replace(base, model="other"),
        replace(base, sample=1),
        *(replace(base, decoding=replace(base.decoding, **{name: 0.5})) for name in ("temperature", "top_p")),
        *(replace(base, decoding=replace(base.decoding, **{name: 7})) for name in ("max_tokens", "seed")),
    ]
    assert len({request.key for request in [base, *changed]}) == 8
    assert len({request.seed for request in [base, *changed]}) == 8
    assert replace(base).key == base.key


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_can_be_gone_on_with(data):
    Path("journal.jsonl").unlink(missing_ok=True)
    path = write()
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    with Journal(path) as journal:
        assert list(journal.answers.values()) == ANSWERS[:whole]
        for request in journal.missing(REQUESTS):
            journal.add(request, ANSWERS[REQUESTS.index(request)])
    assert path.read_bytes() == content


def test_numbers_of_tokens_that_are_none_are_read_as_not_told():
    line = {"key": "a", "answer": {"text": "t", "finish_reason": "stop", "prompt_tokens": "3", "completion_tokens": 5}}
    Path("journal.jsonl").write_text(json.dumps(line) + "\n")
    assert read() == {"a": Answer("t", "stop", None, 5)}


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", "{}", '{"key": "a", "answer": {"txt": ""}}', "\xff",
        '{"key": "a", "answer": {"text": 7, "finish_reason": "stop"}}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_answer_is_refused_by_its_number(line):
    path = write()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line.encode("latin-1") + b"\n", *lines[1:]]))
    with pytest.raises(
        JournalError, match=r"Line 2 of journal\.jsonl is not an answer of this program .*Delete the line"
    ):
        read()
    assert len(path.read_bytes().splitlines()) == 4


def test_a_journal_that_is_not_open_takes_nothing():
    with pytest.raises(RuntimeError, match="not open"):
        Journal("journal.jsonl").add(REQUESTS[0], ANSWERS[0])


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_had_added(tmp_path):
    script = """
import itertools, sys
from mitigate.augment.generators import Answer, Decoding, Request
from mitigate.augment.journal import Journal
with Journal("journal.jsonl") as journal:
    for number in itertools.count():
        journal.add(Request("prompt", "m", Decoding(), number), Answer("text " * 50, "stop"))
        print(number, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
    try:
        for _ in range(50):
            writer.stdout.readline()
        time.sleep(0.01)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    told = 50 + len(writer.stdout.read().splitlines())
    assert told <= len(read(tmp_path / "journal.jsonl")) <= told + 1
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["prompt"] == "prompt"
