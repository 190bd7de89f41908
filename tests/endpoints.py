"""Endpoints on loopback that speak HTTP, and do to a client what endpoints do."""

from __future__ import annotations

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERBS = ["paints", "mends", "sells", "grows", "studies", "carries", "cleans", "draws", "films", "sorts"]
THINGS = ["old clocks", "red boats", "tall ladders", "paper maps", "small engines", "garden chairs", "glass lamps"]
PLACES = ["near the harbour", "behind the station", "in a quiet street", "at the edge of town", "above the bakery"]
TIMES = ["every morning", "on weekdays", "until late", "in early spring", "before the rain comes", "after lunch"]


def sentence(seed: int) -> str:
    """A sentence that tells no group, and a different one for nearly every seed."""
    draw = random.Random(seed)
    first, second = (" ".join(draw.choice(words) for words in (VERBS, THINGS, PLACES, TIMES)) for _ in range(2))
    return f"This person {first}. Often the person {second}."


def completion(text, *, finish_reason="stop", **message):
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "served-model-1",
        "choices": [
            {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70},
    }


def sensible(body, number):
    return 200, {}, completion(sentence(body["seed"]))


class Endpoint:
    """
    A server on a free port of this machine.

    `reply(body, number)` gives status, headers and content (a mapping becomes JSON, bytes stay) of the answer to the
    request of that number, from 0. What was asked is in `asked`, with its time and headers.
    """

    def __init__(self, reply=sensible):
        self.reply = reply
        self.asked: list[dict] = []
        self.times: list[float] = []
        self.headers: list[dict] = []
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                number = endpoint._note(body, dict(self.headers))
                try:
                    status, headers, content = endpoint.reply(body, number)
                finally:
                    with endpoint._lock:
                        endpoint.under_way -= 1
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def _note(self, body, headers):
        with self._lock:
            self.asked.append(body)
            self.times.append(time.monotonic())
            self.headers.append(headers)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            return len(self.asked) - 1

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def prompts(self):
        """What was asked for, each request by what tells it from others."""
        return [(body["messages"][0]["content"], body["seed"]) for body in self.asked]
