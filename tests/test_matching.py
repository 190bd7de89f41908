import pickle
import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.words import WordMatcher
from tests import tiny_tokenizers

WORDS = ("he", "she", "her", "woman", "United States", "Guinea", "Guinea-Bissau", "Papua New Guinea", "Tomé", "éhe")
LEXICON = Lexicon("test", WORDS)
LEVEL_WORDS = ["he", "She", "her", "shell", "United", "States", "Papua", "New", "Guinea", "Bissau", "(", ")", "-", "'"]

KINDS = {**tiny_tokenizers.KINDS, "word_level": lambda: tiny_tokenizers.word_level(LEVEL_WORDS)}
TOKENIZERS = {kind: build() for kind, build in KINDS.items()}
MATCHERS = {kind: WordMatcher(tokenizer, LEXICON) for kind, tokenizer in TOKENIZERS.items()}


def is_letter(character):
    """A Chinese character is a word, and no letter of one."""
    return character.isalnum() and character not in "你好"


def words_in_plain_text(text, words, any_case=False):
    """Positions of the words, found slowly: at each position try each word, the longest first."""
    found, position = [], 0
    while position < len(text):
        after = None
        if position == 0 or not is_letter(text[position - 1]):
            after = _longest(text, position, words, any_case)
        if after is None:
            position += 1
        else:
            found.append((position, after))
            position = after
    return found


def _longest(text, position, words, any_case):
    ends = []
    for word in words:
        forms = [word, word.upper()]
        flags = re.IGNORECASE if any_case or word == word.lower() else 0
        for form in forms:
            match = re.compile(re.escape(form).replace("\\ ", r"\s+"), flags).match(text, position)
            if match and not any(map(is_letter, text[match.end() : match.end() + 1])):
                ends.append(match.end())
    return max(ends, default=None)


def token_spans(words, offsets):
    """The tokens that overlap each word, by the tokenizer's own account of where its tokens come from."""
    spans = []
    for start, stop in words:
        tokens = [i for i, (first, last) in enumerate(offsets) if first < stop and last > start]
        if spans and tokens[0] < spans[-1][1]:
            spans[-1] = (spans[-1][0], tokens[-1] + 1)
        else:
            spans.append((tokens[0], tokens[-1] + 1))
    return spans


PIECES = [
    *WORDS,
    "SHE",
    "Her",
    "shell",
    "hers",
    "guinea",
    "GUINEA",
    "UNITED STATES",
    "united states",
    "the",
    "s",
    "Papua",
]
SEPARATORS = [" ", " ", " ", "", "-", "'", ",", ". ", "“", "”"]
BEYOND_CORPUS = ["😀", "你好", "ß", "Ж", "\u00a0", "_", "(", "\n", "<0x41>", "7", "#", "  "]


def texts(pieces, separators):
    parts = st.tuples(st.sampled_from(separators), st.sampled_from(pieces))
    return st.lists(parts, max_size=12).map(lambda pairs: "".join(a + b for a, b in pairs))


def check(kind, text, any_case=False):
    encoding = TOKENIZERS[kind](text, return_offsets_mapping=True, add_special_tokens=False)
    tokens = TOKENIZERS[kind].convert_ids_to_tokens(encoding["input_ids"])
    # The space that SentencePiece puts before a text claims the place of the first letter.
    offsets = [
        (0, 0) if token == "▁" else place for token, place in zip(tokens, encoding["offset_mapping"], strict=True)
    ]
    expected = token_spans(words_in_plain_text(text, WORDS, any_case), offsets)
    assert spans(MATCHERS[kind].find(encoding["input_ids"])) == expected


@pytest.mark.parametrize("kind", ["byte_level_bpe", "metaspace_bpe"])
@settings(max_examples=150, deadline=None)
@given(texts(PIECES + BEYOND_CORPUS, SEPARATORS + BEYOND_CORPUS))
def test_finds_what_a_search_in_the_plain_text_finds(kind, text):
    check(kind, text)


@settings(max_examples=150, deadline=None)
@given(texts(PIECES, SEPARATORS))
def test_finds_the_same_in_unigram_pieces(text):
    # Only characters of the vocabulary: this tokenizer misplaces its byte tokens in the text.
    check("metaspace_unigram", text)


@pytest.mark.parametrize("kind", ["byte_level_bpe", "metaspace_bpe"])
@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("heré -'“😀"), max_size=20))
def test_finds_the_same_in_any_characters(kind, text):
    check(kind, text)


@pytest.mark.parametrize("kind", ["word_piece", "word_piece_lowercase"])
@settings(max_examples=150, deadline=None)
@given(texts([piece for piece in PIECES if piece.isascii() and not piece.isupper()], SEPARATORS))
def test_finds_the_same_in_word_pieces(kind, text):
    check(kind, text, any_case=kind == "word_piece_lowercase")


@settings(max_examples=150, deadline=None)
@given(texts(LEVEL_WORDS, [" "]))
def test_finds_the_same_in_whole_word_tokens(text):
    # A hyphen between spaces is a hyphen to this tokenizer.
    check("word_level", text.replace(" - ", "-"))


def spans(matches):
    return [(match.start, match.stop) for match in matches]


def find(text, words, tokenizer=TOKENIZERS["byte_level_bpe"]):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return [tokenizer.decode(ids[a:b]).strip() for a, b, _ in WordMatcher(tokenizer, Lexicon("test", words)).find(ids)]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("She said she SHE sHe", ("she",), ["She", "she", "SHE", "sHe"]),
        ("shell ashe she1 1she", ("she",), []),
        ("she's, she-wolf; _she_ (she)", ("she",), ["she", "she", "she", "she"]),
        ("turkey Turkey TURKEY tUrkey", ("Turkey",), ["Turkey", "TURKEY"]),
        ("US us Us", ("US",), ["US"]),
        ("New\n  Zealand New-Zealand NewZealand", ("New Zealand",), ["New\n  Zealand"]),
        ("Guinea - Bissau Guinea-Bissau", ("Guinea-Bissau",), ["Guinea - Bissau", "Guinea-Bissau"]),
        ("U.S. U. S. U.S U.S.A", ("U.S.",), ["U.S.", "U. S."]),
        ("Côte d’Ivoire, CÔTE D'IVOIRE", ("Côte d'Ivoire",), ["Côte d’Ivoire", "CÔTE D'IVOIRE"]),
        ("Papua New Guinea. Papua New", ("Guinea", "Papua New Guinea", "Papua"), ["Papua New Guinea", "Papua"]),
        ("south South Korea", ("south", "South Korea"), ["south", "South Korea"]),
        ("Österreich Åland", ("Österreich", "Åland"), ["Österreich", "Åland"]),
        ("a.b aab", ("a.b",), ["a.b"]),
        ("", ("she",), []),
    ],
)
def test_rules(text, words, expected):
    assert find(text, words) == expected


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("She, SOUTH  KOREA and korea", ("korea", "South Korea", "she"), ["she", "South Korea", "korea"]),
        ("US us", ("us", "US"), ["US", "us"]),
        ("CÔTE D’IVOIRE U. S. Mr . Mr", ("Mr.", "U.S.", "Côte d'Ivoire"), ["Côte d'Ivoire", "U.S.", "Mr."]),
        ("New York, New Zealand, New", ("New Zealand", "New York", "new"), ["New York", "New Zealand", "new"]),
        ("x♀ ♀ (she) ( she ) she 's she's", ("♀", "(she)", "'s", "she"), ["♀", "(she)", "(she)", "she", "'s", "she"]),
        ("-she he", ("-she", "she he", "he"), ["-she", "he"]),
        ("x ’s 's x's", ("'s",), ["'s", "'s"]),
    ],
)
def test_tells_which_entry_it_found(text, words, expected):
    tokenizer = TOKENIZERS["byte_level_bpe"]
    matches = WordMatcher(tokenizer, Lexicon("test", words)).find(tokenizer(text).input_ids)
    assert [match.entry for match in matches] == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ms MS ms Ms. mS", ["Ms", "Ms"]),
        ("mark Mark MARK Mark's Marks", ["Mark", "Mark"]),
        ("us US Us U S", ["US"]),
        ("May may MAY", ["may"]),
    ],
)
def test_exact_entries_are_found_as_they_are_written(text, found):
    tokenizer = TOKENIZERS["byte_level_bpe"]
    words = ("Ms", "Mark", "US", "may")
    matcher = WordMatcher(tokenizer, Lexicon("test", words, exact=words))
    assert [match.entry for match in matcher.find(tokenizer(text).input_ids)] == found


@settings(max_examples=200, deadline=None)
@given(st.data(), st.text(st.sampled_from("msMSéÉß"), min_size=1, max_size=4))
def test_an_exact_entry_is_found_in_no_other_case(data, word):
    tokenizer = TOKENIZERS["byte_level_bpe"]
    other = "".join(data.draw(st.sampled_from([c, c.lower(), c.upper()])) for c in word)
    matcher = WordMatcher(tokenizer, Lexicon("test", (word,), exact=(word,)))
    assert bool(matcher.find(tokenizer(f"x {other}-x").input_ids)) == (other == word)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("White White House WHITE HOUSE white house", ["White"]),
        ("the Old White House White", ["White"]),
        ("White Houses, White  House", ["White"]),
    ],
)
def test_exceptions_are_left_alone(text, found):
    tokenizer = TOKENIZERS["byte_level_bpe"]
    lexicon = Lexicon("test", ("White",), exceptions=("White House", "Old White"))
    matches = WordMatcher(tokenizer, lexicon).find(tokenizer(text).input_ids)
    assert [match.entry for match in matches] == found


def test_of_the_words_in_a_token_the_first_is_told():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_one_token_for("her/she"))
    assert WordMatcher(tokenizer, Lexicon("test", ("she", "her"))).find([0]) == [(0, 1, "her")]


@settings(max_examples=300, deadline=None)
@example("ſ")
@example("µ")
@example("ı")
@given(st.characters(categories=["Ll", "Lu", "Lt", "Lo", "Nd", "No"]))
def test_an_entry_in_lower_case_is_found_in_either_case(character):
    word = f"x{character.lower()}"
    forms = [form for form in {character, character.lower(), character.upper()} if len(form) == 1]
    assume(len(character.lower()) == 1 and word.isalnum())
    tokenizer = TOKENIZERS["byte_level_bpe"]
    rows = [tokenizer(f"- x{form}").input_ids for form in forms]
    found = WordMatcher(tokenizer, Lexicon("test", (word,))).find_all(rows)
    assert [[(match.stop, match.entry) for match in row] for row in found] == [[(len(ids), word)] for ids in rows]


def test_a_character_split_over_tokens_is_in_the_span_whole():
    tokenizer = TOKENIZERS["byte_level_bpe"]
    ids = tokenizer("x Жa Ж").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["x", "Ġ", "Ð", "ĸ", "a", "Ġ", "Ð", "ĸ"]
    assert spans(WordMatcher(tokenizer, Lexicon("test", ("Жa", "ж"))).find(ids)) == [(2, 5), (6, 8)]


def test_words_that_share_a_token_share_a_span():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_one_token_for("he/she"))
    assert WordMatcher(tokenizer, LEXICON).find([1, 0, 0, 1]) == []
    assert spans(WordMatcher(tokenizer, LEXICON).find([0])) == [(0, 1)]


def test_a_token_that_spells_no_bytes_is_plain_text():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_one_token_for("🙂 she"))
    assert spans(WordMatcher(tokenizer, LEXICON).find([0])) == [(0, 1)]


def test_byte_tokens_of_sentencepiece_are_put_together():
    tokenizer = TOKENIZERS["metaspace_unigram"]
    ids = tokenizer("😀Жa").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[-3:] == ["<0xD0>", "<0x96>", "a"]
    assert spans(WordMatcher(tokenizer, Lexicon("test", ("жa",))).find(ids)) == [(len(ids) - 3, len(ids))]


def _one_token_for(text):
    base = TOKENIZERS["byte_level_bpe"].backend_tokenizer
    tokenizer = Tokenizer(models.BPE({text: 0, "x": 1}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = base.pre_tokenizer, base.decoder
    return tokenizer


@pytest.mark.parametrize("kind", ["byte_level_bpe", "metaspace_bpe", "word_piece"])
def test_special_tokens_end_words_and_are_never_matched(kind):
    tokenizer = KINDS[kind]()
    tokenizer.add_special_tokens({"additional_special_tokens": ["she", "<|woman|>"]})
    united, states = (tokenizer(word, add_special_tokens=False).input_ids for word in ("United", "States"))
    matcher = WordMatcher(tokenizer, LEXICON)
    eos, he = tokenizer.eos_token_id, tokenizer("he", add_special_tokens=False).input_ids
    assert matcher.find([*united, eos, *states]) == []
    assert matcher.find(tokenizer.convert_tokens_to_ids(["she", "<|woman|>"])) == []
    assert spans(matcher.find([eos, *he, eos])) == [(1, 1 + len(he))]


def test_ids_beyond_the_vocabulary_end_words():
    tokenizer = TOKENIZERS["byte_level_bpe"]
    he = tokenizer("he").input_ids
    assert spans(MATCHERS["byte_level_bpe"].find([-200, *he, 10**6])) == [(1, 1 + len(he))]


@pytest.mark.parametrize("kind", ["byte_level_bpe", "metaspace_bpe"])
def test_added_tokens_that_are_not_special_are_text(kind):
    tokenizer = KINDS[kind]()
    tokenizer.add_tokens(["woman", "Tomé", "🙂 s"])
    matcher = WordMatcher(tokenizer, LEXICON)
    assert spans(matcher.find(tokenizer.convert_tokens_to_ids(["woman", "<eos>", "Tomé", "🙂 s"]))) == [(0, 1), (2, 3)]


def test_a_lower_casing_tokenizer_finds_names_in_any_case_but_no_acronyms():
    tokenizer = TOKENIZERS["word_piece_lowercase"]
    assert find("Türkiye the us", ("Türkiye", "US"), tokenizer) == ["turkiye"]
    lexicon = Lexicon("test", ("Ms", "mrs"), exact=("Ms",))
    ids = tokenizer("Ms mrs").input_ids
    assert [match.entry for match in WordMatcher(tokenizer, lexicon).find(ids)] == ["mrs"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_matcher_can_be_pickled_for_data_loader_workers(kind):
    ids = TOKENIZERS[kind]("He he").input_ids
    matcher = WordMatcher(TOKENIZERS[kind], LEXICON)
    assert pickle.loads(pickle.dumps(matcher)).find(ids) == matcher.find(ids) != []


def test_finds_every_shipped_entry_in_its_own_text():
    tokenizer = TOKENIZERS["byte_level_bpe"]
    for name in ("gender", "nationality"):
        lexicon = load_lexicon(name)
        matcher = WordMatcher(tokenizer, lexicon)
        for word in lexicon.words:
            ids = tokenizer(f"x {word} y").input_ids
            assert [tokenizer.decode(ids[a:b]).strip() for a, b, _ in matcher.find(ids)] == [word]


def test_refuses_a_tokenizer_that_is_not_fast():
    with pytest.raises(
        ValueError, match=r"`tokenizer` must be a fast one \(backed by .*\), got object\. Load it with"
    ):
        WordMatcher(object(), LEXICON)


def test_refuses_a_tokenizer_that_hides_where_words_begin():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(
        ValueError, match=r"cannot read \(BPE with decoder steps: none\): nothing tells where its words"
    ):
        WordMatcher(tokenizer, LEXICON)


def test_refuses_a_lexicon_that_the_normalizer_empties():
    with pytest.raises(ValueError, match=r"No entry of lexicon 'test' is left after the tokenizer's normalizer\."):
        WordMatcher(TOKENIZERS["word_piece_lowercase"], Lexicon("test", ("US", "UK")))
