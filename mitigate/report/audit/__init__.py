"""Reports of an audit: findings in words, terminal tables, figures and a self-contained page."""

from mitigate.report.audit.findings import Finding, findings
from mitigate.report.audit.html import write_html
from mitigate.report.audit.terminal import render

__all__ = ["Finding", "findings", "render", "write_html"]
