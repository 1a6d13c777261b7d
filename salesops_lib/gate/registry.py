"""Every check by its id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from salesops_lib.errors import ParameterError, unknown
from salesops_lib.gate import changes, course, deals, load, people, touches
from salesops_lib.gate.check import Check, by_number

CHECKS: dict[str, Check] = {
    check.id: check
    for module in (load, people, deals, course, changes, touches)
    for check in module.CHECKS
}  # fmt: skip


def catalogue() -> str:
    """Write every check as Markdown; `docs/checks.md` holds it."""
    lines = [
        "# The checks of the data gate",
        "",
        "Written by `make dictionary`; [data_gate.md](data_gate.md) says how they work and lists the traps.",
        "",
        "| id | severity | finds | mend | traps |",
        "|---|---|---|---|---|",
    ]
    for check in sorted(CHECKS.values(), key=lambda check: by_number(check.id)):
        red = "" if check.red_from is None else f", red from {check.red_from:.0%}"
        cells = (
            check.id,
            f"{check.severity}{red}",
            check.title,
            check.mend,
            ", ".join(map(str, check.traps)) or "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def words() -> Iterator[str]:
    """Give what the checks say of themselves, for the catalogues of other languages."""
    for check in CHECKS.values():
        yield from (check.title, check.meaning, check.mend.replace("`", ""))


def pick(
    ids: Iterable[str] | None = None, error: type[Exception] = ParameterError, where: str = ""
) -> list[Check]:
    """Look checks up by id, all by default.

    Raises
    ------
    ParameterError
        Or the `error` asked for: for an unknown id, with the near miss; `where` says who named it.
    """
    if ids is None:
        return list(CHECKS.values())
    wanted = list(ids)
    for name in wanted:
        if name not in CHECKS:
            raise error(f"{where}{unknown('check', name, CHECKS)}")
    return [CHECKS[name] for name in wanted]
