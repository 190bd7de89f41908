"""Counterfactual twins: rows that differ from a row in the words of the group alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset, Features, List, Value, concatenate_datasets
from rich.table import Table

from mitigate.perplexity import Perplexity
from mitigate.twins.nationalities import nationality_words
from mitigate.twins.pronoun_roles import RoleFinder, roles_by_rule
from mitigate.twins.words import Swapped, TwinWords, gender_words
from mitigate.words import Finder
from mitigate.words.entries import WORD

COLUMNS = ("pair", "group", "twin", "replaced")
RATIOS = (0.8, 1.25)


@dataclass(frozen=True)
class TwinReport:
    """
    What became of the rows.

    Args:
        rows (`int`):
            Rows that were given.
        accepted (`int`):
            Rows that have a twin.
        rejected (`dict[str, int]`):
            Number of rejected rows by the first reason against them, in the order of the checks.
    """

    rows: int
    accepted: int
    rejected: dict[str, int]

    @property
    def rejected_share(self) -> float:
        """Share of the rows that have no twin, 0 if there was no row."""
        return sum(self.rejected.values()) / self.rows if self.rows else 0.0

    def __rich__(self) -> Table:
        """Lay the report out as a table, for `rich.print`."""
        table = Table("rows", "number", "share")
        for name, number in {"accepted": self.accepted, **self.rejected}.items():
            table.add_row(name, str(number), f"{number / max(self.rows, 1):.1%}")
        return table


class Twins(NamedTuple):
    """
    Pairs of twins and how they came about.

    Attributes:
        pairs (`Dataset`):
            Two rows a pair, the given row first.
        report (`TwinReport`):
            Accepted and rejected rows.
    """

    pairs: Dataset
    report: TwinReport


def make_twins(
    dataset: Dataset,
    attribute: str | TwinWords = "gender",
    *,
    columns: Sequence[str] = ("prompt", "completion"),
    roles: RoleFinder = roles_by_rule,
    names: Finder | None = None,
    both_groups: bool = False,
    length_ratios: tuple[float, float] = RATIOS,
    perplexity: Perplexity | None = None,
    perplexity_ratios: tuple[float, float] = RATIOS,
) -> Twins:
    """
    Write the counterfactual twin of every row, and keep the pairs that pass all checks.

    A row is rejected for the first of these reasons:

    - `"word without counterpart"`: a word of the kind is in no pair, so that the swap would be incomplete;
    - `"name without counterpart"`: a name that `names` finds is in no pair, so that it may still tell the old group;
    - `"nothing to swap"`: it has no word of either group;
    - `"both groups"`: it names members of both, so that it is of neither (unless `both_groups`);
    - `"irreversible"`: swapping the twin does not give the row back;
    - `"length ratio"`: the twin is much longer or shorter than the row;
    - `"perplexity ratio"`: the model finds the twin much more or much less likely than the row.

    Args:
        dataset (`Dataset`):
            The rows.
        attribute (`str` or `TwinWords`, *optional*, defaults to `"gender"`):
            What to swap: `"gender"` for the English words of women and men, `"nationality"` for those of the English
            and of seven other cultures together (see [`nationality_words`], which takes any two), or pairs of your
            own.
        columns (`Sequence[str]`, *optional*, defaults to `("prompt", "completion")`):
            Columns of texts. The same word becomes the same other one in all of them.
        roles (`Callable[[str], dict[int, str]]`, *optional*, defaults to `roles_by_rule`):
            Tells *her book* from *see her*; [`~mitigate.twins.SpacyRoles`] asks a tagger.
        names (`Callable[[str], Iterable[tuple[int, int, str]]]`, *optional*):
            Finds the names of persons in a text: first character, character after the last, and a kind, as
            [`~mitigate.words.SpacyFinder`] does. A name is known if one of its words is in a pair, or if all are
            part of a known name (*Smith* after *Mary Smith*). Without it, names that are in no pair are not noticed:
            no list has all first names.
        both_groups (`bool`, *optional*, defaults to `False`):
            Keep rows that name both groups. Their group is that of the first word.
        length_ratios (`tuple[float, float]`, *optional*, defaults to `(0.8, 1.25)`):
            Bounds of characters in the twin over characters in the row, all columns together.
        perplexity (`Callable[[Sequence[str]], Sequence[float]]`, *optional*):
            Gives the log-perplexity of texts, as [`~mitigate.perplexity.model_perplexity`] does. Without it
            perplexity is not checked.
        perplexity_ratios (`tuple[float, float]`, *optional*, defaults to `(0.8, 1.25)`):
            Bounds of the twin's perplexity over that of the row, of the columns joined.

    Returns:
        `Twins`: The pairs and the report. Pairs have the columns of the rows and `pair` (place of the row in the data
        set), `group`, `twin` (false in the given row) and `replaced` (what `TwinWords.swap` needs to write the other
        member). A column `group` of the rows is replaced by what the text tells.

    Raises:
        ValueError: If the attribute is unknown, a column is missing, is no text or has a row without one, a column of
            the result is there already, bounds are no interval around 1, or `perplexity` gives not one number a text.

    Example:
    ```python
    >>> from datasets import Dataset
    >>> from mitigate.twins.making import make_twins

    >>> rows = Dataset.from_dict({"text": ["Mary loves her work, and we admire her."]})
    >>> pairs, report = make_twins(rows, columns=["text"])
    >>> pairs["text"][1], report.rejected_share
    ('Leonard loves his work, and we admire him.', 0.0)
    ```

    Limits: it swaps words, not facts. A beard, a pregnancy or the film that a named celebrity was in stays. Surnames
    and places that are first names are swapped too (*Scott*, *Howard University*).
    """
    words = _words_of(attribute)
    _check_request(dataset, columns, length_ratios, perplexity_ratios)
    candidates, rejected = [], Counter[str]()
    for place, row in enumerate(dataset.select_columns(list(columns))):
        candidate = _Candidate(place, [_text(row[name], name, place) for name in columns])
        unknown = names is not None and _has_unknown_name(candidate.texts, words, names)
        reason = _reason_against(candidate, words, roles, unknown, both_groups, length_ratios)
        candidates.append(candidate) if reason is None else rejected.update([reason])
    if perplexity is not None:
        likely = _likely(candidates, perplexity, perplexity_ratios)
        if len(likely) < len(candidates):
            rejected["perplexity ratio"] = len(candidates) - len(likely)
        candidates = likely
    ordered = {reason: rejected[reason] for reason in _REASONS if rejected[reason]}
    return Twins(_pairs(dataset, columns, words, candidates), TwinReport(len(dataset), len(candidates), ordered))


_REASONS = (
    "word without counterpart",
    "name without counterpart",
    "nothing to swap",
    "both groups",
    "irreversible",
    "length ratio",
    "perplexity ratio",
)


@dataclass
class _Candidate:
    place: int
    texts: list[str]
    swaps: tuple[Swapped, ...] = ()
    back: tuple[Swapped, ...] = ()

    @property
    def replaced(self) -> list[str]:
        return [word for swap in self.swaps for word in swap.replaced]

    @property
    def groups(self) -> list[str]:
        return [group for swap in self.swaps for group in swap.groups]

    @property
    def twins(self) -> list[str]:
        return [swap.text for swap in self.swaps]


def _words_of(attribute: str | TwinWords) -> TwinWords:
    if isinstance(attribute, TwinWords):
        return attribute
    known = {"gender": gender_words, "nationality": nationality_words}
    if attribute not in known:
        raise ValueError(
            f"`attribute`: only pairs for 'gender' and 'nationality' come with the package, got '{attribute}'. Pass a "
            "`TwinWords` with the two groups and their pairs of words."
        )
    return known[attribute]()


def _check_request(dataset: Dataset, columns: Sequence[str], *bounds: tuple[float, float]) -> None:
    if isinstance(columns, str):
        raise ValueError(f"`columns` must be a list of names, got '{columns}'. Pass ['{columns}'].")
    for name in columns:
        if name not in dataset.column_names:
            raise ValueError(f"`columns`: '{name}' is no column of the rows, which have {dataset.column_names}.")
        if getattr(dataset.features[name], "dtype", None) not in {"string", "large_string"}:
            raise ValueError(f"`columns`: '{name}' is no column of texts but of {dataset.features[name]}.")
    taken = [name for name in COLUMNS if name != "group" and name in dataset.column_names]
    if taken or not columns:
        raise ValueError(
            f"The rows have a column '{taken[0]}' already. Rename it." if taken else "`columns` names no column."
        )
    for low, high in bounds:
        if not 0 < low <= 1 <= high:
            raise ValueError(f"Bounds of a ratio must hold 1 and be above 0, got ({low}, {high}).")


def _text(text: str | None, column: str, place: int) -> str:
    if text is None:
        raise ValueError(f"`columns`: '{column}' has no text in row {place + 1}. Fill it in, or drop the row.")
    return text


def _reason_against(
    candidate: _Candidate,
    words: TwinWords,
    roles: RoleFinder,
    unknown_name: bool,
    both_groups: bool,
    bounds: tuple[float, float],
) -> str | None:
    """Write the twin of a row into its candidate; tell what speaks against it, if anything does."""
    if any(words.unpaired(text) for text in candidate.texts):
        return "word without counterpart"
    if unknown_name:
        return "name without counterpart"
    candidate.swaps = tuple(words.swap(text, roles=roles) for text in candidate.texts)
    if not candidate.replaced:
        return "nothing to swap"
    if len(set(candidate.groups)) > 1 and not both_groups:
        return "both groups"
    candidate.back = tuple(words.swap(swap.text, swap.replaced, roles=roles) for swap in candidate.swaps)
    if [swap.text for swap in candidate.back] != candidate.texts:
        return "irreversible"
    ratio = sum(map(len, candidate.twins)) / sum(map(len, candidate.texts))
    return None if bounds[0] <= ratio <= bounds[1] else "length ratio"


def _has_unknown_name(texts: list[str], words: TwinWords, names: Finder) -> bool:
    found = [text[start:stop] for text in texts for start, stop, _ in names(text)]
    known = {word for name in found if words.swap(name).replaced for word in WORD.findall(name)}
    return any(not known.issuperset(WORD.findall(name)) for name in found)


def _likely(candidates: list[_Candidate], perplexity: Perplexity, bounds: tuple[float, float]) -> list[_Candidate]:
    """Keep the candidates of which row and twin are about equally likely."""
    if not candidates:
        return []
    texts = [" ".join(each) for candidate in candidates for each in (candidate.texts, candidate.twins)]
    measured = np.asarray(perplexity(texts), dtype=float)
    if measured.shape != (len(texts),):
        raise ValueError(
            f"`perplexity` must give one number for each of {len(texts)} texts, got shape {measured.shape}."
        )
    ratios = np.exp(measured[1::2] - measured[::2])
    return [each for each, ratio in zip(candidates, ratios, strict=True) if bounds[0] <= ratio <= bounds[1]]


def _pairs(dataset: Dataset, columns: Sequence[str], words: TwinWords, candidates: list[_Candidate]) -> Dataset:
    """Join rows and twins, pair by pair."""
    places = [candidate.place for candidate in candidates for _ in range(2)]
    others = [name for name in dataset.column_names if name not in {*columns, "group"}]
    other = dict(zip(words.groups, words.groups[::-1], strict=True))
    new: dict[str, list[Any]] = {"pair": places, "group": [], "twin": [False, True] * len(candidates), "replaced": []}
    texts: list[list[str]] = []
    for candidate in candidates:
        texts += [candidate.texts, candidate.twins]
        new["group"] += [candidate.groups[0], other[candidate.groups[0]]]
        back = [word for swap in candidate.back for word in swap.replaced]
        new["replaced"] += [back, candidate.replaced]
    new = {name: [each[number] for each in texts] for number, name in enumerate(columns)} | new
    features = Features({name: Value("string") for name in (*columns, "group")})
    features |= {"pair": Value("int64"), "twin": Value("bool"), "replaced": List(Value("string"))}
    written = Dataset.from_dict(new, features=Features({name: features[name] for name in new}))
    if not candidates:  # tables without rows lose columns when they are put beside each other
        columns_of_all = Features({**{name: dataset.features[name] for name in others}, **written.features})
        return Dataset.from_dict({name: [] for name in columns_of_all}, features=columns_of_all)
    # Without a column, a data set has no rows to put beside the others.
    return (
        concatenate_datasets([dataset.select_columns(others).select(places), written], axis=1) if others else written
    )
