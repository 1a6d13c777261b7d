"""The `salesops` command line: thin, imports what a command needs only when it runs, and alone reads the clock."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from pathlib import Path

import click

# JupyterLab asks neither for news of itself nor for a newer version, and offers no packages from the internet
QUIET = (
    f"--LabApp.app_settings_dir={Path(__file__).parent / 'present' / 'lab'}",
    "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)  # fmt: skip
EXIT_PARAMETER, EXIT_REFUSED, EXIT_BLOCKED, EXIT_PAGES = 2, 3, 4, 5
IN = click.option("--workspace", "-w", default=".", type=click.Path(), help="Folder of the workspace.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="salesops-workbench", prog_name="salesops")
def main() -> None:
    """Sales-operations workbench: load a CRM export, render the reports."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for loud in ("papermill", "cmdstanpy", "prophet", "matplotlib"):
        logging.getLogger(loud).setLevel(logging.WARNING)


def command(function):
    """Register a command; errors meant for people become one line and the right exit code, never a traceback."""

    @functools.wraps(function)
    def guarded(*args, **kwargs):
        from salesops_lib.errors import ConfigError, DataContractError, ParameterError, SalesOpsError

        try:
            return function(*args, **kwargs)
        except SalesOpsError as error:
            if kwargs.get("as_json"):
                click.echo(json.dumps({"error": str(error)}))
            click.echo(f"salesops: {error}", err=True)
            codes = dict.fromkeys((ConfigError, ParameterError), EXIT_PARAMETER) | {
                DataContractError: EXIT_REFUSED
            }
            sys.exit(next((code for kind, code in codes.items() if isinstance(error, kind)), 1))
        except Exception as error:
            if os.environ.get("SALESOPS_DEBUG"):
                raise
            click.echo(
                f"salesops: this should not have happened: {type(error).__name__}: {error}. "
                "SALESOPS_DEBUG=1 shows where; please report it.",
                err=True,
            )
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("salesops: interrupted; what was finished before stands.", err=True)
            sys.exit(130)

    return main.command()(guarded)


@command
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a commented workspace (salesops.yaml, reports, notebooks) into FOLDER."""
    from salesops_lib.scaffold import scaffold

    made = scaffold(folder)
    click.echo(
        f"{len(made)} files written to {folder}. Next: cd {folder}, then salesops load (the sample "
        "company), or salesops load FOLDER with your export: it names the mapping."
    )


@command
@click.argument("source", required=False)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--map", "mapping", help="Mapping file, or the name of a shipped one (maven_crm).")
@click.option("--max-loss", type=click.FloatRange(0, 1), help="Largest share of a table that may be set aside.")
@click.option("--date-order", type=click.Choice(["ymd", "dmy", "mdy"]), help="How every file writes dates.")
@click.option("--decimal", type=click.Choice([".", ","]), help="Decimal sign of every file.")
@click.option("--since", metavar="DATE", help="sql: leave what is older in the database.")
@click.option("--until", metavar="DATE", help="sql: leave what is later in the database.")
@click.option("--schema", help="sql: schema of the canonical tables.")
@click.option("--url-env", metavar="NAME", help="sql: environment variable with the URL [SALESOPS_DB_URL].")
@click.option("--retries", type=click.IntRange(0), default=0, help="Times to try again where the source is away.")
@click.option("--opportunities", type=click.IntRange(1), help="sample: number of deals, up to millions.")
@click.option("--seed", type=int, help="sample: seed.")
@IN
@AS_JSON
def load(source, paths, mapping, max_loss, retries, workspace, as_json, **options) -> None:
    """Load SOURCE (csv, salesforce, hubspot, pipedrive, dynamics, sql, sample) from PATHS into a snapshot.

    Without SOURCE, what salesops.yaml names. Several folders of one CRM, of different days, become history. A file
    or folder in the place of SOURCE, or csv without --map, is not loaded: the nearest mapping is named, or a draft
    of one is written for editing.
    """
    from salesops_lib.errors import LossLimitExceeded, SourceUnavailable
    from salesops_lib.progress import patiently
    from salesops_lib.sources import catalogue
    from salesops_lib.sources.text import as_text
    from salesops_lib.workspace import open_workspace

    ws = open_workspace(workspace)
    named = source not in (None, *catalogue()) and not paths and Path(source).exists()
    if named or (source == "csv" and len(paths) == 1 and not mapping and paths[0].exists()):
        _offer(Path(source) if named else paths[0], Path(workspace), not named, as_json)
    options = {name: value for name, value in options.items() if value is not None}
    ingest = functools.partial(ws.ingest, source, *paths, mapping=mapping, max_loss=max_loss, **options)
    try:
        snapshot = patiently(ingest, SourceUnavailable, retries)
        refused = None
    except LossLimitExceeded as error:
        snapshot, refused = None, error
    report = refused.loaded.report if refused else snapshot.losses()
    findings = refused.loaded.findings if refused else snapshot.findings()
    if as_json:
        told = {
            "snapshot": snapshot and snapshot.id,
            "refused": str(refused) if refused else None,
            "tables": report.to_dict("records"),
            "findings": findings.to_dict("records"),
        }
        click.echo(json.dumps(told, default=str))
    else:
        click.echo(as_text(report, findings))
        if snapshot:
            click.echo(f"snapshot {snapshot.id}. Next: salesops check, then salesops render weekly_leadership")
    if refused:
        click.echo(f"salesops: refused: {refused}", err=True)
        sys.exit(EXIT_REFUSED)


def _offer(path, workspace, draft, as_json) -> None:
    """Say which mapping is nearest to files that come without one, and end: nothing was loaded."""
    from salesops_lib.errors import printable
    from salesops_lib.sources.suggest import offer

    found = offer(path, workspace, always_draft=draft)
    if as_json:
        told = {"nearest": [one.mapping for one in found.candidates if one.fits], "draft": found.draft}
        click.echo(json.dumps(told | {"next": found.next, "lines": found.lines}, default=str))
    else:
        click.echo(printable("\n".join(found.lines)))
    click.echo(printable(f"salesops: nothing was loaded. Next: {found.next}"), err=True)
    sys.exit(EXIT_PARAMETER)


@command
@click.option("--out", type=click.Path(path_type=Path), help="Also write them to FILE.xlsx, .csv or .json.")
@click.option("--against", metavar="SNAPSHOT", help="Snapshot to compare with, by default the one before.")
@IN
@AS_JSON
def check(out, against, workspace, as_json) -> None:
    """Look for known traps in the current snapshot; exit 4 when a red finding blocks reports."""
    from datetime import datetime

    from salesops_lib import gate
    from salesops_lib.workspace import open_workspace

    found = gate.check_workspace(open_workspace(workspace), today=datetime.now().date(), against=against)
    if out:
        gate.write(found, out)
    click.echo(json.dumps(found.to_dict()) if as_json else gate.as_text(found))
    if len(found.blocking):
        click.echo(
            f"salesops: {found.headline} Next: mend the red ones, or accept them in salesops.yaml.", err=True
        )
        sys.exit(EXIT_BLOCKED)
    click.echo("Next: salesops render weekly_leadership", err=True)


@command
@IN
@AS_JSON
def reports(workspace, as_json) -> None:
    """List the reports: parameters, notebooks, schedules."""
    from datetime import datetime

    from salesops_lib import report
    from salesops_lib.workspace import open_workspace

    ws = open_workspace(workspace)
    found = report.catalogue(ws)
    missed = report.overdue(ws, datetime.now().astimezone()).missed
    if as_json:
        late = [{"report": run.report, "expected": run.expected.isoformat()} for run in missed]
        click.echo(json.dumps({"reports": found, "missed": late}, default=str))
        return
    for entry in found:
        click.echo(f"{entry['name']}: {entry['title']}")
        click.echo(f"  notebooks: {', '.join(entry['notebooks'])}")
        click.echo(f"  parameters: {entry['parameters']}   schedule: {entry['schedule'] or 'none'}")
        for run in missed:
            if run.report == entry["name"]:
                click.echo(f"  {run.sentence}")


@command
@click.argument("names", nargs=-1, required=True, metavar="REPORT…")
@click.option("--as-of", help="Last day the pages may see: an ISO date, or a word such as last_month_end.")
@click.option("-p", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter of the notebooks.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="local|ordinary|dask://HOST:PORT",
    help="Where the pages are made.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to publish to.")
@click.option(
    "--force", is_flag=True, help="Make unchanged pages anew, and those that red findings block; these say so."
)
@click.option("--pdf", is_flag=True, help="Print each page too, with the Chromium that is installed.")
@click.option("--no-deliver", is_flag=True, help="Tell nobody, whatever the report's YAML says under deliver.")
@IN
@AS_JSON
def render(names, as_of, pairs, workers, executor, out, force, pdf, no_deliver, workspace, as_json) -> None:
    """Run the notebooks of each REPORT and publish their pages; those on which nothing has changed are kept.

    Exit 5 when a page failed (the others are published), 4 when red findings block a report.
    """
    from datetime import datetime

    from salesops_lib import report
    from salesops_lib.errors import ParameterError, RenderError, ReportBlocked
    from salesops_lib.language import mark
    from salesops_lib.workspace import open_workspace

    ws = open_workspace(workspace)
    for name in names:  # all of them before the first one runs
        report.read_definition(name, ws.reports)
    parameters = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ParameterError(f"-p {pair}: write NAME=VALUE.")
        parameters[name] = value
    now = datetime.now().astimezone()
    runs, blocked, broken = [], [], []
    for name in names:
        try:
            run = report.render(
                name,
                workspace=ws,
                as_of=as_of,
                parameters=parameters,
                out=out,
                workers=workers,
                executor=executor,
                now=now,
                today=now.date().isoformat(),
                details={mark("Rendered"): f"{now:%Y-%m-%d %H:%M %Z}"},
                force=force,
                pdf=pdf,
                tell=not no_deliver,
                findings=(runs + blocked)[-1].findings if runs + blocked else None,
            )
            runs.append(run)
        except ReportBlocked as error:  # the other reports may still be rendered
            blocked.append(error)
        except RenderError as error:
            broken.append(error)
    _print_runs(runs, blocked, broken, as_json)
    if broken:
        sys.exit(1)
    if blocked:
        sys.exit(EXIT_BLOCKED)
    if any(run.failed for run in runs):
        sys.exit(EXIT_PAGES)


def _print_runs(runs, blocked, broken, as_json) -> None:
    if as_json:
        told = {"runs": [run.manifest | {"folder": str(run.folder)} for run in runs]}
        if blocked:
            told["blocked"] = [
                {"report": error.report, "error": str(error), "checks": list(error.findings.blocking["check"])}
                for error in blocked
            ]
        if broken:
            told["error"] = " ".join(map(str, broken))
        click.echo(json.dumps(told, default=str))
    for run in runs:
        for page in run.pages:
            spent = "unchanged" if page.is_reused else f"{page.seconds:.1f} s"
            line = f"{page.status:6} {run.report}/{page.name} {spent} {page.error}".rstrip()
            click.echo(line, err=as_json)
        for told in run.manifest.get("deliveries", ()):
            line = f"{told['status']:6} {told['kind']} to {told['to']} {told['error']}".rstrip()
            click.echo(line, err=as_json)
        click.echo(f"{run.folder / 'index.html'}", err=as_json)
    for error in (*blocked, *broken):
        click.echo(f"salesops: {error}", err=True)
    if runs:
        failed = "its first lines say which pages failed, and where" if any(run.failed for run in runs) else ""
        todo = failed or "salesops lab opens the notebooks behind its pages"
        click.echo(f"Next: open {runs[-1].folder / 'index.html'}; {todo}", err=True)


@command
@click.option("--keep", type=click.IntRange(1), required=True, metavar="N", help="Dates of each report to keep.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder they were published to.")
@IN
@AS_JSON
def prune(keep, out, workspace, as_json) -> None:
    """Remove the older runs of every report, the newest N dates aside."""
    from datetime import datetime

    from salesops_lib import report
    from salesops_lib.language import speaking
    from salesops_lib.workspace import open_workspace

    ws = open_workspace(workspace)
    place = Path(out or ws.out)
    with speaking(ws.language, ws.settings.company.locale or ""):  # the catalogue of all reports is written anew
        gone = report.prune(place, keep, report.overdue(ws, datetime.now().astimezone(), place))
    if as_json:
        click.echo(json.dumps({"removed": [str(path) for path in gone]}))
        return
    click.echo("\n".join([*(f"removed {path}" for path in gone), f"{len(gone)} runs removed"]))


@command
@click.option("--format", type=click.Choice(["cron", "systemd", "airflow"]), default="cron", show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--no-load", is_flag=True, help="Do not load the source before each report.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write the files into, instead of printing."
)
@IN
def schedule(format, workers, no_load, out, workspace) -> None:
    """Write what cron, systemd or Airflow needs to render the scheduled reports; nothing is installed."""
    from salesops_lib import report
    from salesops_lib.export import write_text
    from salesops_lib.report.schedule import entries
    from salesops_lib.workspace import open_workspace

    ws = open_workspace(workspace)
    known = {name: report.read_definition(name, ws.reports) for name in report.definitions(ws.reports)}
    files = entries(known, ws, format, workers=workers, load=not no_load)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            click.echo(write_text(text, out / name))
        return
    several = len(files) > 1
    for name, text in files.items():
        click.echo((f"# {name}\n" if several else "") + text)


@command
@AS_JSON
def kpis(as_json) -> None:
    """List every KPI with its definition."""
    from salesops_lib.kpis import catalogue

    found = catalogue()
    if as_json:
        click.echo(json.dumps({"kpis": found.to_dict("records")}))
        return
    for (kpi_id, name, formula), rows in found.groupby(["kpi_id", "name", "formula"]):
        click.echo(f"{kpi_id} {name}: {formula}")
        for row in rows.itertuples():
            click.echo(f"    {row.variant}: {row.meaning}")


@command
@AS_JSON
def sources(as_json) -> None:
    """List the sources and shipped mappings."""
    from salesops_lib.sources import catalogue
    from salesops_lib.sources.mapping import MAPS, read_mapping

    found = catalogue()
    maps = {path.stem: read_mapping(path).title for path in sorted(MAPS.glob("*.yaml"))}
    if as_json:
        click.echo(json.dumps({"sources": found, "mappings": maps}))
        return
    for name, meaning in found.items():
        click.echo(f"{name}: {meaning}")
    for name, title in maps.items():
        click.echo(f"  --map {name}: {title}")


@command
@IN
@AS_JSON
def snapshots(workspace, as_json) -> None:
    """List the snapshots, the current one marked."""
    from salesops_lib.workspace import open_workspace

    store = open_workspace(workspace).store
    current = store.current()
    found = [
        {
            "id": snapshot.id,
            "extracted_at": snapshot.manifest["extracted_at"],
            "current": current is not None and snapshot.id == current.id,
            "rows": {name: entry["rows"] for name, entry in snapshot.manifest["tables"].items()},
        }
        for snapshot in store.list()
    ]
    if as_json:
        click.echo(json.dumps({"snapshots": found}))
        return
    for entry in found:
        mark = "*" if entry["current"] else " "
        rows = ", ".join(f"{name} {n:,}" for name, n in entry["rows"].items())
        click.echo(f"{mark} {entry['id']}  exported {entry['extracted_at'][:16]}  {rows}")


@command
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@IN
def lab(options, workspace) -> None:
    """Open JupyterLab on the workspace; OPTIONS of its own come after --, as in salesops lab -- --no-browser."""
    from salesops_lib.language import LANGUAGE
    from salesops_lib.present import LOCALE
    from salesops_lib.workspace import open_workspace

    ws = open_workspace(workspace)
    root = ws.root
    os.chdir(root)
    os.environ.setdefault(LOCALE, ws.settings.company.locale or "")
    os.environ.setdefault(LANGUAGE, ws.language)
    # which notebooks are open is this workspace's affair: others have notebooks of the same names
    os.environ.setdefault("JUPYTERLAB_WORKSPACES_DIR", str(root / ".jupyterlab"))
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(root), *QUIET, *options])


if __name__ == "__main__":
    main()
