"""The analysis as one self-contained page: no script, no network, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from mitigate.analysis import Analysis
from mitigate.files import replace_file
from mitigate.report.figures import figure
from mitigate.report.rows import audit_findings, rows_table
from mitigate.report.tables import curve_table, slope_table, subgroup_tables, trend_table
from mitigate.report.verdict import verdict


def write_html(
    analysis: Analysis,
    path: str | Path,
    *,
    title: str,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    records: Iterable[Mapping[str, Any]] = (),
    audit: Mapping[str, Any] | None = None,
) -> None:
    """
    Write the report of an analysis as one HTML file.

    Names, labels, configuration and title are escaped: nothing of them is read as markup.

    Args:
        analysis (`Analysis`):
            As returned by [`mitigate.analysis.analyse`].
        path (`str` or `Path`):
            File to write; its folder must exist. It is replaced at once, never half written.
        title (`str`):
            Heading of the page.
        config (`Mapping[str, Any]`):
            The exact configuration of the sweep, of plain values, shown as YAML in its own order.
        versions (`Mapping[str, str]`):
            Version by package, shown in its own order.
        records (`Iterable[Mapping[str, Any]]`, *optional*):
            The records of the sweep, for the rows that its models were trained on.
        audit (`Mapping[str, Any]`, *optional*):
            What `mitigate audit` wrote to `audit.json`.
    """
    doses = sorted({arm.dose for arm in analysis.arms if not arm.is_null}, reverse=True) or [0.0]
    # Our own SVG is the only markup that is put in unescaped; matplotlib escapes the names in it.
    figures = [
        (
            dose,
            [
                Markup(figure(analysis, dose=dose, panels=(metric,), standalone=False))
                for metric in ("bias", "utility")
            ],
        )
        for dose in doses
    ]
    page = load_template("report.html").render(
        title=title,
        analysis=analysis,
        sentences=verdict(analysis),
        figures=figures,
        tables=[
            slope_table(analysis),
            trend_table(analysis),
            curve_table(analysis, "bias"),
            curve_table(analysis, "utility"),
        ],
        subgroups=subgroup_tables(analysis),
        rows=rows_table(records),
        findings=audit_findings(audit),
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions=versions,
    )
    replace_file(path, page)


def load_template(name: str) -> Template:
    """
    Load a template of a page. What is put into it is escaped, but for [`markupsafe.Markup`].

    Args:
        name (`str`):
            Path below `mitigate/report`.

    Returns:
        `jinja2.Template`: The template; a value that it needs and is not given raises when it is rendered.
    """
    environment = Environment(
        loader=PackageLoader("mitigate.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
