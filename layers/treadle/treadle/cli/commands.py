"""The commands, as they are typed; what they do is elsewhere."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from treadle.cli.assets import asset
from treadle.cli.checkout import invoke, local
from treadle.cli.console import console
from treadle.cli.cost import cost
from treadle.cli.doctor import doctor
from treadle.cli.fragments import NewSensor
from treadle.cli.kinds import KINDS, STEP_FUNCTIONS
from treadle.cli.letters import dlq
from treadle.cli.logs import logs
from treadle.cli.new_sensor import Written, find_root, write_sensor
from treadle.cli.params import params
from treadle.cli.runs import run
from treadle.cli.sensor_kinds import SCHEDULE, SENSOR_KINDS
from treadle.cli.sensors import sensor
from treadle.cli.speaking import FAILED
from treadle.cli.ticks import tick
from treadle.cli.why import why
from treadle.definitions.errors import ScaffoldError


def _say_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    del option
    if asked and not context.resilient_parsing:
        try:
            click.echo(f"treadle {version('treadle')}")
        except PackageNotFoundError:
            click.echo("treadle, of a checkout that is not installed")
        context.exit()


@click.group()
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
def treadle() -> None:
    """Sensors that start job runs on AWS."""


for each in (sensor, tick, run, asset, dlq, logs, console, params, local, invoke, cost, why, doctor):
    treadle.add_command(each)


@treadle.group()
def new() -> None:
    """Write what something new needs into the project."""


@new.command("sensor")
@click.argument("name")
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice(list(SENSOR_KINDS)),
    default=SCHEDULE,
    show_default=True,
    help=f"What sets it off: {', '.join(SENSOR_KINDS)}.",
)
@click.option(
    "--job",
    metavar="JOB",
    help="The job that it starts.  [default: NAME_job; none for run-status, run-failure and deadline]",
)
@click.option(
    "--jobs",
    metavar="JOB,JOB",
    help="The jobs whose runs it hears of, or whose deadlines.  [default: all of the stack]",
)
@click.option(
    "--asset",
    "assets",
    metavar="KEY",
    multiple=True,
    help="An asset that it hears of, such as shop/orders; once for each.",
)
@click.option(
    "--target",
    metavar="KIND",
    type=click.Choice(KINDS),
    help=f"What the job is, if it is new: {', '.join(KINDS)}.  [default: {STEP_FUNCTIONS}]",
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=int,
    default=60,
    show_default=True,
    help="Seconds between its ticks, if its kind is schedule.",
)
@click.option("--reads-runs", is_flag=True, help="Let it read recorded runs, as sensors of runs may anyway.")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project's folder.  [default: the nearest that has a template.yaml]",
)
def new_sensor(
    name: str,
    kind: str,
    job: str | None,
    jobs: str | None,
    assets: tuple[str, ...],
    target: str | None,
    interval: int,
    reads_runs: bool,
    root: Path | None,
) -> None:
    """Write a new sensor: its function, its sample events, its test, and its block of template.yaml.

    NAME is the sensor's name in snake case, such as late_orders.

    The edit of template.yaml only adds lines. If the job is new, the template gets parameters for what it
    starts. If anything is in the way, all of it is said and nothing is written.
    """
    starts = job or (f"{name}_job" if SENSOR_KINDS[kind].needs_job else None)
    upstream = tuple(each.strip() for each in jobs.split(",")) if jobs else ()
    wanted = NewSensor(name, starts, interval, target, kind, upstream, reads_runs, assets)
    try:
        folder = root.resolve() if root else find_root(Path.cwd())
        written = write_sensor(folder, wanted)
    except ScaffoldError as error:
        for problem in error.problems:
            click.echo(f"treadle: {problem}", err=True)
        raise SystemExit(FAILED) from None
    for line in _report(wanted, written, has_values=(folder / "samconfig.toml").is_file()):
        click.echo(line)
    for warning in written.warnings:
        click.echo(f"treadle: warning: {warning}", err=True)


_TO_WRITE = {
    "schedule": "Let newest_item() in {} ask your source",
    "runs": "Say in {} what is to be done",
    "all_succeeded": "Say in {} within which time they must have succeeded",
    "deadline": "Say in {} what is to be done, and within which time a success counts",
    "asset": "Say in {} what the job is told of a materialization",
    "multi_asset": "Say in {} which of them must be new",
}


def _report(wanted: NewSensor, written: Written, *, has_values: bool) -> Iterator[str]:
    yield f"Sensor {wanted.name}, which {wanted.does}:"
    for path, what in written.files.items():
        yield f"  {path:<{max(map(len, written.files))}}  {what}"
    overrides = [f"{wanted.prefix}Status=RUNNING"]
    if written.new_job:
        overrides += [f"{wanted.job_prefix}{end}=<{what}>" for end, what in wanted.kind.needs.items()]
    yield ""
    yield "Next:"
    yield f"  1. {_TO_WRITE[wanted.sensor_kind.texts].format(f'functions/sensors/{wanted.name}/app.py')}, and test it:"
    yield f"       .venv/bin/python -m pytest tests/sensors/test_{wanted.name}.py"
    yield "     `make check` looks at the whole project."
    yield "  2. Until its status says RUNNING, it waits. Add to parameter_overrides in samconfig.toml"
    if not has_values:
        yield "     (first: cp samconfig.example.toml samconfig.toml):"
    else:
        yield "     (docs/guide/deploy-and-configure.md):"
    yield from (f"       '{each}'," for each in overrides)
    yield "  3. Deploy it:"
    yield "       sam build && sam deploy"
