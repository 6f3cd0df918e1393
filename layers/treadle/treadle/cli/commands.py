"""Defines the commands; their implementation is elsewhere."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from treadle.cli.assets import asset
from treadle.cli.console import console
from treadle.cli.cost import cost
from treadle.cli.dlq import dlq
from treadle.cli.doctor import doctor
from treadle.cli.engine import engine
from treadle.cli.fragments import NewJob, NewSensor
from treadle.cli.initialize import init
from treadle.cli.local import invoke, local
from treadle.cli.logs import logs
from treadle.cli.new_sensor import Written, find_root, write_job, write_sensor
from treadle.cli.output import scaffold_errors
from treadle.cli.params import params
from treadle.cli.runs import run
from treadle.cli.sensor_kinds import SCHEDULE, SENSOR_KINDS
from treadle.cli.sensors import sensor
from treadle.cli.target_kinds import ADDRESS, KINDS, STEP_FUNCTIONS
from treadle.cli.ticks import tick
from treadle.cli.why import why


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


for each in (
    init,
    engine,
    sensor,
    tick,
    run,
    asset,
    dlq,
    logs,
    console,
    params,
    local,
    invoke,
    cost,
    why,
    doctor,
):
    treadle.add_command(each)


@treadle.group()
def new() -> None:
    """Write what something new needs into the project."""


by_root = click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project's folder.  [default: the nearest that has a template.yaml]",
)


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
    help="The jobs whose runs it receives, or whose deadlines.  [default: all jobs of the engine]",
)
@click.option(
    "--asset",
    "assets",
    metavar="KEY",
    multiple=True,
    help="An asset whose events it receives, such as shop/orders; once for each.",
)
@click.option("--bucket", metavar="BUCKET", default="", help="The bucket, if its kind is s3.")
@click.option("--prefix", metavar="TEXT", default="", help="How the keys of its objects begin.")
@click.option("--suffix", metavar="TEXT", default="", help="How the keys of its objects end.")
@click.option(
    "--wildcard",
    is_flag=True,
    help="Let the rule filter by prefix and suffix both; an account has 30 such rules in all.",
)
@click.option(
    "--deadlines",
    metavar="CRON",
    default="cron(0 6 * * ? *)",
    help="When its deadlines are, if its kind is deadline.  [default: cron(0 6 * * ? *)]",
)
@click.option(
    "--time-zone",
    metavar="ZONE",
    default="UTC",
    help="The time zone of its deadlines, such as Europe/Berlin.  [default: UTC]",
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
    help="Seconds between its ticks, if its kind is schedule or s3.  [default: 60; 300 for s3]",
)
@click.option("--reads-runs", is_flag=True, help="Let it read recorded runs, as sensors of runs may anyway.")
@by_root
def new_sensor(
    name: str,
    kind: str,
    job: str | None,
    jobs: str | None,
    assets: tuple[str, ...],
    bucket: str,
    prefix: str,
    suffix: str,
    wildcard: bool,
    deadlines: str,
    time_zone: str,
    target: str | None,
    interval: int | None,
    reads_runs: bool,
    root: Path | None,
) -> None:
    """Write a new sensor: its function, its sample events, its test, and its block of template.yaml.

    NAME is the sensor's name in snake case, such as late_orders.

    The edit of template.yaml only adds lines. If the job is new, its block is added, too, as `treadle new job` does.
    If anything is in the way, all of it is said and nothing is written.
    """
    starts = job or (f"{name}_job" if SENSOR_KINDS[kind].needs_job else None)
    upstream = tuple(each.strip() for each in jobs.split(",")) if jobs else ()
    every = interval if interval is not None else SENSOR_KINDS[kind].interval
    wanted = NewSensor(
        *(name, starts, every, target, kind, upstream, reads_runs, assets),
        *(bucket, prefix, suffix, wildcard, deadlines, time_zone),
    )
    with scaffold_errors():
        written = write_sensor(root.resolve() if root else find_root(Path.cwd()), wanted)
    for line in _report(wanted, written):
        click.echo(line)
    for warning in written.warnings:
        click.echo(f"treadle: warning: {warning}", err=True)


@new.command("job")
@click.argument("name")
@click.option(
    "--target",
    metavar="KIND",
    type=click.Choice(KINDS),
    default=STEP_FUNCTIONS,
    show_default=True,
    help=f"What it is: {', '.join(KINDS)}.",
)
@click.option(
    "--arn",
    metavar="ARN",
    help="Of what it starts; a Glue job's name.  [default: called like the job, in this account and Region]",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of its kind, such as queue=ARN for batch; once for each.",
)
@click.option(
    "--role",
    metavar="ARN",
    help="The role that the engine assumes, such as one of another account.  [default: one in its block]",
)
@click.option("--observed", is_flag=True, help="Record its executions whoever starts them.")
@by_root
def new_job(
    *,
    name: str,
    target: str,
    arn: str | None,
    settings: tuple[str, ...],
    role: str | None,
    observed: bool,
    root: Path | None,
) -> None:
    """Write a new job: its block of template.yaml, with a role that may start what it starts, and nothing else.

    NAME is the job's name in snake case, such as load_orders.

    The edit of template.yaml only adds lines. If anything is in the way, all of it is said and nothing is written.
    """
    given = {setting.partition("=")[0]: setting.partition("=")[2] for setting in settings}
    wanted = NewJob(name, target, given | ({ADDRESS: arn} if arn is not None else {}), role, observed)
    with scaffold_errors():
        write_job(root.resolve() if root else find_root(Path.cwd()), wanted)
    for line in _report_job(wanted):
        click.echo(line)


_TO_WRITE = {
    "schedule": "Let newest_item() in {} ask your source",
    "s3": "Say in {} what the job is given of an object",
    "runs": "Say in {} what is to be done",
    "all_succeeded": "Say in {} within which time they must have succeeded",
    "deadline": "Say in {} what is to be done, and within which time a success counts",
    "asset": "Say in {} what the job is given of a materialization",
    "multi_asset": "Say in {} which of them must be new",
}


def _report(wanted: NewSensor, written: Written) -> Iterator[str]:
    yield f"Sensor {wanted.name}, which {wanted.does}:"
    for path, what in written.files.items():
        yield f"  {path:<{max(map(len, written.files))}}  {what}"
    yield ""
    yield "Next:"
    yield f"  1. {_TO_WRITE[wanted.sensor_kind.texts].format(f'functions/sensors/{wanted.name}/app.py')}, and test it:"
    yield f"       .venv/bin/python -m pytest tests/sensors/test_{wanted.name}.py"
    yield "     `make check` checks the whole project."
    yield "  2. Deploy it, and start it when you like; until then it is stopped:"
    yield f"       sam build && sam deploy && treadle sensor start {wanted.name}"
    if written.new_job and wanted.new_job is not None:
        yield from _report_job(wanted.new_job, 3)


def _report_job(job: NewJob, number: int | None = None) -> Iterator[str]:
    begin = f"  {number}. " if number else ""
    address = job.kind.settings[ADDRESS].what
    yield f"{begin}Job {job.name} starts {job.address} ({address}). Change its block of template.yaml if it is another one."
