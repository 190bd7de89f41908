"""Find sensitive words in token ids, whatever the tokenizer cuts them into."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from tokenizers import models
from transformers import PreTrainedTokenizerBase

from mitigate.lexicons import Lexicon

# A character that is no letter, digit, white space or punctuation: it ends a word, and no entry reaches over it.
_BOUNDARY = "\0"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# What `surrogateescape` makes of the bytes of a character that is spread over several tokens.
_SPLIT_CHARACTER = re.compile("[\udc80-\udcff]")


class WordMatcher:
    """
    Find the words of a lexicon in token ids.

    Every token is put down as the text that it stands for, the texts are joined, and the words are searched in the
    result, so a word is found however it is cut into tokens. The rules:

    - Whole words only: *she* is not found in *shell*. A word ends at anything that is no letter or digit: *she's*,
      *she-wolf* and *_she_* hold *she*.
    - An entry in lower case is found in any case; one with a capital only as it is written or all in capitals.
    - An entry of several words is found across any white space, and with or without white space around the punctuation
      in it. `'` stands for `’` as well.
    - Where entries overlap, the longer one is found (*Papua New Guinea*, not *Guinea*).
    - A special token ends a word and is never part of one.
    - Entries go through the tokenizer's own normalizer first. If that puts text in lower case, an entry with a capital
      is found in any case, and entries all in capitals (*US*) are left out, since the tokens of *us* are the same.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A fast tokenizer: byte-level or SentencePiece-like (`▁`), with or without byte fallback; WordPiece; or
            WordLevel.
        lexicon (`Lexicon`):
            The words.

    Raises:
        ValueError: If the tokenizer is not a fast one, if it is of another kind, or if no entry is left after its
            normalizer.

    Example:
    ```python
    >>> from mitigate.lexicons import load_lexicon
    >>> from mitigate.matching import WordMatcher

    >>> matcher = WordMatcher(tokenizer, load_lexicon("gender"))
    >>> ids = tokenizer("in the shell she sits").input_ids
    >>> [tokenizer.decode(ids[start:stop]) for start, stop in matcher.find(ids)]
    [' she']
    ```

    Limits: a token that stands for an unknown word is a special token here, so what it hides is not found. Scripts
    that write no space between words (Chinese, Japanese, Thai) have no whole words in this sense, and hardly anything
    is found in them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lexicon: Lexicon) -> None:
        self.tokenizer = tokenizer
        self.lexicon = lexicon
        self._texts = _TokenTexts(tokenizer)
        self._regex = re.compile(_pattern(lexicon, _normalizer(tokenizer)))

    def find(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """
        Find the sensitive words in one sequence.

        Args:
            ids (`Sequence[int]` of length `n`):
                Token ids. An id that the tokenizer does not know ends a word.

        Returns:
            `list[tuple[int, int]]`: Spans `[start, stop)` of tokens, ascending and disjoint. A token that holds a part
            of a word is in the span whole, with what else it holds; words that share a token share a span.
        """
        tokens = [self._texts[token_id] for token_id in ids]
        text = "".join(tokens)
        if _SPLIT_CHARACTER.search(text):
            return self._find_bytewise(tokens)
        matches = [match.span() for match in self._regex.finditer(text)]
        return _token_spans(matches, map(len, tokens)) if matches else []

    def _find_bytewise(self, tokens: list[str]) -> list[tuple[int, int]]:
        # A token may hold a part of a character, so positions are counted in bytes.
        text = _decode(b"".join(map(_encode, tokens)))
        matches = [
            (len(_encode(text[: match.start()])), len(_encode(text[: match.end()])))
            for match in self._regex.finditer(text)
        ]
        return _token_spans(matches, (len(_encode(token)) for token in tokens))


class _TokenTexts(dict[int, str]):
    """The text that each token stands for, by token id; filled in as tokens are met."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self._backend = _backend(tokenizer)
        self._read = _token_reader(self._backend)
        for token_id, token in tokenizer.added_tokens_decoder.items():
            # An added token is kept as plain text, also beside a vocabulary that spells out bytes.
            byte_level = self._read is _read_byte_level
            self[token_id] = token.content if byte_level else _decode(self._read(token.content))
            if token.special:
                self[token_id] = _BOUNDARY
        self.update(dict.fromkeys(tokenizer.all_special_ids, _BOUNDARY))

    def __missing__(self, token_id: int) -> str:
        token = self._backend.id_to_token(token_id) if token_id >= 0 else None
        self[token_id] = _BOUNDARY if token is None else _decode(self._read(token))
        return self[token_id]


def _token_spans(matches: list[tuple[int, int]], lengths: Iterable[int]) -> list[tuple[int, int]]:
    """Turn spans of characters (or bytes) into spans of the tokens that hold them."""
    starts = list(accumulate(lengths, initial=0))
    spans: list[tuple[int, int]] = []
    for start, stop in matches:
        first, last = bisect_right(starts, start) - 1, bisect_left(starts, stop)
        if spans and first < spans[-1][1]:
            first = spans.pop()[0]
        spans.append((first, last))
    return spans


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"`tokenizer` must be a fast one (backed by the tokenizers library), got {type(tokenizer).__name__}. Load "
            "it with `AutoTokenizer.from_pretrained(…)`."
        )
    return backend


def _normalizer(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str]:
    """Return what the tokenizer does to text before it cuts it, with plain spaces."""
    backend = _backend(tokenizer)
    if backend.normalizer is None:
        return lambda text: text
    return lambda text: " ".join(backend.normalizer.normalize_str(text).replace("▁", " ").split())


def _token_reader(backend: Any) -> Callable[[str], bytes]:
    """Return the function that gives the bytes of text that a token of the vocabulary stands for."""
    parts = _parts(backend.decoder) or _parts(backend.pre_tokenizer)
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return _read_byte_level
    spaces = [part["replacement"] for part in parts if part["type"] == "Metaspace"]
    spaces += [part["pattern"].get("String") for part in parts if part["type"] == "Replace" and part["content"] == " "]
    if spaces:
        return partial(_read_metaspace, space=spaces[0])
    if isinstance(backend.model, models.WordPiece):
        return partial(_read_word_piece, prefix=backend.model.continuing_subword_prefix)
    if isinstance(backend.model, models.WordLevel):
        return _read_word
    raise ValueError(
        f"`tokenizer` is of a kind that the matcher cannot read ({type(backend.model).__name__} with decoder steps: "
        f"{', '.join(sorted(kinds)) or 'none'}): nothing tells where its words begin. Use a byte-level, "
        "SentencePiece-like, WordPiece or WordLevel tokenizer."
    )


def _parts(component: Any) -> list[dict[str, Any]]:
    """List the steps of a decoder or pre-tokenizer, which shows its settings in its pickled state only."""
    if component is None:
        return []
    state = json.loads(component.__getstate__())
    steps: list[dict[str, Any]] = state.get("decoders") or state.get("pretokenizers") or [state]
    return steps


def _byte_level_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level (GPT-2) vocabulary stands for."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_level_alphabet()


def _read_byte_level(token: str) -> bytes:
    try:
        return bytes([_BYTE_OF[character] for character in token])
    except KeyError:  # no spelt-out bytes: plain text, as the tokenizer's decoder takes it
        return token.encode()


def _read_metaspace(token: str, space: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(space, " ").encode()


def _read_word(token: str) -> bytes:
    return f" {token}".encode()


def _read_word_piece(token: str, prefix: str) -> bytes:
    return token.removeprefix(prefix).encode() if token.startswith(prefix) else _read_word(token)


def _pattern(lexicon: Lexicon, normalize: Callable[[str], str]) -> str:
    """Write the lexicon as a regular expression that prefers longer entries."""
    lower_cases = normalize("A") == "a"
    entries: dict[str, str] = {}
    for word in lexicon.words:
        if word == word.lower():
            entries[normalize(word)] = _spell(normalize(word), _either_case)
        elif not (lower_cases and word.isupper()):
            for form in (normalize(word), normalize(word.upper())):
                entries.setdefault(form, _spell(form, re.escape))
    entries.pop("", None)
    if not entries:
        raise ValueError(f"No entry of lexicon '{lexicon.name}' is left after the tokenizer's normalizer.")
    # Words are tried by their first letter, which spares most comparisons; the longest first.
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for word in sorted(entries, key=len, reverse=True):
        groups[_either_case(word[0])].append(entries[word])
    alternatives = (f"(?={first})(?:{'|'.join(group)})" for first, group in groups.items())
    return rf"(?<![^\W_])(?:{'|'.join(alternatives)})(?![^\W_])"


def _spell(text: str, letter: Callable[[str], str]) -> str:
    """Write an entry as a regular expression, with `letter` for its letters."""
    pattern = ""
    for piece in re.findall(r"[^\W_]+|\s*[^\w\s]\s*|\s+|_", text):
        if piece.isspace():
            pattern += r"\s+"
        elif piece[0].isalnum():
            pattern += "".join(map(letter, piece))
        else:
            mark = piece.strip()
            pattern += r"\s*" + ("['’]" if mark == "'" else re.escape(mark)) + r"\s*"
    return pattern.removeprefix(r"\s*").removesuffix(r"\s*")


def _either_case(character: str) -> str:
    cases = sorted({form for form in (character, character.lower(), character.upper()) if len(form) == 1})
    return re.escape(character) if len(cases) == 1 else f"[{''.join(cases)}]"
