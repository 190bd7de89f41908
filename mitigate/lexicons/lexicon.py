"""The list of sensitive words, and what it tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

__all__ = ["Group", "Lexicon", "Members"]


class Group(NamedTuple):
    """
    Words that can take each other's place in a sentence.

    Args:
        kind (`str`):
            What they tell of a person, such as `"gender"`.
        form (`str`):
            What they are, such as `"noun plural"`.
        words (`tuple[str, ...]`):
            The words.
    """

    kind: str
    form: str
    words: tuple[str, ...]


class Members(NamedTuple):
    """
    Words that tell of a person of one group of people.

    Args:
        people (`str`):
            The group of people, such as `"female"`.
        words (`tuple[str, ...]`):
            The words.
    """

    people: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """
    A list of sensitive words, and what each can be replaced by.

    An entry in lower case stands for the word in any case: `"she"` for she, She and SHE. An entry with a capital
    stands for itself and its form in capitals only, so that `"Turkey"` is found in Turkey and TURKEY, and not in
    turkey. An entry may have several words (`"South Korea"`). Each Chinese character counts as a word, so an entry in
    Chinese is found wherever its characters stand.

    Args:
        name (`str`):
            Name of the list, for logs and reports.
        words (`tuple[str, ...]`):
            The entries. White space around and inside them is reduced to single spaces, and an entry that comes
            twice is kept once.
        source (`str`, *optional*, defaults to `"user"`):
            Who compiled the list.
        licence (`str`, *optional*, defaults to `"unknown"`):
            Its licence.
        groups (`tuple[Group, ...]`, *optional*, defaults to one group of all words, with `name` as its kind):
            Words that can take each other's place. Every entry is in at least one. The first group that an entry is
            in is its own; in a later one it stands in for the others. A word of a group that is no entry also only
            stands in for the others.
        exact (`tuple[str, ...]`, *optional*):
            Entries whose case decides: they are found only as they are written (`"Ms"`, not MS). Those with a capital
            are not found at all with tokenizers that put text in lower case.
        exceptions (`tuple[str, ...]`, *optional*):
            Words that hold an entry and are left alone (`"White House"`, `"其他"`). They are spelled as entries are.
        members (`tuple[Members, ...]`, *optional*):
            The entries that tell of a person of a group, by group. An entry may be in several (female and Arab), or in
            none.

    Raises:
        ValueError: If there is no entry, a blank one, or one that is in none of the groups; if an exception is blank
            or an entry; or if `exact` or `members` hold a word that is no entry.

    Example:
    ```python
    >>> from mitigate.lexicons import Lexicon

    >>> jobs = Lexicon("jobs", ("nurse", "doctor", "pilot"))
    >>> jobs.kind("nurse"), jobs.alternatives("nurse")
    ('jobs', ('doctor', 'pilot'))
    ```
    """

    name: str
    words: tuple[str, ...]
    source: str = "user"
    licence: str = "unknown"
    groups: tuple[Group, ...] = ()
    exact: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    members: tuple[Members, ...] = ()

    def __post_init__(self) -> None:
        words = _clean(self.words)
        if not words:
            raise ValueError(f"Lexicon '{self.name}' is empty: it needs at least one word.")
        groups = tuple(group._replace(words=_clean(group.words)) for group in self.groups)
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "groups", groups or (Group(self.name, "", words),))
        object.__setattr__(self, "exact", _clean(self.exact))
        object.__setattr__(self, "exceptions", _clean(self.exceptions))
        members = tuple(each._replace(words=_clean(each.words)) for each in self.members)
        object.__setattr__(self, "members", members)
        self._check()

    def _check(self) -> None:
        entries = set(self.words)
        if "" in {*entries, *self.exceptions}:
            raise ValueError(f"Lexicon '{self.name}' has a blank entry. Take it out.")
        lost = [word for word in self.words if word not in self._group_of]
        if lost:
            raise ValueError(
                f"Lexicon '{self.name}': entry '{lost[0]}' is in none of `groups`. Add it to one, or give no groups."
            )
        both = [word for word in self.exceptions if word in entries]
        if both:
            raise ValueError(f"Lexicon '{self.name}': '{both[0]}' is an entry and an exception. Take one of them out.")
        told = {"exact": self.exact, "members": tuple(word for each in self.members for word in each.words)}
        for field, named in told.items():
            unknown = [word for word in named if word not in entries]
            if unknown:
                raise ValueError(
                    f"Lexicon '{self.name}': `{field}` holds '{unknown[0]}', no entry. Spell it as in `words`."
                )

    def kind(self, entry: str) -> str:
        """
        Return what an entry tells of a person.

        Args:
            entry (`str`):
                An entry, as it is written in `words`.

        Returns:
            `str`: `"gender"`, `"nationality"`, `"religion"`, `"race"` or `"age"` for the lists that come with the
            package, in any language; the name of the lexicon for words of your own.

        Raises:
            ValueError: If the lexicon has no such entry.
        """
        return self._own_group(entry).kind

    def alternatives(self, entry: str) -> tuple[str, ...]:
        """
        Return the words that can take an entry's place in a sentence: of the same kind, and of the same form.

        Args:
            entry (`str`):
                An entry, as it is written in `words`.

        Returns:
            `tuple[str, ...]`: The words, without the entry itself; empty if there is none.

        Raises:
            ValueError: If the lexicon has no such entry.
        """
        return tuple(word for word in self._own_group(entry).words if word != entry)

    def counterparts(self, entry: str) -> tuple[str, ...]:
        """
        Return those alternatives that tell of other people than an entry does.

        Args:
            entry (`str`):
                An entry, as it is written in `words`.

        Returns:
            `tuple[str, ...]`: All alternatives, if the list does not tell of whom the entry tells. Else those that do
            not tell of the first of its groups of people, and are as near as can be in the others: for a woman's name
            from Japan, names of men from Japan.

        Raises:
            ValueError: If the lexicon has no such entry.
        """
        others = self.alternatives(entry)
        if entry not in self._people_of:
            return others
        first, *rest = self._people_of[entry]
        people = {other: self._people_of.get(other, ("",)) for other in others}
        far = {
            other: len({*rest}.symmetric_difference(people[other][1:]))
            for other in others
            if people[other][0] != first
        }
        return tuple(other for other, distance in far.items() if distance == min(far.values()))

    def people(self, entry: str) -> tuple[str, ...]:
        """
        Return the groups of people that an entry tells of.

        Args:
            entry (`str`):
                An entry, as it is written in `words`.

        Returns:
            `tuple[str, ...]`: Their names, such as `("female", "Arab")`; empty if the list does not tell.

        Raises:
            ValueError: If the lexicon has no such entry.
        """
        self._own_group(entry)
        return self._people_of.get(entry, ())

    def words_of(self, *people: str) -> tuple[str, ...]:
        """
        Return the entries that tell of people who are of all the groups named.

        Args:
            people (`str`):
                Names of groups of people, such as `"female"`.

        Returns:
            `tuple[str, ...]`: The entries, in their order.

        Raises:
            ValueError: If no entry tells of one of the groups.
        """
        known = dict.fromkeys(each.people for each in self.members)
        for group in people:
            if group not in known:
                raise ValueError(
                    f"Lexicon '{self.name}' tells of no people '{group}', only of: {', '.join(known) or 'none'}."
                )
        named = [{word for each in self.members if each.people == group for word in each.words} for group in people]
        return tuple(word for word in self.words if all(word in those for those in named))

    @cached_property
    def _people_of(self) -> dict[str, tuple[str, ...]]:
        people: dict[str, tuple[str, ...]] = {}
        for each in self.members:
            for word in each.words:
                people[word] = tuple(dict.fromkeys((*people.get(word, ()), each.people)))
        return people

    @cached_property
    def _group_of(self) -> dict[str, Group]:
        groups: dict[str, Group] = {}
        for group in self.groups:
            for word in group.words:
                groups.setdefault(word, group)
        return groups

    def _own_group(self, entry: str) -> Group:
        group = self._group_of.get(entry)
        if group is None:
            raise ValueError(f"Lexicon '{self.name}' has no entry '{entry}'. Spell it as in `words`.")
        return group


def _clean(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(" ".join(word.split()) for word in words))
