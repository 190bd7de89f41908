"""An endpoint as the generator: what it is sent, how fast, and what becomes of all that it does wrong."""

import builtins
import itertools
import logging
import socket
import time

import pytest

from mitigate.augment import Decoding, EndpointGenerator, GenerationStopped, Request
from tests.endpoints import Endpoint, completion, sensible, sentence

KEY = "sk-very-secret-0123456789"
ERROR = {"error": {"message": "Something is wrong.", "type": "t", "code": None, "param": None}}


def requests(count, prompt="Write."):
    return [Request(prompt, "m", Decoding(temperature=0.5, max_tokens=9), sample) for sample in range(count)]


def ask(endpoint, count=4, **options):
    options = {"concurrency": 2, "max_retries": 2, "timeout": 20.0, **options}
    answers = {}
    try:
        failures = EndpointGenerator(endpoint.url, **options)(requests(count), answers.__setitem__)
    except GenerationStopped as error:
        return answers, str(error)
    return answers, [failure.reason for failure in failures]


class TestRequests:
    def test_what_is_sent_and_read(self):
        with Endpoint() as endpoint:
            answers, failures = ask(endpoint, 3, api_key=KEY)
        assert failures == []
        assert {request.sample for request in answers} == {0, 1, 2}
        for request, answer in answers.items():
            assert answer.text == sentence(request.seed)
            assert (answer.finish_reason, answer.served_model) == ("stop", "served-model-1")
            assert (answer.prompt_tokens, answer.completion_tokens) == (50, 20)
        body = next(body for body in endpoint.asked if body["seed"] == requests(3)[0].seed)
        assert body == {
            "model": "m",
            "messages": [{"role": "user", "content": "Write."}],
            "temperature": 0.5,
            "top_p": 1.0,
            "max_completion_tokens": 9,
            "seed": requests(3)[0].seed,
        }
        assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}

    def test_no_more_requests_are_under_way_than_allowed(self):
        def slowly(body, number):
            time.sleep(0.05)
            return sensible(body, number)

        for concurrency in (1, 3):
            with Endpoint(slowly) as endpoint:
                ask(endpoint, 12, concurrency=concurrency)
            assert endpoint.most_under_way == concurrency

    def test_requests_a_minute_count_those_that_are_tried_again(self):
        def at_first_busy(body, number):
            return (429, {"Retry-After": "0.01"}, ERROR) if number % 2 == 0 else sensible(body, number)

        with Endpoint(at_first_busy) as endpoint:
            answers, _ = ask(endpoint, 4, concurrency=4, requests_per_minute=600, max_retries=8)
        assert len(answers) == 4
        assert len(endpoint.times) == 8
        assert endpoint.times[-1] - endpoint.times[0] > 0.65  # seven times a tenth of a second, nearly

    @pytest.mark.parametrize(
        ("text", "message", "expected"),
        [
            ("", {}, ("", "stop")),
            (None, {}, ("", "stop")),
            (None, {"refusal": "I will not."}, ("I will not.", "refusal")),
            ("half \ud83d", {}, ("half ?", "stop")),
        ],
    )
    def test_what_has_no_text_is_an_answer_too(self, text, message, expected):
        with Endpoint(lambda body, number: (200, {}, completion(text, **message))) as endpoint:
            (answer,) = ask(endpoint, 1)[0].values()
        assert (answer.text, answer.finish_reason) == expected

    def test_tokens_that_are_not_told_are_not_made_up(self):
        def untold(body, number):
            content = completion("text")
            del content["usage"]
            return 200, {}, content

        with Endpoint(untold) as endpoint:
            (answer,) = ask(endpoint, 1)[0].values()
        assert (answer.prompt_tokens, answer.completion_tokens) == (None, None)

    @pytest.mark.parametrize("told", ["3", "abc", 2.5, True, -1, [3], {"n": 3}])
    def test_tokens_that_are_no_number_are_not_told(self, told):
        # The client would read a whole account by its types; one that lacks the total stays as it came.
        usage = {"prompt_tokens": told, "completion_tokens": 20}
        with Endpoint(lambda body, number: (200, {}, {**completion("text"), "usage": usage})) as endpoint:
            (answer,) = ask(endpoint, 1)[0].values()
        assert (answer.prompt_tokens, answer.completion_tokens) == (None, 20)

    def test_an_answer_says_who_gave_it(self):
        with Endpoint() as endpoint:
            (answer,) = ask(endpoint, 1)[0].values()
        assert (answer.generator, answer.endpoint) == ("endpoint", endpoint.url)


class TestTriedAgain:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_passing_error_costs_nothing_but_time(self, status):
        def at_first(body, number):
            return (status, {}, ERROR) if number < 2 else sensible(body, number)

        with Endpoint(at_first) as endpoint:
            answers, failures = ask(endpoint, 1)
        assert (len(answers), failures, len(endpoint.asked)) == (1, [], 3)
        first, second = (later - earlier for earlier, later in itertools.pairwise(endpoint.times))
        assert first > 0.37  # half a second, less up to a quarter
        assert second > 0.74

    def test_the_time_that_an_endpoint_names_is_waited_for(self):
        def busy(body, number):
            return (429, {"Retry-After": "2"}, ERROR) if number == 0 else sensible(body, number)

        with Endpoint(busy) as endpoint:
            answers, _ = ask(endpoint, 1)
        assert len(answers) == 1
        assert 1.9 < endpoint.times[1] - endpoint.times[0] < 4

    def test_a_request_that_hangs_is_given_up_and_the_others_go_on(self):
        def hang(body, number):
            if body["seed"] == requests(1)[0].seed:
                time.sleep(3)
            return sensible(body, number)

        with Endpoint(hang) as endpoint:
            answers, failures = ask(endpoint, 3, timeout=0.5, max_retries=1)
        assert len(answers) == 2
        assert failures == ["no answer within 0.5 s, after 2 tries"]


class TestFailures:
    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (400, "says 400: Error code: 400 - "),
            (422, "says 422: Error code: 422 - "),
            (500, "after 1 tries"),
            (429, "after 1 tries, and asks to wait 3600 s. Lower `concurrency`, or set `requests_per_minute`."),
        ],
    )
    def test_one_request_that_fails_leaves_the_others_alone(self, status, reason):
        def one_fails(body, number):
            if body["seed"] == requests(1)[0].seed:
                return status, {"Retry-After": "3600"}, ERROR
            return sensible(body, number)

        with Endpoint(one_fails) as endpoint:
            answers, failures = ask(endpoint, 5, max_retries=0)
        assert len(answers) == 4
        (failure,) = failures
        assert reason in failure
        assert "Something is wrong." in failure
        assert "\n" not in failure

    @pytest.mark.parametrize(
        ("headers", "content", "reason"),
        [
            ({}, b"{not json", "the answer is not JSON"),
            ({"Content-Type": "text/html"}, b"<h1>Welcome</h1>", "the answer is not a chat completion"),
            ({}, b'"text"', "the answer is not a chat completion"),
            ({}, {"object": "chat.completion"}, "the answer is not a chat completion"),
            ({}, {**completion("x"), "choices": []}, "the answer has no text to choose (`choices`)"),
            ({}, {**completion("x"), "choices": [7]}, "the answer has no text to choose (`choices`)"),
            ({}, completion(["x"]), "the answer has no text to choose (`choices`)"),
        ],
        ids=["malformed", "page", "string", "no choices", "empty choices", "odd choices", "odd text"],
    )
    def test_an_answer_that_cannot_be_read_is_told_and_the_others_are_kept(self, headers, content, reason):
        def one_fails(body, number):
            return (200, headers, content) if body["seed"] == requests(1)[0].seed else sensible(body, number)

        with Endpoint(one_fails) as endpoint:
            answers, failures = ask(endpoint, 5)
        assert len(answers) == 4
        assert len(failures) == 1
        assert failures[0].startswith(reason)

    @pytest.mark.parametrize(
        ("status", "remedy"),
        [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "Does it serve the model 'm'")],
    )
    def test_what_all_requests_would_meet_stops_at_once(self, status, remedy):
        with Endpoint(lambda body, number: (status, {}, ERROR)) as endpoint:
            answers, stopped = ask(endpoint, 50)
        assert answers == {}
        assert f"says {status}" in stopped
        assert remedy in stopped
        assert len(endpoint.asked) <= 2  # one a worker

    def test_an_endpoint_that_is_down_stops_at_once(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(GenerationStopped, match=r"/v1 cannot be reached, after 1 tries \(.*\)\. Is it running\?"):
            EndpointGenerator(url, max_retries=0)(requests(5), lambda *_: None)

    def test_ten_failures_in_a_row_stop_and_nine_do_not(self):
        def fail(upto):
            return lambda body, number: (400, {}, ERROR) if number < upto else sensible(body, number)

        with Endpoint(fail(9)) as endpoint:
            answers, failures = ask(endpoint, 20, concurrency=1)
        assert (len(answers), len(failures)) == (11, 9)
        with Endpoint(fail(10)) as endpoint:
            answers, stopped = ask(endpoint, 20, concurrency=1)
        assert answers == {}
        assert stopped.startswith("10 requests in a row failed, the last thus: ")
        assert len(endpoint.asked) == 10

    def test_failures_among_answers_do_not_stop(self):
        with Endpoint(lambda body, number: (400, {}, ERROR) if number % 2 else sensible(body, number)) as endpoint:
            answers, failures = ask(endpoint, 24, concurrency=1)
        assert (len(answers), len(failures)) == (12, 12)

    def test_answers_under_way_when_another_request_stops_it_are_kept(self):
        def late(body, number):
            if number == 0:
                time.sleep(0.5)
                return sensible(body, number)
            return 401, {}, ERROR

        with Endpoint(late) as endpoint:
            answers, stopped = ask(endpoint, 5)
        assert "says 401" in stopped
        assert len(answers) == 1


class TestKey:
    """The key is nowhere but in the header."""

    @pytest.mark.parametrize("status", [400, 401, 500])
    def test_an_endpoint_that_repeats_the_key_does_not_get_it_into_an_error_or_log(self, status, caplog):
        caplog.set_level(logging.DEBUG)
        echo = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
        with Endpoint(lambda body, number: (status, {}, echo)) as endpoint:
            _, told = ask(endpoint, 1, api_key=KEY, max_retries=1)
        assert "Incorrect API key provided: ***" in str(told)
        assert KEY not in str(told)
        assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
        assert len(caplog.records) > 3
        assert not [record for record in caplog.records if KEY in record.getMessage()]

    def test_an_endpoint_that_repeats_the_key_does_not_get_it_into_an_answer(self):
        content = {**completion(f"The key is {KEY}.", finish_reason=f"stop {KEY}"), "model": f"m {KEY} \ud83d"}
        with Endpoint(lambda body, number: (200, {}, content)) as endpoint:
            (answer,) = ask(endpoint, 1, api_key=KEY)[0].values()
        assert (answer.text, answer.finish_reason, answer.served_model) == ("The key is ***.", "stop ***", "m *** ?")

    def test_a_key_that_is_a_placeholder_takes_no_letters_out_of_a_text(self):
        with Endpoint(lambda body, number: (200, {}, completion("They fix six boxes."))) as endpoint:
            (answer,) = ask(endpoint, 1, api_key="x")[0].values()
        assert answer.text == "They fix six boxes."

    def test_it_is_not_in_the_representation(self):
        generator = EndpointGenerator("http://127.0.0.1:1/v1", api_key=KEY)
        assert KEY not in repr(generator) + str(generator)

    @pytest.mark.parametrize("key", [KEY + "\n", " " + KEY, "sk-é", "a\tb"])
    def test_one_that_cannot_be_sent_is_refused_without_being_shown(self, key):
        with pytest.raises(ValueError, match="Set `OPENAI_API_KEY` anew") as error:
            EndpointGenerator("http://127.0.0.1:1/v1", api_key=key)
        assert key.strip() not in str(error.value)

    @pytest.mark.parametrize("url", [f"http://user:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"user:{KEY}@host"])
    def test_one_in_the_address_is_refused_without_being_shown(self, url):
        with pytest.raises(ValueError, match="`endpoint` holds a user, a password or a query") as error:
            EndpointGenerator(url)
        assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"url": "localhost:8000/v1"},
            "`endpoint` must be an address such as http://localhost:8000/v1, got 'localhost:",
        ),
        ({"url": "ftp://host/v1"}, "`endpoint` must be an address"),
        ({"concurrency": 0}, "`concurrency` must be greater than 0, got 0"),
        ({"timeout": 0.0}, "`timeout` must be greater than 0"),
        ({"requests_per_minute": 0.0}, "`requests_per_minute` must be greater than 0"),
        ({"max_retries": -1}, "`max_retries` must be at least 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EndpointGenerator(**{"url": "http://127.0.0.1:1/v1", **options})


def test_without_the_extra_the_error_names_it(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "openai":
            raise ModuleNotFoundError("No module named 'openai'", name="openai")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"needs the package `openai`: `pip install 'mitigate\[openai\]'`"):
        EndpointGenerator("http://127.0.0.1:1/v1")
