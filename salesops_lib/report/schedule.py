"""When reports are due: entries for cron, systemd and Airflow from their `schedule`, and runs that did not come.

A schedule is a cron expression in company time; `cronsim` reads it, as Debian's cron does.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from salesops_lib.config import CompanySettings, SourceSettings
from salesops_lib.errors import ConfigError, ParameterError, printable, shown, unknown
from salesops_lib.language import dated, mark, say

if TYPE_CHECKING:
    from salesops_lib.report.definition import Definition
    from salesops_lib.workspace import Workspace

FIELDS = ("minute", "hour", "day of month", "month", "day of week")
VALUE = "([0-9]+|[A-Z]{3})"
# what every cron reads; cronsim knows more, and takes 5-5/15 for 5-59/15, as no cron does
TERM = re.compile(rf"(?!(\w+)-\1/)((\*|{VALUE}-{VALUE})(/[0-9]+)?|{VALUE})")
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
SAFE_NAME = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
)  # a unit's name and an Airflow id as it stands, never an option
LOG = "schedule.log"
SOME_DAY = datetime(2026, 1, 1)
NOT_RUN = mark("expected {when}, not run")


def cron_expression(text: str) -> str:
    """Check a schedule and write it plainly: five fields in capitals, one blank between them.

    >>> cron_expression("0 6 * *  mon")
    '0 6 * * MON'

    Raises
    ------
    ValueError
        For what is no cron expression, or one that only some crons read (``5/15``, ``L``, ``MON#1``, ``@daily``).
    """
    fields = text.upper().split()
    mend = f"write {', '.join(FIELDS)}, e.g. '0 6 * * 1' for Monday 06:00"
    if len(fields) != len(FIELDS):
        raise ValueError(f"a schedule has five fields, this has {len(fields)}: {mend}")
    for name, field in zip(FIELDS, fields, strict=True):
        if strange := [term for term in field.split(",") if not TERM.fullmatch(term)]:
            raise ValueError(
                f"{name} {shown(strange[0])} is not read by every cron: write *, numbers, ranges (1-5), lists "
                "(1,15), steps of * or of a range (*/15, 5-59/15)"
            )
    expression = " ".join(fields)
    try:
        CronSim(expression, SOME_DAY)
    except CronSimError as error:
        raise ValueError(f"{str(error).lower()}: {mend}") from None
    return expression


def company_timezone(workspace: Workspace) -> str:
    """Name the company's time zone without opening the data: from `salesops.yaml`, else from the current snapshot.

    Raises
    ------
    ConfigError
        Where neither is there.
    """
    company = workspace.settings.company
    if company.timezone is None:
        snapshot = workspace.store.current()
        if snapshot is None:
            raise ConfigError(
                "the company's time zone is not known yet: write it into salesops.yaml (company: {timezone: "
                "Europe/Berlin}), or run `salesops load` first."
            )
        company = company.over(CompanySettings(**snapshot.manifest["company"]))
    return company.calendar().timezone


# -- missed runs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Missed:
    """A run that did not come.

    Attributes
    ----------
    report
        Name of the report.
    expected
        When it was due, with the company's time zone.
    sentence
        ``expected Mon 06:00, not run``; with the date from seven days back on.
    """

    report: str
    expected: datetime
    sentence: str


def expected(schedule: str, after: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the instants of a schedule after `after`, up to and with `until`, in `zone`.

    A time that a clock change skips counts as the first minute after the gap, one that it repeats as the first
    of the two. A schedule whose minute or hour begins with ``*`` follows the clock: none in a gap, both of two.
    """
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    for due in CronSim(schedule, after.astimezone(zone)):
        instant = due.astimezone(UTC)
        if instant > until:
            return
        if instant > after:  # begun inside a repeated hour, cronsim goes through the first of the two again
            yield instant.astimezone(zone)


def missed(
    definitions: Mapping[str, Definition],
    records: Iterable[Mapping[str, Any]],
    now: datetime,
    timezone: str,
    *,
    days: int = 14,
    grace_minutes: int = 60,
) -> list[Missed]:
    """List the runs that were due since each report's last run and did not come, the latest first.

    What lies before the last run is not asked about: a run of the same `as_of` day takes the place of the record
    before, so that older runs may have been there and left no trace.

    Parameters
    ----------
    definitions
        Reports by name; those without a schedule are never missed.
    records
        Run records: `report` and `rendered_at`, an ISO instant with its offset; others are left out.
    now
        The present, with a time zone.
    timezone
        The company's.
    days
        How far back to look.
    grace_minutes
        For a run that is still going: what was due within the last minutes is not missed yet.

    Raises
    ------
    ParameterError
        For a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ParameterError(f"now {now.isoformat()} needs a time zone.")
    zone, last = ZoneInfo(timezone), _last_runs(records)
    begin, until = now - timedelta(days=days), now - timedelta(minutes=grace_minutes)
    today = now.astimezone(zone).date()
    found = []
    for name, definition in definitions.items():
        if definition.schedule is None:
            continue
        for due in expected(definition.schedule, max(begin, last.get(name, begin)), until, zone):
            recent = (today - due.date()).days < 7
            when = dated(due, "EEE HH:mm") if recent else dated(due, "EEE dd MMM y HH:mm")
            found.append(Missed(name, due, say(NOT_RUN, when=when)))
    return sorted(found, key=lambda run: run.expected.astimezone(UTC), reverse=True)


def next_run(name: str, schedule: str, now: datetime, zone: ZoneInfo) -> Missed:
    """Tell when a report is due next, and what is to be said where it does not come."""
    due = next(expected(schedule, now, now + timedelta(days=366 * 8), zone))
    return Missed(name, due, say(NOT_RUN, when=dated(due, "EEE dd MMM HH:mm")))


def _last_runs(records: Iterable[Mapping[str, Any]]) -> dict[str, datetime]:
    last: dict[str, datetime] = {}
    for record in records:
        try:
            name, instant = record["report"], datetime.fromisoformat(record["rendered_at"])
        except (KeyError, TypeError, ValueError):
            continue  # from before records told it, or damaged
        if instant.tzinfo is not None:
            last[name] = max(instant.astimezone(UTC), last.get(name, instant.astimezone(UTC)))
    return last


# -- entries ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A scheduled report; `commands` are shell words already quoted, each run if the one before went well."""

    name: str
    title: str
    schedule: str
    root: str
    commands: tuple[str, ...]

    @property
    def script(self) -> str:
        """All of it as one line of shell."""
        return " && ".join([f"cd {_quote(self.root)}", *self.commands])


def entries(
    definitions: Mapping[str, Definition],
    workspace: Workspace,
    format: str = "cron",
    *,
    workers: int = 2,
    load: bool = True,
) -> dict[str, str]:
    """Write what runs the scheduled reports on time: the text of each file to install, by its name.

    Parameters
    ----------
    definitions
        Reports by name; those without a schedule are left out.
    workspace
        Where they are rendered.
    format
        ``cron``, ``systemd`` (a service and a timer a report) or ``airflow`` (one file with a DAG a report).
    workers
        Notebooks run side by side.
    load
        Run `salesops load` before each report, where `salesops.yaml` says what to load.

    Raises
    ------
    ConfigError
        Where no report has a schedule, or the time zone is not known.
    ParameterError
        For another format, and for a name, path or schedule that it cannot hold.
    """
    if format not in FORMATS:
        raise ParameterError(unknown("format", format, FORMATS))
    due = {name: definition for name, definition in definitions.items() if definition.schedule is not None}
    if not due:
        raise ConfigError("no report has a schedule; write one into its file, e.g. schedule: '0 6 * * 1'.")
    zone, root = company_timezone(workspace), str(workspace.root)
    for path in (root, sys.executable):
        if printable(path) != path or "\n" in path:
            raise ParameterError(f"{shown(path)} has control characters; rename the folder to schedule reports.")
    for name in due:
        if not SAFE_NAME.fullmatch(name):
            raise ParameterError(f"report {shown(name)} has a schedule: name its file with letters, digits, _ - .")
    call = f"{_quote(sys.executable)} -m salesops_lib"
    first = [f"{call} load --retries 3"] if load and _says_what_to_load(workspace.settings.source) else []
    jobs = []
    for name, one in due.items():
        commands = (*first, f"{call} render {name} --workers {workers}")
        jobs.append(Job(name, one.title, cron_expression(one.schedule), root, commands))
    notes = [f"Reports of {root}, in company time ({zone}).", _on_loading(workspace.settings.source, load)]
    return FORMATS[format](jobs, zone, notes)


def _quote(word: str) -> str:
    """Quote for the shell, each ``%`` as ``\\%``: so cron keeps it, whether it takes the backslash away or not."""
    return r"\%".join(part and shlex.quote(part) for part in word.split("%"))


def _says_what_to_load(source: SourceSettings) -> bool:
    """Whether `salesops load` without arguments can work."""
    if source.kind in ("sample", "sql"):
        return source.kind == "sql"
    return bool(source.paths) and (source.kind != "csv" or source.mapping is not None)


def _on_loading(source: SourceSettings, load: bool) -> str:
    if source.kind == "sample":
        return "Nothing is loaded first: this is the sample company."
    if not load:
        return "Nothing is loaded first, as asked: pages show the snapshot that is there."
    if not _says_what_to_load(source):
        return (
            "Nothing is loaded first: salesops.yaml would have to say source.kind and paths, for csv also mapping."
        )
    if source.kind != "sql":
        return "Each report first loads what salesops.yaml names; where that is refused, no page changes."
    if source.keyring:
        return "Each report first loads the database: the keyring must be open to the user of the job."
    name = source.url_env or "SALESOPS_DB_URL"
    return f"Each report first loads the database: the job's environment needs {name}; never write it here."


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)


def _crontab(jobs: list[Job], zone: str, notes: list[str]) -> dict[str, str]:
    told = [
        *notes,
        "Add this at the end of the table (crontab -e): CRON_TZ holds for every line below it. cronie honours it",
        "(Fedora, Red Hat, SUSE, Arch). The cron of Debian and Ubuntu does not and takes the machine's time zone:",
        f"there set that to {zone} (timedatectl set-timezone), install cronie, or use --format systemd.",
    ]
    lines = []
    for job in jobs:
        commands = f"{{ {' && '.join(job.commands)}; }}" if len(job.commands) > 1 else job.commands[0]
        lines.append(f"{job.schedule} cd {_quote(job.root)} && {commands} >> {LOG} 2>&1\n")
    return {"crontab": f"{_comment(told)}CRON_TZ={zone}\n{''.join(lines)}"}


def _days(cron: CronSim) -> tuple[set[int], set[int], bool]:
    """Days of the month, days of the week (Sunday is 0), and whether a day must fit both; else either will do."""
    days, weekdays = set(cron.days), {day % 7 for day in cron.weekdays}
    if not cron.day_and and (len(days) == 31 or len(weekdays) == 7):
        return set(range(1, 32)), set(range(7)), True
    return days, weekdays, cron.day_and


def on_calendar(schedule: str, zone: str) -> list[str]:
    """Write a schedule as systemd calendar events: two where cron takes the day of month *or* the day of week.

    >>> on_calendar("0 6 1 * 1", "Europe/Berlin")
    ['*-*-01 06:00:00 Europe/Berlin', 'Mon *-*-* 06:00:00 Europe/Berlin']
    """
    cron = CronSim(schedule, SOME_DAY)
    days, weekdays, both = _days(cron)
    day, month = _span(days, range(1, 32)), _span(cron.months, range(1, 13))
    hour, minute = _span(cron.hours, range(24)), _span(cron.minutes, range(60))
    week = "" if len(weekdays) == 7 else ",".join(WEEKDAYS[k] for k in sorted(weekdays)) + " "
    pairs = [(week, day)] if both else [("", day), (week, "*")]
    return [f"{week}*-{month}-{day} {hour}:{minute}:00 {zone}" for week, day in pairs]


def _span(values: set[int], every: range) -> str:
    """Write numbers the way systemd does: ``*``, ``06``, ``01,15``, ``09..17``."""
    if values >= set(every):
        return "*"
    first, last = min(values), max(values)
    if last - first > 1 and len(values) == last - first + 1:
        return f"{first:02}..{last:02}"
    return ",".join(f"{value:02}" for value in sorted(values))


def _units(jobs: list[Job], zone: str, notes: list[str]) -> dict[str, str]:
    files = {}
    for job in jobs:
        unit = f"salesops-{job.name}"
        title = shown(job.title).replace("%", "%%")  # quoted: no line end, no backslash at the end of the line
        told = _comment(
            [*notes, f"Put {unit}.service and {unit}.timer into ~/.config/systemd/user, then: systemctl"]
        )
        told += _comment(
            [f"--user daemon-reload; systemctl --user enable --now {unit}.timer; loginctl enable-linger"]
        )
        script = re.sub(r'[\\"]', r"\\\g<0>", job.script).replace("%", "%%").replace("$", "$$")
        files[f"{unit}.service"] = (
            f"{told}[Unit]\nDescription=Report {title}\n\n"
            f'[Service]\nType=oneshot\nExecStart=/bin/sh -c "{script}"\n'
        )
        events = "".join(f"OnCalendar={event}\n" for event in on_calendar(job.schedule, zone))
        files[f"{unit}.timer"] = (
            f"{told}[Unit]\nDescription=Report {title} is due\n\n"
            f"[Timer]\n{events}Persistent=true\n\n[Install]\nWantedBy=timers.target\n"
        )
    return files


DAGS = """from datetime import timedelta

import pendulum

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

ZONE = pendulum.timezone({zone!r})
REPORTS = [  # name, schedule, title, command
{reports}]

for name, schedule, title, command in REPORTS:
    with DAG(
        dag_id=f"salesops_{{name}}",
        description=title,
        schedule=schedule,
        start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
        catchup=False,
        max_active_runs=1,
        default_args={{"retries": 2, "retry_delay": timedelta(minutes=10)}},
        tags=["salesops"],
    ):
        BashOperator(task_id="render", bash_command=command)
"""


def _dags(jobs: list[Job], zone: str, notes: list[str]) -> dict[str, str]:
    rows = []
    for job in jobs:
        command = job.script.replace("{", "{{ '{' }}")  # Airflow takes the command for a Jinja template
        rows.append(f"    {(job.name, _for_airflow(job), job.title, command)!r},\n")
    told = [
        *notes,
        "For Airflow's dags folder; its workers need the workspace and the interpreter at these paths.",
    ]
    return {"salesops_reports.py": _comment(told) + DAGS.format(zone=zone, reports="".join(rows))}


def _for_airflow(job: Job) -> str:
    """Write a schedule so that Airflow, which takes either of two restricted days, reads what cron does.

    Raises
    ------
    ParameterError
        Where a day must fit both.
    """
    days, weekdays, both = _days(CronSim(job.schedule, SOME_DAY))
    minute, hour, day, month, _ = job.schedule.split()
    if both and len(days) < 31 and len(weekdays) < 7:
        raise ParameterError(
            f"report {job.name}, schedule {job.schedule!r}: cron wants both day of month and day of week "
            "to fit, Airflow one of them; write one as *."
        )
    week = "*" if len(weekdays) == 7 else ",".join(map(str, sorted(weekdays)))
    return " ".join([minute, hour, "*" if len(days) == 31 else day, month, week])


FORMATS = {"cron": _crontab, "systemd": _units, "airflow": _dags}
