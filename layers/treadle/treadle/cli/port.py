"""The command that ports files of Dagster sensors."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli.new_sensor import is_sensor_name
from treadle.cli.output import EXIT_UNHEALTHY, echo, echo_json, json_option, scaffold_errors
from treadle.definitions.errors import ScaffoldError

# Loaded only by this command, as they load what authors import.
if TYPE_CHECKING:
    from treadle.cli.port_file import Report
    from treadle.cli.port_rules import Level


@click.command("port")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--write", is_flag=True, help="Replace each file by its port; lines that cannot be ported stay."
)
@json_option
def port_files(files: tuple[Path, ...], write: bool, as_json: bool) -> None:
    """Report line by line what becomes of Dagster code: what works as it is, what to change, what cannot be expressed.

    Dagster need not be installed, and nothing of a FILE is executed. The code of jobs and assets is not a sensor's,
    so it is removed: keep the files under version control.

    The exit status is 0 if everything is ported, 1 if something cannot be expressed or must be changed by hand.
    """
    from treadle.cli.port_rules import Level

    with scaffold_errors():
        reports = _read(files)
        if write:
            _write(reports)
    counts = Counter(finding.level for report in reports for finding in report.findings)
    if as_json:
        echo_json([_plain(report, write) for report in reports])
    else:
        _show(reports, counts, write)
    if counts[Level.HAND] or counts[Level.IMPOSSIBLE]:
        raise SystemExit(EXIT_UNHEALTHY)


def _read(files: Iterable[Path]) -> list["Report"]:
    """Port each file in memory.

    Raises:
        ScaffoldError: with all files that cannot be ported.
    """
    from treadle.cli.port_file import port

    reports: list[Report] = []
    problems: list[str] = []
    for file in dict.fromkeys(files):
        try:
            report = port(file)
        except ScaffoldError as error:
            problems += error.problems
            continue
        if report is None:
            problems.append(f"{file}: imports nothing of Dagster. Give files that import dagster.")
        else:
            reports.append(report)
    if problems:
        raise ScaffoldError(problems)
    return reports


def _write(reports: list["Report"]) -> None:
    for report in reports:
        try:
            report.path.write_bytes(report.changed)
        except OSError as error:
            msg = f"{report.path}: cannot be written: {error.strerror}. Those before it are written."
            raise ScaffoldError([msg]) from error


def _show(reports: list["Report"], counts: "Counter[Level]", written: bool) -> None:
    from treadle.cli.port_rules import Level

    for report in reports:
        for finding in report.findings:
            echo(f"{report.path}:{finding.line}: {' '.join(str(finding).split())}")
    files = f"{len(reports)} file{'' if len(reports) == 1 else 's'}{' written' if written else ''}"
    what = {Level.WORKS: "findings work as they are", Level.CHANGE: "change", Level.HAND: "change by hand"}
    parts = [f"{counts[level]} {words}" for level, words in what.items()]
    click.echo(f"{files}: {', '.join(parts)}, {counts[Level.IMPOSSIBLE]} cannot be expressed.")
    for report in reports:
        for sensor in report.sensors:
            options = f" {sensor.options}" if sensor.options else ""
            name = sensor.variable if is_sensor_name(sensor.variable) else "NAME"
            echo(f"Next: treadle new sensor {name} --kind {sensor.kind}{options}")
            echo(f"      then put {sensor.variable} into functions/sensors/{name}/app.py.")


def _plain(report: "Report", written: bool) -> dict[str, object]:
    return {
        "file": str(report.path),
        "written": written,
        "findings": [
            {
                "line": finding.line,
                "level": finding.level.value,
                "subject": finding.subject,
                "fact": finding.fact,
                "advice": finding.advice or None,
                "link": finding.link,
            }
            for finding in report.findings
        ],
        "sensors": [sensor._asdict() for sensor in report.sensors],
    }
