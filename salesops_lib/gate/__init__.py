"""The data gate: every known trap that can be seen in a snapshot is a finding, and the red ones block reports."""

from salesops_lib.gate.check import Check
from salesops_lib.gate.depth import reconcile
from salesops_lib.gate.findings import Findings, Header, compare
from salesops_lib.gate.registry import CHECKS, catalogue
from salesops_lib.gate.run import inspect
from salesops_lib.gate.text import as_text
from salesops_lib.gate.workspace import FOUND, check_workspace, findings_of, write

__all__ = [
    "CHECKS", "FOUND", "Check", "Findings", "Header", "as_text", "catalogue", "check_workspace", "compare",
    "findings_of", "inspect", "reconcile", "write",
]  # fmt: skip
