"""What the English lists find in sentences that were marked by hand."""

import re
from pathlib import Path

import pytest

from mitigate.lexicons import load_lexicon
from mitigate.words import WordMatcher
from tests import tiny_tokenizers
from tests.sensitive_sentences import MISTAKES, SENTENCES

LISTS = ("gender", "names", "nationality", "religion", "race", "age")


@pytest.fixture(scope="module")
def find():
    """Gives the characters of each word that is found in a text."""
    tokenizer = tiny_tokenizers.byte_level_bpe()
    matcher = WordMatcher(tokenizer, load_lexicon(LISTS))

    def find(text):
        encoding = tokenizer(text, return_offsets_mapping=True)
        places = encoding.offset_mapping
        spans = [(places[start][0], places[stop - 1][1]) for start, stop, _ in matcher.find(encoding.input_ids)]
        # A token may begin with a space.
        return [(start + (text[start] == " "), stop) for start, stop in spans]

    return find


def read(marked):
    """A sentence without its brackets, and where the words in brackets are."""
    text, spans = "", []
    for piece in re.split(r"(\[.*?\])", marked):
        word = piece.strip("[]")
        if piece.startswith("["):
            spans.append((len(text), len(text) + len(word)))
        text += word
    return text, spans


@pytest.mark.parametrize("marked", SENTENCES)
def test_what_is_marked_is_found_and_nothing_else_but_for_known_mistakes(find, marked):
    text, spans = read(marked)
    found = find(text)
    missed = [text[slice(*span)] for span in spans if span not in found]
    wrong = [text[slice(*span)] for span in found if span not in spans]
    assert (missed, wrong) == MISTAKES.get(text, ([], []))


def test_the_share_of_mistakes_is_the_one_that_the_page_tells():
    texts = dict(map(read, SENTENCES))
    assert MISTAKES.keys() <= texts.keys()
    marked = sum(map(len, texts.values()))
    missed = sum(len(missed) for missed, _ in MISTAKES.values())
    wrong = sum(len(wrong) for _, wrong in MISTAKES.values())
    page = " ".join(Path(__file__).parents[1].joinpath("docs/lexicons.md").read_text(encoding="utf-8").split())
    assert f"In {len(texts)} English sentences" in page
    assert f"find {marked - missed} of {marked} words, and take {wrong} others for sensitive" in page
