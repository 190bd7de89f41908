"""
Cut text into words, and hash the words, for whole batches at once.

Text is a sequence of *units*: tokens or single characters, of which none holds letters of two words. A word is a run
of letters and digits, over as many units as it takes. Its hash is the polynomial `Σ v(cⱼ)·Bʲ mod 2⁶⁴` over its
characters (Karp and Rabin, 1987), which can be put together from the hashes of its pieces, so it does not depend on
how the word is cut; `v` is the same for a letter in either case. Each ideograph is a word: Chinese writes no space
between words, and puts words of other scripts right beside its own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

# The script Han as a class of characters: the blocks of ideographs, and two signs that stand for one.
IDEOGRAPHS = "々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
IDEOGRAPH = re.compile(f"[{IDEOGRAPHS}]")

# In one array, for to look them up takes longer than all that is done with them.
LEADS, TRAILS, IS_NONE = np.uint8(1), np.uint8(2), np.uint8(4)

_BASE = np.uint64(0x9E3779B97F4A7C15)
_CODE_POINTS = 0x110000
# By code point, filled in as characters are met: 0 is what ends a word.
_values = np.zeros(_CODE_POINTS, np.uint64)
_stands_alone = np.zeros(_CODE_POINTS, np.bool_)
_known = np.zeros(_CODE_POINTS, np.bool_)


class Units(NamedTuple):
    """
    Pieces of text, as arrays of one length.

    Attributes:
        marks (uint8): Sum of [`LEADS`] if a word ends where the unit begins, [`TRAILS`] if one ends where it ends, and
            [`IS_NONE`] if it is no unit, since it is empty, or holds letters of two words or a part of a character.
        lengths (int64): Number of its letters and digits.
        hashes (uint64): Hash of its letters and digits.
    """

    marks: npt.NDArray[np.uint8]
    lengths: Integers
    hashes: Hashes

    def take(self, places: Integers) -> Units:
        """Return the units at `places`."""
        return Units(self.marks.take(places), self.lengths.take(places), self.hashes.take(places))


class Words(NamedTuple):
    """
    Words in their order, as arrays of one length.

    Attributes:
        first (int64): First unit of the word.
        stop (int64): The unit after its last.
        hashes (uint64): Hash of the word.
    """

    first: Integers
    stop: Integers
    hashes: Hashes


def fold(text: str) -> str:
    """
    Put text in one case, character by character.

    Args:
        text (`str`):
            Any text.

    Returns:
        `str`: Text of the same length. A character and its forms in either case, where these are single characters,
        become the same.
    """
    return text.lower() if text.isascii() else "".join(map(_fold_character, text))


def powers(count: int) -> Hashes:
    """
    Return the powers of the base, which the functions below need for words of up to `count` letters.

    Args:
        count (`int`):
            Letters of the longest word that must be told from others; longer ones get hashes that mean nothing.

    Returns:
        `Hashes` of length `count`: The powers 0, 1, ….
    """
    factors = np.full(count, _BASE)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def character_units(points: npt.NDArray[np.uint32]) -> Units:
    """
    Take every character as a unit.

    Args:
        points (`uint32` array of length `n`):
            Code points.

    Returns:
        `Units` of length `n`.
    """
    new = points[~_known[points]]
    for point in set(new.tolist()):
        character = chr(point)
        # One bit is always set: 0 is for what ends a word.
        _values[point] = _mix(ord(_fold_character(character))) | 1 if character.isalnum() else 0
        _stands_alone[point] = IDEOGRAPH.match(character) is not None
        _known[point] = True
    values = _values[points]
    is_letter = values != 0
    marks = np.where(is_letter & ~_stands_alone[points], np.uint8(0), LEADS | TRAILS)
    return Units(marks, is_letter.astype(np.int64), values)


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """
    Return the code points of a text, those of lone surrogates included.

    Args:
        text (`str` of length `n`):
            Any text.

    Returns:
        `uint32` array of length `n`.
    """
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def is_split(points: npt.NDArray[np.uint32]) -> Flags:
    """
    Tell which characters are parts of one, as `surrogateescape` puts the bytes of a broken one.

    Args:
        points (`uint32` array of length `n`):
            Code points.

    Returns:
        `Flags` of length `n`: The answer for each.
    """
    return (points >= 0xDC80) & (points <= 0xDCFF)


def text_units(texts: list[str], factors: Hashes) -> Units:
    """
    Take every text as a unit.

    Args:
        texts (`list[str]` of length `n`):
            Texts, such as those of the tokens of a vocabulary.
        factors (`Hashes`):
            Powers, see [`powers`].

    Returns:
        `Units` of length `n`.
    """
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    stops = np.cumsum(sizes)
    empty = sizes == 0
    points = code_points("".join(texts))
    characters = character_units(points)
    words = find_words(characters, stops - sizes, factors)
    owner = np.searchsorted(stops, words.first, side="right")
    hashes = np.zeros(len(texts), np.uint64)
    hashes[owner] = words.hashes
    lengths = np.bincount(owner, words.stop - words.first, len(texts)).astype(np.int64)
    ends = np.append(characters.marks != 0, True)
    is_none = empty | (np.bincount(owner, minlength=len(texts)) > 1)
    is_none[np.searchsorted(stops, np.flatnonzero(is_split(points)), side="right")] = True
    marks = (ends[stops - sizes] | empty) * LEADS + (ends[stops - 1] | empty) * TRAILS + is_none * IS_NONE
    return Units(marks, lengths, hashes)


def find_words(units: Units, row_starts: Integers, factors: Hashes) -> Words:
    """
    Find the words in a batch of rows.

    Args:
        units (`Units` of length `n`):
            The units of all rows, one row after the other.
        row_starts (`int64` array):
            Where rows start, from 0 to `n`; no word reaches from one row into the next.
        factors (`Hashes`):
            Powers, see [`powers`].

    Returns:
        `Words`: The words.
    """
    count = len(units.lengths)
    starts = units.marks & LEADS
    starts[1:] |= units.marks[:-1] & TRAILS
    starts[row_starts[row_starts < count]] = LEADS
    first = np.flatnonzero(starts)
    stop = np.append(first[1:], count)[: len(first)]
    before = np.cumsum(units.lengths) - units.lengths
    offsets = before - np.repeat(before[first], stop - first)
    pieces = units.hashes * factors.take(offsets, mode="clip")
    hashes = np.diff(np.cumsum(pieces)[stop - 1], prepend=np.uint64(0))
    # A unit without letters stands alone, for it ends the word before it and that after it.
    filled = units.lengths[first] > 0
    return Words(first, stop, hashes) if filled.all() else Words(first[filled], stop[filled], hashes[filled])


def _fold_character(character: str) -> str:
    upper = character.upper()
    upper = upper if len(upper) == 1 else character
    lower = upper.lower()
    return lower if len(lower) == 1 else upper


def _mix(number: int) -> int:
    """Scatter a number over 64 bits, as splitmix64 does (Steele, Lea and Flood, 2014)."""
    mask = (1 << 64) - 1
    number = (number + 0x9E3779B97F4A7C15) & mask
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & mask
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & mask
    return number ^ (number >> 31)
