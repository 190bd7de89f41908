"""Read word lists from text files, with the groups of words that can replace each other."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import NamedTuple

from mitigate.lexicons.lexicon import Group, Members

__all__ = ["WordList", "read_word_list"]

_HEADER = re.compile(r"#\s*(source|licence|kind|language|alternatives)\s*:\s*(.*?)\s*$", re.IGNORECASE)
_HEAD = re.compile(r"(?P<form>[^\[]+?)\s*(?:\[(?P<people>[^\]]*)\])?\s*(?::(?P<patterns>[^\[\]:]*\*[^\[\]:]*))?")
# The form of the section that holds no entries but words that only look as if they held one.
_EXCEPTIONS = "exceptions"


class WordList(NamedTuple):
    """
    What a file says.

    Args:
        header (`dict[str, str]`):
            Those of `source`, `licence`, `kind`, `language` and `alternatives` that it names.
        words (`tuple[str, ...]`):
            The entries, in order.
        groups (`tuple[Group, ...]`):
            The groups, in order.
        exact (`tuple[str, ...]`):
            The entries that are found only as they are written.
        exceptions (`tuple[str, ...]`):
            Words that hold an entry and are no hit.
        members (`tuple[Members, ...]`):
            The entries of each group of people that the file names.
    """

    header: dict[str, str]
    words: tuple[str, ...]
    groups: tuple[Group, ...]
    exact: tuple[str, ...]
    exceptions: tuple[str, ...]
    members: tuple[Members, ...]


class _Section(NamedTuple):
    """Lines of one form, each with the groups of people of its words, column by column."""

    form: str
    patterns: tuple[str, ...]
    lines: list[tuple[str, list[list[str]]]]


class _Word(NamedTuple):
    text: str
    is_entry: bool
    is_exact: bool
    people: list[str]


def read_word_list(text: str, name: str) -> WordList:
    """
    Read a word list.

    A line is an entry. `## form` opens a section, whose entries can replace each other. In a line of counterparts,
    `he | she`, those replace each other and nothing else; one in parentheses, `hostess | (host)`, only replaces the
    others and is no entry. An entry in quotes, `"Ms"`, is found only as it is written.

    The head of a section may name in brackets whom its entries tell of: `## first name [female, Arab]`, or for lines
    of counterparts column by column, `## noun [female | male]`. Sections of one form replace each other, whomever they
    tell of. After a colon the head may list patterns, `## noun: * *s`: each entry comes once for each pattern, put in
    the place of `*`, and those of the same pattern replace each other. The section `## exceptions` holds words that
    are left alone, though they hold an entry.

    Other lines that start with `#` are comments; before the first entry, `# source:`, `# licence:`, `# kind:` and
    `# language:` tell about the list, and `# alternatives: none` says that nothing can replace its entries.

    Args:
        text (`str`):
            The content of the file.
        name (`str`):
            Name of the list: its kind, if the file names none.

    Returns:
        `WordList`: What it says.

    Raises:
        ValueError: If a pattern does not hold one `*`; if a line has more or fewer words than its section has columns
            of people; or if `# alternatives:` says anything but `none`.
    """
    header, sections = _split(text, name)
    alone = header.get("alternatives")
    if alone not in (None, "none"):
        raise ValueError(f"Lexicon '{name}': `# alternatives:` must be 'none' or left out, got '{alone}'.")
    words: list[str] = []
    exceptions: list[str] = []
    exact: list[str] = []
    groups: list[Group] = []
    members: defaultdict[str, list[str]] = defaultdict(list)
    for section in sections:
        for those in _sets(section, name):
            for pattern in section.patterns:
                forms = [pattern.replace("*", word.text) for word in those]
                if section.form == _EXCEPTIONS:
                    exceptions += forms
                    continue
                for form, word in zip(forms, those, strict=True):
                    words += [form] * word.is_entry
                    exact += [form] * word.is_exact
                    for people in word.people:
                        members[people].append(form)
                sets = [(form,) for form in forms] if alone else [tuple(forms)]
                groups += [Group(header.get("kind", name), section.form, each) for each in sets]
    told = tuple(Members(people, tuple(those)) for people, those in members.items())
    return WordList(header, tuple(words), tuple(groups), tuple(exact), tuple(exceptions), told)


def _split(text: str, name: str) -> tuple[dict[str, str], list[_Section]]:
    """Take a file apart into what it says about itself and its sections."""
    header: dict[str, str] = {}
    section = _Section("", ("*",), [])
    sections = {(section.form, section.patterns): section}
    people: list[list[str]] = [[]]
    for line in map(str.strip, text.splitlines()):
        if line.startswith("## "):
            form, patterns, people = _read_head(line.removeprefix("## ").strip(), name)
            section = sections.setdefault((form, patterns), _Section(form, patterns, []))
        elif line.startswith("#"):
            found = _HEADER.match(line)
            if found and not any(each.lines for each in sections.values()):
                header[found[1].lower()] = found[2]
        elif line:
            section.lines.append((line, people))
    return header, list(sections.values())


def _read_head(head: str, name: str) -> tuple[str, tuple[str, ...], list[list[str]]]:
    """Take the head of a section apart into the form, the patterns and the people of each column."""
    found = _HEAD.fullmatch(head)
    if found is None:
        return head, ("*",), [[]]
    patterns = (found["patterns"] or "*").split()
    wrong = [pattern for pattern in patterns if pattern.count("*") != 1]
    if wrong:
        raise ValueError(
            f"Lexicon '{name}', section '{head}': pattern '{wrong[0]}' must hold one `*`, which stands for the entry."
        )
    columns = [column.split(",") for column in (found["people"] or "").split("|")]
    people = [[each.strip() for each in column if each.strip()] for column in columns]
    return found["form"], tuple(patterns), people


def _sets(section: _Section, name: str) -> list[list[_Word]]:
    """Give the words of each set: those of the plain lines as one set, each line of counterparts as one."""
    plain: list[_Word] = []
    sets = [plain]
    for line, people in section.lines:
        parts = [part.strip() for part in line.split("|")]
        if len(people) not in (1, len(parts)):
            raise ValueError(
                f"Lexicon '{name}', section '{section.form}': the line '{line}' has {len(parts)} words, and the head "
                f"of the section names people for {len(people)}. Make them as many."
            )
        columns = people * len(parts) if len(people) == 1 else people
        words = [_read_word(part, column, len(parts) > 1) for part, column in zip(parts, columns, strict=True)]
        if len(words) > 1:
            sets.append(words)
        else:
            plain += words
    return [words for words in sets if words]


def _read_word(part: str, people: list[str], has_counterparts: bool) -> _Word:
    if has_counterparts and part.startswith("(") and part.endswith(")"):
        return _Word(part[1:-1].strip(), is_entry=False, is_exact=False, people=[])
    is_exact = len(part) > 2 and part[0] == part[-1] == '"'
    return _Word(part[1:-1].strip() if is_exact else part, is_entry=True, is_exact=is_exact, people=people)
