"""An audit on a terminal, drawn by rich."""

from __future__ import annotations

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mitigate.misalignment import Audit
from mitigate.report.audit.findings import METHOD, READING, findings
from mitigate.report.audit.tables import audit_tables
from mitigate.report.terminal import draw_table


def render(audit: Audit) -> Group:
    """
    Lay out the tables, the findings and the notes of an audit, for `rich.print`.

    Args:
        audit (`Audit`):
            As returned by [`mitigate.misalignment.audit`].

    Returns:
        `rich.console.Group`: To be printed by any rich console.
    """
    told = findings(audit)
    sentences = [" ".join(filter(None, (finding.sentence, finding.advice))) for finding in told]
    if any(finding.advice for finding in told):
        sentences.append(READING)
    return Group(
        *(draw_table(table) for table in audit_tables(audit)),
        Text("Findings", style="bold"),
        *(Padding(Text(f"• {sentence}"), (0, 0, 0, 1)) for sentence in (*sentences, METHOD, *audit.notes)),
    )
