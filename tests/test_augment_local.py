"""A model on this machine as the generator: draws by request, left padding, chat templates, ends."""

from mitigate.augment.generators import Decoding, Request
from mitigate.augment.local import LocalGenerator

PROMPTS = ["she writes", "the doctor cures well today", "Mary", "a nurse writes : answer"]


def ask(model, tokenizer, prompts=PROMPTS, batch_size=4, **decoding):
    decoding = Decoding(**{"max_tokens": 8, **decoding})
    requests = [Request(prompt, "tiny", decoding, sample) for sample, prompt in enumerate(prompts)]
    answers = {}
    failures = LocalGenerator(model, tokenizer, batch_size=batch_size)(
        requests, lambda request, answer: answers.update({request: answer})
    )
    return [answers.get(request) for request in requests], failures


def test_an_answer_does_not_depend_on_its_batch(model, tokenizer):
    alone, _ = ask(model, tokenizer, batch_size=1)
    together, failures = ask(model, tokenizer, batch_size=3)
    assert alone == together
    assert not failures
    assert len({answer.text for answer in alone}) == len(PROMPTS)
    assert [answer.prompt_tokens for answer in alone] == [2, 5, 1, 5]
