"""An audit as one self-contained page: no script, no network, no text of a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from mitigate.files import replace_file
from mitigate.misalignment import Audit
from mitigate.report.audit.figures import answer_figure, group_figure, map_figure
from mitigate.report.audit.findings import METHOD, READING, findings
from mitigate.report.audit.tables import audit_tables
from mitigate.report.html import load_template


def write_html(
    audit: Audit, path: str | Path, *, title: str, config: Mapping[str, Any], versions: Mapping[str, str]
) -> None:
    """
    Write an audit as one HTML file.

    Names of groups, labels and cultures, questions, options, configuration and title are escaped: nothing of them is
    read as markup.

    Args:
        audit (`Audit`):
            As returned by [`mitigate.misalignment.audit`].
        path (`str` or `Path`):
            File to write; its folder must exist. It is replaced at once, never half written.
        title (`str`):
            Heading of the page.
        config (`Mapping[str, Any]`):
            How the audit was made, of plain values, shown as YAML in its own order.
        versions (`Mapping[str, str]`):
            Version by package, shown in its own order.
    """
    # Our own SVG is the only markup that is put in unescaped; matplotlib escapes the names in it.
    page = load_template("audit/page.html").render(
        title=title,
        audit=audit,
        findings=findings(audit),
        reading=READING,
        method=METHOD,
        map=Markup(map_figure(audit.map)),
        groups=Markup(group_figure(audit.groups)) if audit.groups else None,
        answers=[(answer, Markup(answer_figure(answer, number))) for number, answer in enumerate(audit.farthest)],
        tables=audit_tables(audit),
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions=versions,
    )
    replace_file(path, page)
