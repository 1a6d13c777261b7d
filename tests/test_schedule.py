"""Schedules: what is due when, across clock changes, in the words of cron, systemd and Airflow."""

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Template
from pydantic import AfterValidator

from salesops_lib.config import Strict, parse
from salesops_lib.errors import ConfigError, ParameterError
from salesops_lib.report.definition import Definition
from salesops_lib.report.schedule import (
    company_timezone,
    cron_expression,
    entries,
    expected,
    missed,
    on_calendar,
)
from tests.conftest import ROOT, make_workspace
from tests.test_report import notebook
from tests.test_report import workspace as small_workspace

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
HOSTILE = 'it\'s 100% "odd" \\ $HOME ${HOME} {{x}} {% y %} ;# `id` é'


def definition(schedule, title="Demo"):
    return Definition(title=title, notebooks=["demo"], schedule=schedule)


def due(schedule, begin, end, zone):
    return [instant.astimezone(UTC).strftime("%m-%d %H:%M") for instant in expected(schedule, begin, end, zone)]


def systemd(event, base, n):
    """The next `n` elapses (UTC) that systemd itself computes."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine: the conversion is checked by our own evaluator only")
    told = subprocess.run(
        ["systemd-analyze", "calendar", f"--iterations={n}", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC", event],
        capture_output=True, text=True, check=True, env=os.environ | {"TZ": "UTC"},
    ).stdout  # fmt: skip
    found = re.findall(r"(?:Next elapse|Iter\. #\d+|\(in UTC\)): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC", told)
    return [datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for text in found]


# -- the expression --------------------------------------------------------------------------------------


def test_a_schedule_is_written_plainly():
    assert cron_expression(" 0 6\t* *\n mon-fri ") == "0 6 * * MON-FRI"
    assert cron_expression("*/15 8-18/2 1,15 jan,mar 0,7") == "*/15 8-18/2 1,15 JAN,MAR 0,7"


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("0 6 * *", "five fields, this has 4: write minute, hour, day of month, month, day of week, e.g. '0 6"),
        ("0 0 6 * * 1", "this has 6"),
        ("@weekly", "this has 1"),
        ("0 25 * * 1", "bad hour: write minute, hour"),
        ("0 6 31 2 *", "bad day-of-month"),
        ("0 6 * * fri-mon", "bad day-of-week"),
        ("5/15 6 * * *", "minute '5/15' is not read by every cron"),
        ("5-5/15 6 * * *", "minute '5-5/15' is not read by every cron"),
        ("0 6 L * *", "day of month 'L' is not read"),
        ("0 6 LW * *", "day of month 'LW' is not read"),
        ("0 6 * * MON#1", "day of week 'MON#1' is not read"),
        ("0 6 * * 5L", "day of week '5L' is not read"),
        ("0 6 1,,2 * *", "day of month '' is not read"),
        ("0 ６ * * 1", "hour '６' is not read"),
        ("0 6 * * 1\x00", r"day of week '1\x00' is not read"),
    ],
)
def test_what_is_no_schedule_is_refused_with_file_key_value_and_mend(schedule, says):
    class Report(Strict):
        schedule: Annotated[str, AfterValidator(cron_expression)]

    with pytest.raises(ConfigError, match=f"weekly.yaml: schedule: .*{re.escape(says)}") as e:
        parse(Report, {"schedule": schedule}, "weekly.yaml")
    assert str(e.value).endswith(f"got {schedule!r}.")


def test_the_shipped_schedules_are_read():
    from salesops_lib.report.definition import definitions, read_definition

    shipped = [read_definition(name, ROOT / "reports").schedule for name in definitions(ROOT / "reports")]
    assert [cron_expression(text) for text in shipped if text] == [
        "30 5 * * *", "30 6 * * 1", "0 6 2 * *", "0 6 * * 1",
    ]  # fmt: skip


# -- across clock changes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "before", "after"),
    [
        (BERLIN, date(2026, 3, 29), "05:00", "04:00"),
        (BERLIN, date(2026, 10, 25), "04:00", "05:00"),
        (NEW_YORK, date(2026, 3, 8), "11:00", "10:00"),
        (NEW_YORK, date(2026, 11, 1), "10:00", "11:00"),
    ],
)
def test_six_in_the_morning_stays_six_on_both_sides_of_a_clock_change(zone, day, before, after):
    begin = datetime.combine(day - timedelta(days=1), time(), zone)
    got = list(expected("0 6 * * *", begin, begin + timedelta(days=3), zone))
    assert [instant.strftime("%H:%M") for instant in got] == ["06:00"] * 3
    assert [instant.astimezone(UTC).strftime("%H:%M") for instant in got] == [before, after, after]
    (event,) = on_calendar("0 6 * * *", zone.key)
    assert systemd(event, begin.astimezone(UTC), 3) == got


NIGHTS = [
    # the hour after 02:00 is skipped, then repeated; UTC
    (
        BERLIN,
        datetime(2026, 3, 28, 12, tzinfo=UTC),
        ["03-29 01:00", "03-30 00:30"],
        ["03-30 00:30", "03-31 00:30"],
    ),
    (
        BERLIN,
        datetime(2026, 10, 24, 12, tzinfo=UTC),
        ["10-25 00:30", "10-26 01:30"],
        ["10-25 00:30", "10-26 01:30"],
    ),
    (
        NEW_YORK,
        datetime(2026, 3, 7, 12, tzinfo=UTC),
        ["03-08 07:00", "03-09 06:30"],
        ["03-09 06:30", "03-10 06:30"],
    ),
]


@pytest.mark.parametrize(("zone", "begin", "ours", "theirs"), NIGHTS)
def test_half_past_two_on_the_night_of_a_clock_change(zone, begin, ours, theirs):
    """Expected as by Debian's cron: right after the gap, the first of two; systemd skips the night of the gap."""
    assert due("30 2 * * *", begin, begin + timedelta(days=1, hours=19), zone) == ours
    (event,) = on_calendar("30 2 * * *", zone.key)
    assert [f"{instant:%m-%d %H:%M}" for instant in systemd(event, begin, 2)] == theirs


def test_half_past_one_in_new_york_is_there_twice_and_counts_once():
    begin = datetime(2026, 10, 31, 12, tzinfo=UTC)
    assert due("30 1 * * *", begin, begin + timedelta(days=2), NEW_YORK) == ["11-01 05:30", "11-02 06:30"]
    (event,) = on_calendar("30 1 * * *", NEW_YORK.key)
    assert [f"{instant:%m-%d %H:%M}" for instant in systemd(event, begin, 2)] == ["11-01 05:30", "11-02 06:30"]


def test_a_schedule_that_follows_the_clock_has_no_gap_and_no_repeat_of_its_own():
    spring, autumn = datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    two_hours = timedelta(hours=2)
    assert due("0 * * * *", spring, spring + two_hours, BERLIN) == ["03-29 01:00", "03-29 02:00"]
    assert due("0 * * * *", autumn, autumn + two_hours, BERLIN) == ["10-25 00:00", "10-25 01:00"]
    assert due("*/30 2 * * *", spring, spring + two_hours, BERLIN) == []
    assert len(due("*/30 2 * * *", autumn, autumn + two_hours, BERLIN)) == 4


def test_what_begins_inside_a_repeated_hour_is_never_due_before_it_begins():
    """cronsim forgets in which of the two it was begun and goes back an hour: seen here, mended in `expected`."""
    second = datetime(2026, 10, 25, 2, 40, tzinfo=BERLIN, fold=1)
    assert next(CronSim("45 2 * * *", second)).astimezone(UTC) < second.astimezone(UTC)
    assert due("45 2 * * *", second, second + timedelta(days=3), BERLIN) == ["10-26 01:45", "10-27 01:45"]


def test_a_midnight_that_does_not_exist_is_the_first_minute_that_does():
    """cronsim gives a time that no clock shows; `expected` gives the same instant by its name."""
    cairo = ZoneInfo("Africa/Cairo")
    begin = datetime(2026, 4, 22, 12, tzinfo=UTC)
    raw = next(CronSim("*/30 0 * * 5", begin.astimezone(cairo)))
    assert raw.strftime("%H:%M") == "00:00"
    got = next(expected("*/30 0 * * 5", begin, begin + timedelta(days=5), cairo))
    assert got.strftime("%a %d %H:%M") == "Fri 24 01:00"
    assert got.astimezone(UTC) == raw.astimezone(UTC)


# -- systemd's calendar events ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "events"),
    [
        ("0 6 * * 1", ["Mon *-*-* 06:00:00 UTC"]),
        ("30 5 * * *", ["*-*-* 05:30:00 UTC"]),
        ("0 6 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 06:00:00 UTC"]),
        ("*/20 8-18 1,15 1-3 *", ["*-01..03-01,15 08..18:00,20,40:00 UTC"]),
        ("0 6 * * 7", ["Sun *-*-* 06:00:00 UTC"]),
        ("0 6 1 * 1", ["*-*-01 06:00:00 UTC", "Mon *-*-* 06:00:00 UTC"]),  # either
        ("0 6 */10 * 1", ["Mon *-*-01,11,21,31 06:00:00 UTC"]),  # after a * both
        ("0 6 1-31 * 1", ["*-*-* 06:00:00 UTC"]),  # either, and one is every day
        ("* * * * 0-7", ["*-*-* *:*:00 UTC"]),
    ],
)
def test_calendar_events(schedule, events):
    assert on_calendar(schedule, "UTC") == events


def reader(text):
    """What a part of a calendar event stands for."""
    if text == "*":
        return lambda value: True
    bounds = [part.partition("..") for part in text.split(",")]
    spans = [(int(first), int(last or first)) for first, _, last in bounds]
    return lambda value: any(first <= value <= last for first, last in spans)


def elapses(events, begin):
    """All minutes (UTC) that fit one of the events, by trying every day, hour and minute."""
    read = []
    for event in events:
        week, month, day, hour, minute = re.fullmatch(
            r"(?:([\w,]+) )?\*-(\S+?)-(\S+) (\S+?):(\S+?):00 UTC", event
        ).groups()
        read.append((week and week.split(","), *map(reader, (month, day, hour, minute))))
    for k in range(3 * 366):
        today = begin + timedelta(days=k)
        fits = [e for e in read if (not e[0] or f"{today:%a}" in e[0]) and e[1](today.month) and e[2](today.day)]
        for hour in range(24):
            now = [fit for *_, hours, fit in fits if hours(hour)]
            for minute in range(60) if now else ():
                if any(fit(minute) for fit in now):
                    yield today + timedelta(hours=hour, minutes=minute)


def field(low, high):
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: "{}-{}".format(*sorted(pair)))
    step = st.integers(1, high + 3).map(lambda k: f"/{k}")
    whole = st.just("*")
    term = st.one_of(number.map(str), span, whole, st.tuples(whole | span, step).map("".join))
    return st.lists(term, min_size=1, max_size=3).map(",".join) | whole


FIELDS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(schedule=FIELDS, day=st.dates(date(2024, 1, 1), date(2030, 12, 31)))
def test_calendar_events_are_due_exactly_when_cron_is(schedule, day):
    begin = datetime.combine(day, time(), UTC)
    horizon = begin + timedelta(days=3 * 366)
    days_alone = " ".join(["0", "0", *schedule.split()[2:]])
    for wanted in (schedule, days_alone):
        try:
            wanted = cron_expression(wanted)
        except ValueError as error:
            assert re.search("bad day-of-month|/", str(error))  # noqa: PT017  30 February, or 5-5/15
            continue
        by_cron = takewhile(lambda due: due < horizon, CronSim(wanted, begin - timedelta(minutes=1)))
        assert list(islice(elapses(on_calendar(wanted, "UTC"), begin), 60)) == list(islice(by_cron, 60))


@pytest.mark.parametrize("schedule", ["0 6 * * 1-5", "*/20 8-18 1,15 1-3 *", "0 6 */10 * 1", "15,45 */5 29 2 *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_systemd_reads_them_as_meant(schedule, zone):
    begin = datetime(2026, 1, 1, 12, tzinfo=UTC)
    (event,) = on_calendar(schedule, zone)
    assert systemd(event, begin, 8) == list(
        islice(expected(schedule, begin, begin.replace(year=2040), ZoneInfo(zone)), 8)
    )


# -- missed runs -----------------------------------------------------------------------------------------

LOAD = ("load", "--retries", "3")
MONDAY = datetime(2026, 3, 2, 6, tzinfo=BERLIN)
REPORTS = {"weekly": definition("0 6 * * 1"), "by_hand": definition(None)}


def sentences(records, now, reports=REPORTS, **options):
    found = missed(reports, records, now, "Europe/Berlin", **options)
    return [(run.report, run.expected.isoformat(), run.sentence) for run in found]


def ran(when, report="weekly"):
    return {"report": report, "rendered_at": when.isoformat()}


def test_a_missed_run_is_told():
    assert sentences([ran(MONDAY - timedelta(days=7))], MONDAY + timedelta(hours=3)) == [
        ("weekly", "2026-03-02T06:00:00+01:00", "expected Mon 06:00, not run")
    ]


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (timedelta(), 0),  # at the instant itself
        (timedelta(seconds=1), 0),
        (timedelta(hours=20), 0),  # late, by hand: it counts
        (timedelta(seconds=-1), 1),  # before it was due
    ],
)
def test_a_run_covers_what_was_due_before_it(last, told):
    assert len(sentences([ran(MONDAY + last)], MONDAY + timedelta(days=1))) == told


def test_a_run_that_is_still_going_is_not_missed_yet():
    before = [ran(MONDAY - timedelta(days=7))]
    assert sentences(before, MONDAY + timedelta(minutes=59)) == []
    assert len(sentences(before, MONDAY + timedelta(minutes=60))) == 1
    assert len(sentences(before, MONDAY + timedelta(minutes=5), grace_minutes=5)) == 1


def test_older_ones_carry_their_date_the_latest_comes_first_and_none_is_too_old():
    now = MONDAY + timedelta(days=9)
    expected_sentences = ["expected Mon 06:00, not run", "expected Mon 02 Mar 2026 06:00, not run"]
    assert [told for *_, told in sentences([], now)] == expected_sentences
    on_the_same_weekday = sentences([], MONDAY + timedelta(days=7, minutes=-1), days=8)
    assert [told for *_, told in on_the_same_weekday] == ["expected Mon 02 Mar 2026 06:00, not run"]
    assert len(sentences([], now, days=365)) == 52


def test_runs_of_other_reports_and_damaged_records_cover_nothing():
    now = MONDAY + timedelta(hours=2)
    good = ran(MONDAY - timedelta(days=7))
    for record in (
        ran(MONDAY, "monthly"),
        {"report": "weekly"},
        {"report": "weekly", "rendered_at": None},
        {"report": "weekly", "rendered_at": "yesterday"},
        {"report": "weekly", "rendered_at": "2026-03-02T06:00:00"},  # of no time zone: nobody knows when
        {"rendered_at": MONDAY.isoformat()},
    ):
        assert len(sentences([good, record], now)) == 1, record
    assert sentences([{"report": "weekly", "rendered_at": "2026-03-02T05:00:00Z"}, good], now) == []


def test_a_daily_report_on_an_old_export_is_not_called_missed_for_its_overwritten_records():
    daily = {"data_health": definition("30 5 * * *")}
    last = ran(MONDAY - timedelta(days=1), "data_health")  # each day's record took the place of the one before
    assert [told for *_, told in sentences([last], MONDAY + timedelta(hours=2), daily)] == [
        "expected Mon 05:30, not run"
    ]


def test_missed_runs_across_a_clock_change():
    daily = {"night": definition("30 2 * * *")}
    last = ran(datetime(2026, 3, 27, 12, tzinfo=BERLIN), "night")
    now = datetime(2026, 3, 30, 12, tzinfo=BERLIN)
    assert [when for _, when, _ in sentences([last], now, daily)] == [
        "2026-03-30T02:30:00+02:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-28T02:30:00+01:00",
    ]


def test_now_needs_a_time_zone():
    with pytest.raises(ParameterError, match="needs a time zone"):
        missed({}, [], datetime(2026, 3, 2), "UTC")


# -- entries ---------------------------------------------------------------------------------------------

STUB = '#!/bin/sh\nprintf \'%s|\' "$PWD" "$@"\necho\n'


def hostile(tmp_path, monkeypatch, settings="", name=HOSTILE):
    """A workspace and an interpreter at paths that try every quoting rule; it prints where and what it runs."""
    ws = make_workspace(tmp_path / name, f"company: {{timezone: Europe/Berlin}}\n{settings}")
    python = ws.root / "bin é%" / "python"
    python.parent.mkdir()
    python.write_text(STUB)
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return ws


def ran_as(ws, *calls):
    return "".join(f"{ws.root}|-m|salesops_lib|{'|'.join(call)}|\n" for call in calls)


def by_shell(script, shell="/bin/sh"):
    return subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True, cwd="/").stdout


CRONS = {
    "takes the backslash of \\% away": lambda text: re.sub(
        r"\\(.)", lambda m: m[1] if m[1] == "%" else m[0], text
    ),
    "leaves it": lambda text: text,
}
LOADED = "source: {kind: salesforce, paths: [export]}\n"


@pytest.mark.parametrize("cron", CRONS.values(), ids=CRONS.keys())
@pytest.mark.parametrize("source", ["", LOADED])
def test_a_crontab_line_runs_what_it_should_wherever_the_workspace_lies(tmp_path, monkeypatch, cron, source):
    ws = hostile(tmp_path, monkeypatch, source)
    (text,) = entries({"a-b.c": definition("0 6 * * mon"), "none": definition(None)}, ws).values()
    told, line = text.split("CRON_TZ=Europe/Berlin\n")
    assert all(comment.startswith("# ") for comment in told.splitlines())
    assert line.startswith("0 6 * * MON cd ")
    assert line.count("\n") == 1
    command = line.removeprefix("0 6 * * MON ").removesuffix("\n")
    assert not re.search(r"(?<!\\)%", re.sub(r"\\[^%]", "", command))  # a % of its own would end the command
    assert by_shell(cron(command)) == ""
    calls = ([LOAD] if source else []) + [("render", "a-b.c", "--workers", "2")]
    assert (ws.root / "schedule.log").read_text() == ran_as(ws, *calls)


def test_a_load_that_is_refused_renders_nothing(tmp_path, monkeypatch):
    ws = hostile(tmp_path, monkeypatch, LOADED, "plain")
    (ws.root / "bin é%" / "python").write_text(f'{STUB}test "$3" != load\n')
    (text,) = entries({"a": definition("0 6 * * *")}, ws).values()
    line = text.splitlines()[-1].removeprefix("0 6 * * * ").replace(r"\%", "%")
    with pytest.raises(subprocess.CalledProcessError):
        by_shell(line)
    assert (ws.root / "schedule.log").read_text() == ran_as(ws, LOAD)


def test_units_run_what_they_should_wherever_the_workspace_lies(tmp_path, monkeypatch):
    ws = hostile(tmp_path, monkeypatch)
    title = "100% [Service]\nExecStart=/bin/false \\"
    files = entries({"a-b.c": definition("0 6 1 * 1", title)}, ws, "systemd", workers=1)
    assert list(files) == ["salesops-a-b.c.service", "salesops-a-b.c.timer"]
    service, timer = files.values()
    assert "OnCalendar=*-*-01 06:00:00 Europe/Berlin\nOnCalendar=Mon *-*-* 06:00:00 Europe/Berlin\n" in timer
    assert "\nPersistent=true\n" in timer
    lines = [line for line in service.splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith(("[", "Exec"))] == ["[Unit]", "[Service]", lines[-1]]
    assert not any(line.endswith("\\") for text in files.values() for line in text.splitlines())
    written = re.fullmatch(r'ExecStart=/bin/sh -c "((?:[^"\\%$]|\\["\\]|%%|\$\$)*)"', lines[-1])
    script = re.sub(r"\\(.)|%(%)|\$(\$)", lambda found: found[1] or found[2] or found[3], written[1])
    assert by_shell(script) == ran_as(ws, ("render", "a-b.c", "--workers", "1"))


def test_systemd_takes_the_units(tmp_path, monkeypatch):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not on this machine: units are checked by our own reading only")
    ws = hostile(tmp_path, monkeypatch, LOADED)
    files = entries({"a-b.c": definition("0 6 1 * 1", "100% \\")}, ws, "systemd")
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "salesops-" in line] == []
    broken = tmp_path / "salesops-broken.service"
    broken.write_text(files["salesops-a-b.c.service"].replace("oneshot", "often"))
    done = subprocess.run([*command[:3], str(broken)], capture_output=True, text=True, check=False)
    assert "salesops-broken" in done.stderr


class Recorder:
    """Stands in for Airflow's classes: keeps what the file tells them."""

    def __init__(self, **told):
        self.told = told
        self.made.append(told)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def airflow(text, monkeypatch, modules=("airflow.sdk", "airflow.providers.standard.operators.bash")):
    """Run the DAG file with stand-ins for Airflow (too large to install for a test) and pendulum."""
    dag, task = (type(name, (Recorder,), {"made": []}) for name in ("DAG", "BashOperator"))
    pendulum = SimpleNamespace(timezone=ZoneInfo, datetime=lambda *day, tz: datetime(*day, tzinfo=tz))
    monkeypatch.setitem(sys.modules, "pendulum", pendulum)
    for name in {".".join(path.split(".")[:k]) for path in modules for k in range(1, path.count(".") + 2)}:
        module = ModuleType(name)
        module.DAG, module.BashOperator = dag, task
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(text, "salesops_reports.py", "exec"), {})
    return list(zip(dag.made, task.made, strict=True))


@pytest.mark.parametrize(
    "modules",
    [("airflow.sdk", "airflow.providers.standard.operators.bash"), ("airflow.operators.bash",)],
    ids=["3", "2"],
)
def test_a_dag_runs_what_it_should_wherever_the_workspace_lies(tmp_path, monkeypatch, modules):
    ws = hostile(tmp_path, monkeypatch, LOADED)
    title = "'''\"\"\"\n{zone!r} {{ 1/0 }}"
    reports = {"a-b.c": definition("0 6 * * mon", title), "b": definition("30 5 1 * 7")}
    (name, text), *rest = entries(reports, ws, "airflow").items()
    assert (name, rest) == ("salesops_reports.py", [])
    (first, task), (second, _) = airflow(text, monkeypatch, modules)
    assert (first["dag_id"], first["schedule"], first["description"]) == ("salesops_a-b.c", "0 6 * * 1", title)
    assert (second["dag_id"], second["schedule"]) == ("salesops_b", "30 5 1 * 0")
    assert first["start_date"].tzinfo.key == "Europe/Berlin"
    assert first["catchup"] is False
    assert first["default_args"]["retries"] == 2
    script = Template(task["bash_command"]).render()
    assert not task["bash_command"].endswith((".sh", ".bash"))  # Airflow would take it for a file
    assert by_shell(script, "/bin/bash") == ran_as(ws, LOAD, ("render", "a-b.c", "--workers", "2"))


@pytest.mark.parametrize(
    ("schedule", "written"),
    [
        ("0 6 1-31 * 1", "0 6 * * *"),  # cron: either day, so every day; Airflow would take it for Mondays
        ("0 6 */1 * 1", "0 6 * * 1"),
        ("0 6 1,15 * 1", "0 6 1,15 * 1"),
        ("0 6 */2 * *", "0 6 */2 * *"),
    ],
)
def test_airflow_reads_the_days_as_cron_does(tmp_path, monkeypatch, schedule, written):
    ws = make_workspace(tmp_path, "company: {timezone: UTC}")
    ((dag, _),) = airflow(entries({"a": definition(schedule)}, ws, "airflow")["salesops_reports.py"], monkeypatch)
    assert dag["schedule"] == written


def test_airflow_refuses_a_day_that_must_fit_both(tmp_path):
    ws = make_workspace(tmp_path, "company: {timezone: UTC}")
    with pytest.raises(ParameterError, match=r"report a, schedule '0 6 \*/2 \* 1'.*write one as \*"):
        entries({"a": definition("0 6 */2 * 1")}, ws, "airflow")


@pytest.mark.parametrize("format", ["cron", "systemd", "airflow"])
@pytest.mark.parametrize("name", ["a b", "a\nb", "-w", "a;b", "a'b", "../a", "a%b", "é", ""])
def test_names_that_a_shell_a_unit_or_airflow_would_trip_over_are_refused(tmp_path, format, name):
    ws = make_workspace(tmp_path, "company: {timezone: UTC}")
    with pytest.raises(ParameterError, match="name its file with letters"):
        entries({name: definition("0 6 * * 1")}, ws, format)
    assert entries({name: definition(None), "ok": definition("0 6 * * 1")}, ws, format)


@pytest.mark.parametrize("format", ["cron", "systemd", "airflow"])
def test_a_path_with_a_line_end_is_refused(tmp_path, format):
    for name in ("a\nb", "a\rb", "a\x1bb"):
        ws = make_workspace(tmp_path / name, "company: {timezone: UTC}")
        with pytest.raises(ParameterError, match="control characters; rename the folder"):
            entries({"a": definition("0 6 * * 1")}, ws, format)


def test_nothing_to_schedule_and_unknown_formats_are_said(tmp_path):
    ws = make_workspace(tmp_path, "company: {timezone: UTC}")
    with pytest.raises(ConfigError, match="no report has a schedule; write one"):
        entries({"a": definition(None)}, ws)
    with pytest.raises(ParameterError, match="Did you mean 'cron'"):
        entries({"a": definition("0 6 * * 1")}, ws, "crontab")


def test_the_time_zone_is_that_of_the_settings_else_of_the_snapshot(tmp_path, sample_ws):
    assert company_timezone(sample_ws) == sample_ws.book().calendar.timezone == "Europe/Berlin"
    assert company_timezone(make_workspace(tmp_path / "a", "company: {timezone: Asia/Tokyo}")) == "Asia/Tokyo"
    with pytest.raises(ConfigError, match=r"write it into salesops.yaml \(company: \{timezone"):
        company_timezone(make_workspace(tmp_path / "b"))


@pytest.mark.parametrize(
    ("source", "loads", "says"),
    [
        ("kind: sample", False, "this is the sample company"),
        ("kind: salesforce", False, "would have to say source.kind and paths"),
        ("kind: csv, paths: [x]", False, "for csv also mapping"),
        ("kind: csv, paths: [x], mapping: my.yaml", True, "where that is refused"),
        ("kind: hubspot, paths: [x]", True, "where that is refused"),
        ("kind: sql", True, "environment needs SALESOPS_DB_URL; never write it here"),
        ("kind: sql, url_env: CRM_URL", True, "environment needs CRM_URL"),
        ("kind: sql, keyring: {service: s, username: u}", True, "the keyring must be open"),
    ],
)
def test_data_is_loaded_first_where_the_settings_say_what(tmp_path, source, loads, says):
    ws = make_workspace(tmp_path, f"company: {{timezone: UTC}}\nsource: {{{source}}}\n")
    for format in ("cron", "systemd", "airflow"):
        text = "".join(entries({"a": definition("0 6 * * 1")}, ws, format).values())
        assert says in text
        assert ("salesops_lib load" in text) is loads
    (text,) = entries({"a": definition("0 6 * * 1")}, ws, load=False).values()
    assert "salesops_lib load" not in text


@pytest.mark.slow
def test_the_line_of_a_real_workspace_publishes_its_page(tmp_path):
    yaml = "title: Demo\nnotebooks: [demo]\nparameters: {as_of: 2026-06-30}\nschedule: '0 6 * * 1'\n"
    ws = small_workspace(tmp_path / "a b%", yaml, demo=notebook("as_of: str = '2026-09-30'", "1 + 1"))
    assert company_timezone(ws) == "Europe/Berlin"
    (text,) = entries({"demo": definition("0 6 * * 1")}, ws, workers=1).values()
    line = text.splitlines()[-1].removeprefix("0 6 * * 1 ").replace(r"\%", "%")
    bare = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(Path.home()),
        "PYTHONPATH": str(ROOT),
    }  # cron gives no more
    subprocess.run(["/bin/sh", "-c", line], env=bare, cwd="/", check=True)
    assert (ws.out / "demo/2026-06-30/demo.html").exists()
    assert "ok     demo/demo" in (ws.root / "schedule.log").read_text()
