"""Words in Chinese, which writes no space between words, against a slow search in plain text."""

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mitigate import BiasMaskCollator
from mitigate.lexicons import Group, Lexicon
from mitigate.words import WordMatcher
from tests import tiny_tokenizers

BUILDS = {
    "byte_level_bpe": tiny_tokenizers.byte_level_bpe,
    "metaspace_bpe": tiny_tokenizers.metaspace_bpe,
    "metaspace_unigram": tiny_tokenizers.metaspace_unigram,
    "word_piece": tiny_tokenizers.word_piece,
}
# Taught Chinese, with tokens that hold several words or parts of characters; and not, with single bytes only.
TOKENIZERS = {
    f"{kind}, {'Chinese' if chinese else 'English'}": build(chinese=chinese)
    for kind, build in BUILDS.items()
    for chinese in (True, False)
    if chinese or kind in ("byte_level_bpe", "metaspace_bpe")  # others turn characters that they do not know into one
}
WORDS = ("他", "她", "他们", "妈妈", "女", "女儿", "儿子", "美国", "中国", "US", "he", "爸")
EXCEPTIONS = ("其他", "尤其", "人家", "发展中国家", "男女", "he is")
LEXICON = Lexicon("zh", WORDS, exceptions=EXCEPTIONS)
CHARACTERS = "他她们其尤人家妈女儿子中美国发展男爸"
PIECES = [*WORDS, *EXCEPTIONS, *CHARACTERS, "US", "去", "学", "American", "the", "。", "，", " ", "he ", "人"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def is_chinese(character):
    return "\u4e00" <= character <= "\u9fff"


def is_letter(character):
    return character.isalnum() and not is_chinese(character)


def words_in_plain_text(text, words=WORDS, exceptions=EXCEPTIONS):
    """At each position take the longest word or exception, go on after it, and drop the exceptions."""
    found, position = [], 0
    while position < len(text):
        ends = {}
        for word in (*words, *exceptions):
            end = position + len(word)
            same = text[position:end] == word or (word == word.lower() and text[position:end].lower() == word)
            glued_before = position > 0 and is_letter(text[position - 1]) and is_letter(word[0])
            glued_after = end < len(text) and is_letter(text[end]) and is_letter(word[-1])
            if same and not glued_before and not glued_after:
                ends[end] = word
        if ends:
            end = max(ends)
            if ends[end] in words:
                found.append((position, end))
            position = end
        else:
            position += 1
    return found


def token_spans(words, offsets):
    spans = []
    for start, stop in words:
        tokens = [i for i, (first, last) in enumerate(offsets) if first < stop and last > start]
        if spans and tokens[0] < spans[-1][1]:
            spans[-1] = (spans[-1][0], tokens[-1] + 1)
        else:
            spans.append((tokens[0], tokens[-1] + 1))
    return spans


def encode(tokenizer, text):
    """Ids, and the characters that each token stands for by the tokenizer's own account."""
    encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    tokens = tokenizer.convert_ids_to_tokens(encoding.input_ids)
    # The space that SentencePiece puts before a text claims the place of the first letter.
    places = zip(tokens, encoding.offset_mapping, strict=True)
    return encoding.input_ids, [(0, 0) if token == "▁" else place for token, place in places]


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(text=TEXTS | st.text(st.sampled_from(CHARACTERS), max_size=16))
def test_finds_what_a_search_in_the_plain_text_finds(kind, text):
    # WordPiece puts a space on both sides of each ideograph, so that its tokens do not tell where there was one.
    assume(not (kind.startswith("word_piece") and re.search("[\u4e00-\u9fff] +[\u4e00-\u9fff]", text)))
    tokenizer = TOKENIZERS[kind]
    ids, offsets = encode(tokenizer, text)
    found = WordMatcher(tokenizer, LEXICON).find(ids)
    assert [(match.start, match.stop) for match in found] == token_spans(words_in_plain_text(text), offsets)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), text=st.text(st.sampled_from("中国美家人他"), max_size=12))
def test_any_entries_and_exceptions(data, text):
    tokenizer = TOKENIZERS["byte_level_bpe, Chinese"]
    drawn = data.draw(
        st.lists(st.text(st.sampled_from("中国美家人他"), min_size=1, max_size=4), min_size=2, unique=True)
    )
    cut = data.draw(st.integers(1, len(drawn)))
    words, exceptions = tuple(drawn[:cut]), tuple(drawn[cut:])
    ids, offsets = encode(tokenizer, text)
    found = WordMatcher(tokenizer, Lexicon("zh", words, exceptions=exceptions)).find(ids)
    expected = token_spans(words_in_plain_text(text, words, exceptions), offsets)
    assert [(match.start, match.stop) for match in found] == expected


@pytest.mark.parametrize("kind", ["byte_level_bpe", "metaspace_bpe"])
@settings(max_examples=100, deadline=None)
@example(text="American人")
@given(text=TEXTS)
def test_english_entries_are_found_beside_chinese(kind, text):
    tokenizer = TOKENIZERS[f"{kind}, Chinese"]
    ids, offsets = encode(tokenizer, text)
    found = WordMatcher(tokenizer, Lexicon("en", ("US", "he", "american"))).find(ids)
    expected = token_spans(words_in_plain_text(text, ("US", "he", "american"), ()), offsets)
    assert [(match.start, match.stop) for match in found] == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("他说其他人尤其喜欢她的妈妈", ["他", "她", "妈妈"]),
        ("尤其他们，其他们", ["他们"]),  # guarded by 尤其, and by 其他
        ("他们的吉他", ["他们", "他"]),  # no exception for the guitar here
        ("美国人在发展中国家", ["美国"]),
        ("在US工作的American人", ["US"]),
        ("他妈妈和他们家的女儿", ["他", "妈妈", "他们", "女儿"]),
        ("男女，女男", ["女"]),
        ("𠮷他𠮷々妈妈〇", ["他", "妈妈"]),
    ],
)
def test_examples(text, found):
    tokenizer = TOKENIZERS["byte_level_bpe, English"]
    matches = WordMatcher(tokenizer, LEXICON).find(tokenizer(text).input_ids)
    assert [match.entry for match in matches] == found


def test_a_token_that_holds_more_than_the_word_is_masked_whole():
    tokenizer = TOKENIZERS["metaspace_bpe, Chinese"]
    ids = tokenizer("她是。美国国家", add_special_tokens=False).input_ids
    tokens = tokenizer.convert_ids_to_tokens(ids)
    masked = BiasMaskCollator(tokenizer, LEXICON)([{"input_ids": ids, "augmented": True}])["input_ids"][0]
    assert "美国国家" in tokens
    hidden = [token for token, new in zip(tokens, masked.tolist(), strict=True) if new == tokenizer.mask_token_id]
    assert hidden == ["她", "美国国家"]


SWAPS = Lexicon(
    "zh",
    ("他", "她", "他们", "她们", "妈妈", "爸爸", "女", "男", "女儿", "儿子"),
    groups=tuple(
        Group("gender", "", pair)
        for pair in (("他", "她"), ("他们", "她们"), ("妈妈", "爸爸"), ("女", "男"), ("女儿", "儿子"))
    ),
    exceptions=("其他", "尤其", "人家", "男女"),
)


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("他她们其尤人家妈爸女儿子男去，"), min_size=1, max_size=12))
@example("尤其他")
def test_a_swap_is_what_replacing_in_plain_text_gives(kind, text):
    tokenizer = TOKENIZERS[kind]
    expected = text
    for start, stop in reversed(words_in_plain_text(text, SWAPS.words, SWAPS.exceptions)):
        expected = expected[:start] + SWAPS.alternatives(text[start:stop])[0] + expected[stop:]
    ids = tokenizer(text, add_special_tokens=False).input_ids
    batch = BiasMaskCollator(tokenizer, SWAPS, mode="swap")([{"input_ids": ids, "augmented": True}])
    plain = tokenizer(expected, add_special_tokens=False).input_ids
    assert tokenizer.decode(batch["input_ids"][0]) == tokenizer.decode(plain)


@pytest.mark.parametrize(
    ("text", "pieces", "expected"), [("她和他人", ["她和他", "人"], "他和他人"), ("其他她", ["其", "他她"], "其他他")]
)
def test_an_exception_that_reaches_over_the_token_of_a_word_stays(text, pieces, expected):
    characters = [(each, -9.0) for each in "(她他和人"]
    vocabulary = [("<unk>", -99.0), *((piece, -1.0) for piece in ("▁", *pieces)), *characters]
    backend = Tokenizer(models.Unigram(vocabulary, 0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    assert tokenizer.tokenize(text)[1:] == pieces
    lexicon = Lexicon("zh", ("他", "她"), exceptions=("其他", "他人"))
    row = {"input_ids": tokenizer(text).input_ids, "augmented": True}
    batch = BiasMaskCollator(tokenizer, lexicon, mode="swap")([row])
    assert tokenizer.decode(batch["input_ids"][0]) == expected


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_control_masks_characters_that_are_not_sensitive(kind):
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer("他去，上海 地铁站", add_special_tokens=False).input_ids
    collate = BiasMaskCollator(tokenizer, Lexicon("zh", ("他",)), random_words=True)
    texts = set()
    for epoch in range(30):
        collate.epoch = epoch
        batch = collate([{"input_ids": ids, "augmented": True}])
        texts.add(tokenizer.decode(batch["input_ids"][0]).replace(" ", ""))
    assert len(texts) > 2 and all(text.startswith("他") for text in texts)
