"""Whole batches, and lexicons of any kind, against one regular expression over plain text."""

import pickle
import random
import re
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.lexicons import Lexicon
from mitigate.words import WordMatcher, read_entries
from tests import tiny_tokenizers

TOKENIZERS = {"byte_level_bpe": tiny_tokenizers.byte_level_bpe(), "metaspace_bpe": tiny_tokenizers.metaspace_bpe()}
PIECES = ["he", "She", "SHE", "Guinea", "South", "Korea", "é", "É", "Ж", "ſ", "S", "U", "7", "😀", "他", "其他", "人"]
MARKS = [" ", "  ", "\n", "-", "'", "’", ".", "_", "(", "😀", ""]
TEXTS = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(MARKS)), max_size=12).map(
    lambda pairs: "".join(a + b for a, b in pairs)
)
ENTRIES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([" ", "-", "'", ".", "_", "😀"]).map(lambda mark: mark.join(words))
)
USES = ("entry", "entry", "exact", "exception")
LEXICONS = st.dictionaries(
    st.tuples(st.sampled_from(["", "", "", "-", "😀"]), ENTRIES, st.sampled_from(["", "", "", "."])).map("".join),
    st.sampled_from(USES),
    min_size=1,
    max_size=6,
).map(lambda uses: make_lexicon(uses | {next(iter(uses)): "entry"}))


def make_lexicon(uses):
    def of(*chosen):
        return tuple(word for word, use in uses.items() if use in chosen)

    return Lexicon("test", of("entry", "exact"), exact=of("exact"), exceptions=of("exception"))


def by_one_regex(tokenizer, lexicon, text):
    """Match every entry at once in the plain text, and lay the bytes of the matches over those of the tokens."""
    entries = read_entries(lexicon, lambda form: form)
    regex = re.compile("|".join(f"({entry.pattern})" for entry in entries))
    ids = tokenizer(text, add_special_tokens=False).input_ids
    owners = [i for i, size in enumerate(token_sizes(tokenizer, ids, text)) for _ in range(size)]
    spans = []
    for match in regex.finditer(text):
        if entries[match.lastindex - 1].is_exception:
            continue
        start, stop = len(text[: match.start()].encode()), len(text[: match.end()].encode())
        first, last = owners[start], owners[stop - 1] + 1
        if spans and first < spans[-1][1]:
            first = spans.pop()[0]
        spans.append((first, last))
    return spans


def token_sizes(tokenizer, ids, text):
    """How many bytes of the text each token stands for, from the characters of a byte-level vocabulary."""
    sizes = [len(token) for token in tokenizer.convert_ids_to_tokens(ids)]
    assert sum(sizes) == len(text.encode())
    return sizes


def spans(matches):
    return [(match.start, match.stop) for match in matches]


@settings(max_examples=200, deadline=None)
@given(LEXICONS, st.lists(TEXTS, max_size=4))
def test_a_batch_has_what_one_regular_expression_finds_in_each_text(lexicon, texts):
    tokenizer = TOKENIZERS["byte_level_bpe"]
    rows = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    found = WordMatcher(tokenizer, lexicon).find_all(rows)
    assert list(map(spans, found)) == [by_one_regex(tokenizer, lexicon, text) for text in texts]


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_row_does_not_depend_on_the_others(kind, data):
    tokenizer = TOKENIZERS[kind]
    ids = st.integers(-3, len(tokenizer) + 3)
    texts = TEXTS.map(lambda text: tokenizer(text, add_special_tokens=False).input_ids)
    rows = data.draw(st.lists(texts | st.lists(ids, max_size=12), max_size=6))
    matcher = WordMatcher(tokenizer, data.draw(LEXICONS))
    assert matcher.find_all(rows) == [matcher.find(row) for row in rows]


def test_no_word_reaches_from_one_row_into_the_next():
    tokenizer = TOKENIZERS["byte_level_bpe"]
    south, korea, sh, e = (tokenizer(word).input_ids for word in ("South", " Korea", "sh", "e"))
    matcher = WordMatcher(tokenizer, Lexicon("test", ("South Korea", "she")))
    assert matcher.find_all([south, korea, sh, [], e]) == [[], [], [], [], []]
    assert matcher.find_all([south + korea, [], sh + e]) == [
        [(0, len(south + korea), "South Korea")],
        [],
        [(0, len(sh + e), "she")],
    ]
    assert matcher.find_all([]) == []


def test_each_of_many_entries_is_found_and_nothing_near_it():
    random.seed(0)
    tokenizer = TOKENIZERS["byte_level_bpe"]
    words = list({"".join(random.choices("abcdeé", k=random.randint(3, 6))) for _ in range(6000)})
    entries, others = words[: len(words) // 2], words[len(words) // 2 :]
    matcher = WordMatcher(tokenizer, Lexicon("test", tuple(entries)))
    found = matcher.find_all([tokenizer(f"x {word} y").input_ids for word in entries])
    assert [[match.entry for match in row] for row in found] == [[entry] for entry in entries]
    assert not any(matcher.find_all([tokenizer(f"x {word} y").input_ids for word in others]))


def test_words_longer_than_any_entry_are_told_from_it():
    tokenizer = TOKENIZERS["byte_level_bpe"]
    matcher = WordMatcher(tokenizer, Lexicon("test", ("ababab",)))
    rows = [tokenizer("ab" * n).input_ids for n in (1, 2, 3, 4, 5, 6, 300)]
    assert [len(row) for row in matcher.find_all(rows)] == [0, 0, 1, 0, 0, 0, 0]


def test_a_spawned_worker_finds_the_same():
    tokenizer = TOKENIZERS["byte_level_bpe"]
    matcher = WordMatcher(tokenizer, Lexicon("test", ("she", "South Korea", "😀")))
    rows = [tokenizer(text).input_ids for text in ("she", "in South Korea", "Ж 😀")]
    expected = matcher.find_all(rows)
    assert all(expected)
    assert pickle.loads(pickle.dumps(matcher)).find_all(rows) == expected
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(matcher.find_all, (rows,)) == expected
