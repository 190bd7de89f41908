"""
Turn biographies written by people and by an LLM into the files of `biographies.yaml`.

    python recipes/prepare_biographies.py --real wiki_bios_gender_swapped_pairs.csv --augmented chatgpt_bios.csv \
        --output_dir outputs/biographies

The real file holds pairs: a biography, and the same with the gender of its words swapped (`pair_id`, `gender`,
`swapped`, `occupation`, `text`). The augmented file holds one biography a row (`name`, `gender`, `occupation`,
`text`). The texts concern real people: keep the files to yourself, and publish no generations about them.

What would give the source or the answer away is made alike on both sides: case, length, and the name of the
occupation, which LLMs write into nearly every biography and people into few.
"""

from __future__ import annotations

import csv
import io
import random
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from transformers import HfArgumentParser

from mitigate.columns import read_columns
from mitigate.files import replace_file

Row = dict[str, str]

# What stands in every text for the name of any occupation, in the singular or plural.
NEUTRAL_WORD = "person"
_SWAPPED = {"0": False, "false": False, "1": True, "true": True}
_GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male"}
# Feminine forms that are not the noun with an ending.
_FEMININE = {"dancer": ["ballerina", "danseuse"], "writer": ["authoress"], "athlete": ["sportswoman", "sportswomen"]}
_COLUMNS = {
    "real": ["pair_id", "gender", "swapped", "occupation", "text"],
    "augmented": ["name", "gender", "occupation", "text"],
}


@dataclass
class BiographyArguments:
    """Command line of this script."""

    real: str = field(metadata={"help": "CSV file of pairs of biographies written by people."})
    augmented: str = field(metadata={"help": "CSV file of biographies written by an LLM."})
    output_dir: str = field(metadata={"help": "Folder for real.csv, augmented.csv, test.csv and names.txt."})
    test_share: float = field(default=0.3, metadata={"help": "Share of pairs, in (0, 1), that are kept for the test."})
    seed: int = field(default=0, metadata={"help": "Seed of the split."})
    max_words: int = field(default=60, metadata={"help": "Words after which a text is cut."})

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise ValueError(f"`test_share` must lie in (0, 1), got {self.test_share}.")
        if self.max_words < 1:
            raise ValueError(f"`max_words` must be at least 1, got {self.max_words}.")


def occupation_pattern(occupations: Iterable[str]) -> re.Pattern[str]:
    """
    Make the pattern of the words to neutralise: the nouns, their plurals and feminine forms, and compounds that end in
    one (supermodel, songwriter). Activities (modeling, writing) stay: they are what the text tells about the person.

    Args:
        occupations (`Iterable[str]`):
            Nouns in the singular, in lower case.

    Returns:
        `re.Pattern`: It matches whole words of text in lower case.
    """
    nouns = sorted({form for noun in occupations for form in (noun, *_FEMININE.get(noun, []))})
    return re.compile(rf"\b\w*(?:{'|'.join(map(re.escape, nouns))})(?:s|e|es)?\b")


def normalise(row: Row, pattern: re.Pattern[str], max_words: int) -> Row:
    """
    Make the texts of both sources alike.

    Args:
        row (`dict[str, str]`):
            `gender`, `occupation` and `text`.
        pattern (`re.Pattern`):
            The words to neutralise.
        max_words (`int`):
            Words after which a text is cut.

    Returns:
        `dict[str, str]`: `text` in lower case, `gender` (`female` or `male`) and `occupation`.

    Raises:
        ValueError: If the gender is none of f, m, female and male.
    """
    gender = row["gender"].strip().lower()
    if gender not in _GENDERS:
        raise ValueError(f"`gender` must be one of {', '.join(_GENDERS)}, got '{row['gender']}'.")
    words = pattern.sub(NEUTRAL_WORD, row["text"].lower()).split()
    return {"text": " ".join(words[:max_words]), "gender": _GENDERS[gender], "occupation": row["occupation"]}


def split_pairs(rows: list[Row], test_share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """
    Split real rows by pair, within each occupation, so that no text is trained on in one gender and tested in another.

    Args:
        rows (`list[dict[str, str]]`):
            Rows with `pair_id`, `occupation` and `swapped` (0 or 1, or False or True).
        test_share (`float`):
            Share of pairs that are kept for the test.
        seed (`int`):
            Seed of the split.

    Returns:
        `tuple[list, list]`: The original members of training pairs, and both members of test pairs.

    Raises:
        ValueError: If `swapped` is none of 0, 1, False and True.
    """
    for row in rows:
        if row["swapped"].strip().lower() not in _SWAPPED:
            raise ValueError(f"`swapped` must be one of 0, 1, False and True, got '{row['swapped']}'.")
    held_out: set[str] = set()
    for occupation in sorted({row["occupation"] for row in rows}):
        pairs = sorted({row["pair_id"] for row in rows if row["occupation"] == occupation})
        random.Random(f"{seed}-{occupation}").shuffle(pairs)
        held_out.update(pairs[: round(len(pairs) * test_share)])
    train = [row for row in rows if row["pair_id"] not in held_out and not _SWAPPED[row["swapped"].strip().lower()]]
    return train, [row for row in rows if row["pair_id"] in held_out]


def first_names(names: Iterable[str]) -> list[str]:
    """
    List first names.

    Args:
        names (`Iterable[str]`):
            Names, first name first.

    Returns:
        `list[str]`: Each once, sorted, in lower case.
    """
    return sorted({name.split()[0].lower() for name in names if name.split()})


def main(arguments: list[str] | None = None) -> None:
    """
    Write the four files.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.
    """
    (parsed,) = HfArgumentParser(BiographyArguments).parse_args_into_dataclasses(arguments)  # type: ignore[arg-type]
    try:
        print(_prepare(parsed))
    except (ValueError, OSError) as error:
        sys.exit(f"The files cannot be prepared: {error}")


def _prepare(parsed: BiographyArguments) -> str:
    real, augmented = (_read(Path(getattr(parsed, side)), side) for side in ("real", "augmented"))
    occupations = sorted({row["occupation"] for row in real} & {row["occupation"] for row in augmented})
    if not occupations:
        raise ValueError("The two files have no occupation in common.")
    real, augmented = ([row for row in rows if row["occupation"] in occupations] for rows in (real, augmented))
    train, test = split_pairs(real, parsed.test_share, parsed.seed)
    sides = {"real": train, "augmented": augmented, "test": test}
    empty = [name for name, rows in sides.items() if not rows]
    if empty:
        raise ValueError(
            f"No row is left for {empty[0]}.csv, of {len(real)} real and {len(augmented)} augmented ones with an "
            "occupation of both files: give more pairs of each occupation, or another `--test_share`."
        )
    pattern = occupation_pattern(occupations)
    tables = {name: _table(normalise(row, pattern, parsed.max_words) for row in rows) for name, rows in sides.items()}
    folder = Path(parsed.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        replace_file(folder / f"{name}.csv", table)
    # Of the augmented rows alone: they alone are masked, and among the names of others are words such as rich or rock.
    names = first_names(row["name"] for row in augmented)
    replace_file(folder / "names.txt", "\n".join(names) + "\n")
    return (
        f"{len(occupations)} occupations ({', '.join(occupations)}): {len(train)} real, {len(augmented)} augmented "
        f"and {len(test)} test rows, {len(names)} first names, in {folder}."
    )


def _read(path: Path, side: str) -> list[Row]:
    names = _COLUMNS[side]
    columns = read_columns(path, names)
    cells = [["" if value is None else str(value) for value in columns[name]] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _table(rows: Iterable[Row]) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["text", "gender", "occupation"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


if __name__ == "__main__":
    main()
