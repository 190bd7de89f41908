r"""
Compare augmented rows with real ones before anything is trained on them: values, groups, distributions.

    mitigate audit real.jsonl augmented.jsonl --text text --label label --group group
    python recipes/audit.py real.csv augmented.csv --embeddings real.npy augmented.npy

It prints tables and findings, and writes `audit.html` and `audit.json`. Texts of rows are in neither. Without
`--encoder` or `--embeddings` the texts are compared by their words. The page `docs/audit.md` explains the measures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from mitigate.columns import FORMATS
from mitigate.files import replace_file
from mitigate.misalignment import (
    Audit,
    Features,
    SpacyTagger,
    TextRows,
    audit,
    encoder_features,
    read_answers,
    read_features,
    read_rows,
)
from mitigate.mixing import check_seed
from mitigate.report.audit import findings, render, write_html
from mitigate.spacy_pipelines import load_pipeline

PACKAGES = ("mitigate", "numpy", "scipy", "scikit-learn", "transformers")
FILES = ("audit.html", "audit.json")


def main(arguments: list[str] | None = None) -> int:
    """
    Audit two files.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: 0; 2 if the input cannot be audited or the output not be written.
    """
    options = _parser().parse_args(arguments)
    status = Console(stderr=True)
    try:
        folder = _output_folder(options.output_dir)
        with status.status("Reading and measuring"):
            result = _measure(options)
        _write(result, options, folder)
    except (ValueError, ImportError, OSError) as error:
        print(f"This cannot be audited: {error}", file=sys.stderr)
        return 2
    Console().print(render(result))
    print(f"\nWritten: {folder / 'audit.html'} and {folder / 'audit.json'}")
    return 0


def _output_folder(name: str) -> Path:
    """Refuse what cannot be written to, before minutes are spent on measuring."""
    folder = Path(name)
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise ValueError(f"`--output_dir` must be a folder, and {path} is a file.")
    for file in FILES:
        if (folder / file).is_dir():
            raise ValueError(f"{folder / file} is a folder, and a file of this name is to be written: move it away.")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"`--output_dir`: {existing} may not be written to. Name another folder.")
    return folder


def _write(result: Audit, options: argparse.Namespace, folder: Path) -> None:
    page, data = (folder / file for file in FILES)
    config = {name: value for name, value in vars(options).items() if value is not None}
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    folder.mkdir(parents=True, exist_ok=True)
    write_html(result, page, title=options.title, config=config, versions=versions)
    told = {finding.factor: asdict(finding) for finding in findings(result)}
    record = {"findings": told, **result.to_dict(), "config": config, "versions": versions}
    replace_file(data, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _measure(options: argparse.Namespace) -> Audit:
    check_seed(options.seed)
    columns = {name: getattr(options, name) for name in ("text", "label", "group", "id")}
    real, augmented = read_rows(options.real, **columns), read_rows(options.augmented, **columns)
    answers = None
    if options.values:
        answers = read_answers(
            options.values, culture=options.culture, human=options.human, augmented=options.generator
        )
    return audit(
        real,
        augmented,
        features=_features(options, real, augmented),
        answers=answers,
        respondents=options.respondents,
        ordered=options.ordered,
        tagger=SpacyTagger(load_pipeline(options.tagger)) if options.tagger else None,
        seed=options.seed,
    )


def _features(options: argparse.Namespace, real: TextRows, augmented: TextRows) -> Features | None:
    if options.embeddings:
        return read_features(options.embeddings[0], options.embeddings[1], (len(real), len(augmented)))
    if options.encoder:
        return encoder_features(options.encoder, real.texts, augmented.texts)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mitigate audit",
        description="Compare augmented rows with real ones before training: values, groups, distributions.",
        allow_abbrev=False,
    )
    files = parser.add_argument_group(f"rows ({', '.join(FORMATS)}, in UTF-8)")
    files.add_argument("real", help="File of real rows.")
    files.add_argument("augmented", help="File of augmented rows, with the same columns.")
    files.add_argument("--text", default="text", help="Column of the texts (default: text).")
    files.add_argument("--label", help="Column of the labels, to compare within them.")
    files.add_argument("--group", help="Column of the groups (default: told by English pronouns and titles).")
    files.add_argument("--id", help="Column that names the rows, to check that none comes twice.")
    features = parser.add_argument_group("features (default: words)").add_mutually_exclusive_group()
    features.add_argument("--encoder", help="Hub id or folder of an encoder of texts.")
    features.add_argument(
        "--embeddings", nargs=2, metavar=("REAL", "AUGMENTED"), help="Files of embeddings (.npy, rows × width)."
    )
    values = parser.add_argument_group("values (default: not measured)")
    values.add_argument(
        "--values", help="File (.jsonl or .parquet) with question, culture, options and two lists of shares."
    )
    values.add_argument("--culture", default="culture", help="Its column of the culture (default: culture).")
    values.add_argument("--human", default="human", help="Its column of people's shares (default: human).")
    values.add_argument(
        "--generator", default="augmented", help="Its column of the generator's shares (default: augmented)."
    )
    values.add_argument("--ordered", action="store_true", help="The options of all questions are in their order.")
    values.add_argument(
        "--respondents", type=int, default=1000, help="People asked for each distribution (default: 1000)."
    )
    other: Any = parser.add_argument_group("other")
    other.add_argument("--tagger", help="spaCy pipeline that gives parts of speech, for the templates.")
    other.add_argument("--seed", type=int, default=0, help="Seed of all that is left to chance (default: 0).")
    other.add_argument("--output_dir", default="outputs/audit", help="Folder to write to (default: outputs/audit).")
    other.add_argument("--title", default="Audit of augmented rows", help="Title of the page.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
