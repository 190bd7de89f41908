"""Read word lists from text files, with the groups of words that can replace each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Group", "WordList", "read_word_list"]

_HEADER = re.compile(r"#\s*(source|licence|kind|language|alternatives)\s*:\s*(.*?)\s*$", re.IGNORECASE)


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
    """

    header: dict[str, str]
    words: tuple[str, ...]
    groups: tuple[Group, ...]


def read_word_list(text: str, name: str) -> WordList:
    """
    Read a word list.

    A line is an entry. `## form` opens a section, whose entries can replace each other. In a line of counterparts,
    `he | she`, those replace each other and nothing else; one in parentheses, `hostess | (host)`, only replaces the
    others and is no entry. After a colon the head of a section may list patterns, `## noun: * *s`: each entry comes
    once for each pattern, put in the place of `*`, and those of the same pattern replace each other. Other lines that
    start with `#` are comments; before the first entry, `# source:`, `# licence:`, `# kind:` and `# language:` tell
    about the list, and `# alternatives: none` says that nothing can replace its entries.

    Args:
        text (`str`):
            The content of the file.
        name (`str`):
            Name of the list: its kind, if the file names none.

    Returns:
        `WordList`: The header, entries and groups.

    Raises:
        ValueError: If a pattern does not hold one `*`, or if `# alternatives:` says anything but `none`.
    """
    header, sections = _split(text)
    alone = header.get("alternatives")
    if alone not in (None, "none"):
        raise ValueError(f"Lexicon '{name}': `# alternatives:` must be 'none' or left out, got '{alone}'.")
    words: list[str] = []
    groups: list[Group] = []
    for head, lines in sections.items():
        form, patterns = _patterns(head, name)
        for entries, stand_ins in _sets(lines):
            for pattern in patterns:
                forms = [pattern.replace("*", word) for word in (*entries, *stand_ins)]
                words += forms[: len(entries)]
                sets = [(word,) for word in forms] if alone else [tuple(forms)]
                groups += [Group(header.get("kind", name), form, each) for each in sets]
    return WordList(header, tuple(words), tuple(groups))


def _split(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Take a file apart into what it says about itself and the lines of each section."""
    header: dict[str, str] = {}
    head = ""
    sections: dict[str, list[str]] = {head: []}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("## "):
            head = line.removeprefix("## ").strip()
            sections.setdefault(head, [])
        elif line.startswith("#"):
            found = _HEADER.match(line)
            if found and not any(sections.values()):
                header[found[1].lower()] = found[2]
        elif line:
            sections[head].append(line)
    return header, sections


def _patterns(head: str, name: str) -> tuple[str, list[str]]:
    """Split the head of a section into the form and the patterns."""
    form, _, tail = head.rpartition(":")
    patterns = tail.split()
    if not form or "*" not in tail:
        return head, ["*"]
    wrong = [pattern for pattern in patterns if pattern.count("*") != 1]
    if wrong:
        raise ValueError(
            f"Lexicon '{name}', section '{head}': pattern '{wrong[0]}' must hold one `*`, which stands for the entry."
        )
    return form.strip(), patterns


def _sets(lines: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Give the entries and stand-ins of each set: the plain lines as one set, each line of counterparts as one."""
    plain = [line for line in lines if "|" not in line]
    if plain:
        yield plain, []
    for line in lines:
        if "|" in line:
            parts = [part.strip() for part in line.split("|")]
            stand_ins = [part for part in parts if part.startswith("(") and part.endswith(")")]
            yield [part for part in parts if part not in stand_ins], [part[1:-1].strip() for part in stand_ins]
