"""The recipe against `transformers serve`, killed in the middle and started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.tiny_writer import VOCABULARY, write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PASSAGE = "The office on floor {} closes at five, and the lift has been out of order since Monday."
WANTED = 200  # five seeds with 8 rows on gender and 32 on its intersections with four cultures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def server(folder):
    """Address of a server with a tiny model, whose log is in the folder."""
    write_model(folder / "writer", steps=250)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder / "writer")]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not _is_up(port):
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def _is_up(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def received(folder):
    """Requests that the server has begun to answer, by its log."""
    return len(re.findall("Request received", (folder / "serve.log").read_text()))


def journal(folder):
    path = folder / "out" / "journal.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_and_started_again_it_has_all_rows_and_no_request_was_repeated(folder, server):
    seeds = [{"id": number, "text": PASSAGE.format(number)} for number in range(5)]
    (folder / "seeds.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in seeds))
    command = [
        *(sys.executable, str(ROOT / "recipes" / "augment.py"), "--config", str(ROOT / "recipes" / "augment.yaml")),
        *("--seed_file", str(folder / "seeds.jsonl"), "--output_dir", str(folder / "out")),
        *("--attributes", "gender", "--max_tokens", "64"),
        *("--model", str(folder / "writer"), "--endpoint", server, "--concurrency", "3"),
    ]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while journal(folder) < 20 and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert 20 <= journal(folder) < WANTED, first.stderr.read()
    asked = -1
    while received(folder) != asked:  # the server still takes in what was sent before the end
        asked = received(folder)
        time.sleep(1)
    kept = journal(folder)
    assert 0 <= asked - kept <= 3

    second = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"{WANTED} rows to write, {kept} of them answered before" in second.stdout
    assert received(folder) == asked + WANTED - kept  # those under way at the end of the first start, once more

    kinds = {
        name: [json.loads(line) for line in (folder / "out" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("augmented", "rejected")
    }
    rows = [*kinds["augmented"], *kinds["rejected"]]
    assert len({row["id"] for row in rows}) == len({row["request"] for row in rows}) == len(rows) == WANTED
    assert len(kinds["augmented"]) > WANTED / 2
    assert {word for row in kinds["augmented"] for word in row["text"].split()} <= set(VOCABULARY)
    assert {row[axis] for row in kinds["augmented"] for axis in ("context", "scope", "signal")} == {
        *("contextless", "contextual", "single", "intersectional", "explicit", "implicit")
    }
