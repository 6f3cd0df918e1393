"""Defines the commands; their implementation is elsewhere."""

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from treadle.cli.assets import asset
from treadle.cli.backfills import backfill
from treadle.cli.blocks import blocks
from treadle.cli.console import console
from treadle.cli.cost import cost
from treadle.cli.dev import dev
from treadle.cli.dlq import dlq
from treadle.cli.doctor import doctor
from treadle.cli.engine import engine
from treadle.cli.fragments import DEFAULT_BUS, ENGINES_BUS, VERIFICATIONS, NewJob, NewPool, NewSensor
from treadle.cli.initialize import init
from treadle.cli.local import invoke, local
from treadle.cli.logs import logs
from treadle.cli.move import move
from treadle.cli.new_sensor import Written, find_root, write_job, write_pool, write_sensor
from treadle.cli.options import by_root
from treadle.cli.output import scaffold_errors
from treadle.cli.params import params
from treadle.cli.partitions import partition
from treadle.cli.pools import pool
from treadle.cli.port import port_files
from treadle.cli.rehearse import rehearse
from treadle.cli.runs import run
from treadle.cli.sensor_kinds import SCHEDULE, SENSOR_KINDS
from treadle.cli.sensors import sensor
from treadle.cli.target_kinds import ADDRESS, KINDS, STEP_FUNCTIONS
from treadle.cli.ticks import tick
from treadle.cli.why import why
from treadle.definitions.bounds import counted, shown
from treadle.model.pools import MAX_LIMIT, Overlap


def _print_version(context: click.Context, option: click.Parameter, requested: bool) -> None:
    del option
    if requested and not context.resilient_parsing:
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
    callback=_print_version,
    help="Show the version and exit.",
)
def treadle() -> None:
    """Run Dagster-style sensors that start jobs on AWS."""


for each in (
    init,
    dev,
    rehearse,
    engine,
    move,
    sensor,
    tick,
    run,
    backfill,
    pool,
    asset,
    partition,
    dlq,
    logs,
    console,
    params,
    blocks,
    local,
    invoke,
    cost,
    why,
    port_files,
    doctor,
):
    treadle.add_command(each)


@treadle.group()
def new() -> None:
    """Add a sensor or a job to the project."""


@new.command("sensor")
@click.argument("name")
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice(list(SENSOR_KINDS)),
    default=SCHEDULE,
    show_default=True,
    help=f"Its kind: {', '.join(SENSOR_KINDS)}.",
)
@click.option(
    "--job",
    metavar="JOB",
    help="The job that it starts.  [default: NAME_job; none for run-status, run-failure and deadline]",
)
@click.option(
    "--jobs",
    metavar="JOB,JOB",
    help="The jobs whose run events or deadlines it receives.  [default: all jobs of the engine]",
)
@click.option(
    "--asset",
    "assets",
    metavar="KEY",
    multiple=True,
    help="An asset whose events it receives, such as shop/orders; may be repeated.",
)
@click.option(
    "--bucket", "buckets", metavar="BUCKET", multiple=True, help="The bucket, for kind s3; may be repeated."
)
@click.option(
    "--prefix", "prefixes", metavar="TEXT", multiple=True, help="Prefix of the object keys; may be repeated."
)
@click.option(
    "--suffix", "suffixes", metavar="TEXT", multiple=True, help="Suffix of the object keys; may be repeated."
)
@click.option(
    "--key-pattern",
    metavar="PATTERN",
    default="",
    help="What object keys look like, with names, such as {region}/orders_{day:%Y%m%d}.csv.",
)
@click.option(
    "--wildcard",
    is_flag=True,
    help="Let the rule filter by both prefix and suffix, or by the pattern; an account can have 30 such rules.",
)
@click.option(
    "--deadlines",
    metavar="CRON",
    default="cron(0 6 * * ? *)",
    help="The times of its deadlines, for kind deadline.  [default: cron(0 6 * * ? *)]",
)
@click.option(
    "--time-zone",
    metavar="ZONE",
    default="UTC",
    help="The time zone of its deadlines, such as Europe/Berlin.  [default: UTC]",
)
@click.option(
    "--pattern",
    metavar="JSON",
    default="",
    help="Which events it watches, for kind event: an EventBridge event pattern.",
)
@click.option(
    "--bus",
    metavar="NAME",
    default=DEFAULT_BUS,
    show_default=True,
    help=f"The event bus for kind event, by name or ARN; {ENGINES_BUS} for the engine's.",
)
@click.option("--queue", metavar="NAME", default="", help="The SQS queue, for kind queue.")
@click.option(
    "--stream",
    metavar="NAME",
    default="",
    help="The Kinesis stream for kind stream, by name or ARN; or the ARN of a DynamoDB table's stream.",
)
@click.option(
    "--sender",
    "verification",
    metavar="SENDER",
    type=click.Choice(list(VERIFICATIONS)),
    default="github",
    show_default=True,
    help="How the sender for kind webhook proves itself: github or stripe, by a signature like theirs, or token.",
)
@click.option(
    "--secret",
    metavar="NAME",
    default="",
    help="The secret shared with the sender, in Secrets Manager, NAME#FIELD for a field of JSON; or ssm:NAME for an "
    "SSM parameter.",
)
@click.option(
    "--target",
    metavar="KIND",
    type=click.Choice(KINDS),
    help=f"The target type of a new job: {', '.join(KINDS)}.  [default: {STEP_FUNCTIONS}]",
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=int,
    help="Seconds between its ticks, for kinds schedule and s3.  [default: 60; 300 for s3]",
)
@click.option(
    "--hours",
    metavar="HOURS",
    default="",
    help="The hours in which its schedule evaluates it, such as '06:00-20:00 MON-FRI Europe/Berlin', for kind schedule.",
)
@click.option("--reads-runs", is_flag=True, help="Let it read run records; run-status sensors always may.")
@by_root
def new_sensor(
    name: str,
    kind: str,
    job: str | None,
    jobs: str | None,
    assets: tuple[str, ...],
    buckets: tuple[str, ...],
    prefixes: tuple[str, ...],
    suffixes: tuple[str, ...],
    key_pattern: str,
    wildcard: bool,
    deadlines: str,
    time_zone: str,
    pattern: str,
    bus: str,
    queue: str,
    stream: str,
    verification: str,
    secret: str,
    target: str | None,
    interval: int | None,
    hours: str,
    reads_runs: bool,
    root: Path | None,
) -> None:
    """Write a new sensor: its function, its sample events, its test, and its block of template.yaml.

    NAME is the sensor's name in snake case, such as late_orders.

    The edit of template.yaml only adds lines. If the job is new, its block is added, too, as `treadle new job` does.
    If there are problems, all are reported and nothing is written.
    """
    starts = job or (f"{name}_job" if SENSOR_KINDS[kind].needs_job else None)
    upstream = tuple(each.strip() for each in jobs.split(",")) if jobs else ()
    every = interval if interval is not None else SENSOR_KINDS[kind].interval
    wanted = NewSensor(
        *(name, starts, every, target, kind, upstream, reads_runs, assets),
        *(buckets, prefixes, suffixes, wildcard, deadlines, time_zone),
        pattern=_pattern(pattern),
        bus=bus,
        queue=queue,
        stream=stream,
        verification=verification,
        secret=secret,
        hours=hours,
        key_pattern=key_pattern,
    )
    with scaffold_errors():
        written = write_sensor(root.resolve() if root else find_root(Path.cwd()), wanted)
    for line in _report(wanted, written):
        click.echo(line)
    for warning in written.warnings:
        click.echo(f"treadle: warning: {warning}", err=True)


def _pattern(text: str) -> dict[str, Any]:
    """Parse an event pattern; its content is checked with the other options."""
    if not text:
        return {}
    try:
        pattern = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--pattern is not JSON: {error}.") from error
    if not isinstance(pattern, dict):
        raise click.UsageError(f"--pattern is {shown(pattern)}, and must be a JSON object.")
    return pattern


@new.command("job")
@click.argument("name")
@click.option(
    "--target",
    metavar="KIND",
    type=click.Choice(KINDS),
    default=STEP_FUNCTIONS,
    show_default=True,
    help=f"Its target type: {', '.join(KINDS)}.",
)
@click.option(
    "--arn",
    metavar="ARN",
    help="The ARN of its target, or a Glue job's name.  [default: the job's name, in this account and Region]",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of its target type, such as queue=ARN for batch; may be repeated.",
)
@click.option(
    "--role",
    metavar="ARN",
    help="The role that the engine assumes, such as one of another account.  [default: a role in its block]",
)
@click.option("--observed", is_flag=True, help="Record its executions, whoever starts them.")
@click.option(
    "--pool", "pools", metavar="NAME", multiple=True, help="A concurrency pool of its runs; may be repeated."
)
@click.option(
    "--max-concurrent-runs",
    metavar="N",
    type=click.IntRange(0, MAX_LIMIT),
    help="How many of its runs may be in progress at a time.  [default: any number; 1 with --overlap]",
)
@click.option(
    "--overlap",
    type=click.Choice([each.value for each in Overlap]),
    help="What becomes of a run that is requested while that many are in progress.  [default: QUEUE]",
)
@click.option(
    "--max-starts-per-minute",
    metavar="N",
    type=click.IntRange(0, MAX_LIMIT),
    help="How many of its runs may start in any 60 seconds.  [default: any number]",
)
@by_root
def new_job(
    *,
    name: str,
    target: str,
    arn: str | None,
    settings: tuple[str, ...],
    role: str | None,
    observed: bool,
    pools: tuple[str, ...],
    max_concurrent_runs: int | None,
    overlap: str | None,
    max_starts_per_minute: int | None,
    root: Path | None,
) -> None:
    """Write a new job: its block of template.yaml, with a role that may start its target and nothing else.

    NAME is the job's name in snake case, such as load_orders.

    The edit of template.yaml only adds lines. If there are problems, all are reported and nothing is written.
    """
    given = {setting.partition("=")[0]: setting.partition("=")[2] for setting in settings}
    given |= {ADDRESS: arn} if arn is not None else {}
    limits = max_concurrent_runs, overlap, max_starts_per_minute
    wanted = NewJob(name, target, given, role, observed, pools, *limits)
    with scaffold_errors():
        write_job(root.resolve() if root else find_root(Path.cwd()), wanted)
    for line in _report_job(wanted):
        click.echo(line)


@new.command("pool")
@click.argument("name")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(0, MAX_LIMIT),
    help="How many runs may be in progress at a time.",
)
@click.option(
    "--starts-per-minute",
    metavar="N",
    type=click.IntRange(0, MAX_LIMIT),
    help="How many runs may start in any 60 seconds.",
)
@click.option("--all-jobs", is_flag=True, help="Limit the runs of all jobs of the engine.")
@click.option("--tag", metavar="NAME", default="", help="Limit the runs that have this tag.")
@click.option("--value", metavar="TEXT", help="Limit only those with this value of the tag.")
@click.option("--per-value", is_flag=True, help="Limit the runs of each value of the tag by itself.")
@click.option(
    "--turns-by",
    metavar="TAG",
    default="",
    help="Let the runs that wait take turns by their values of this tag.",
)
@by_root
def new_pool(
    *,
    name: str,
    limit: int | None,
    starts_per_minute: int | None,
    all_jobs: bool,
    tag: str,
    value: str | None,
    per_value: bool,
    turns_by: str,
    root: Path | None,
) -> None:
    """Write a new concurrency pool: its block of template.yaml, which limits runs in progress, or starts per minute.

    NAME is the pool's name in snake case, such as warehouse. Without --all-jobs and --tag, runs are in it whose job
    names it (treadle new job --pool), or whose tag dagster/concurrency_key does.
    """
    wanted = NewPool(name, limit, all_jobs, tag, value, per_value, starts_per_minute, turns_by)
    with scaffold_errors():
        write_pool(root.resolve() if root else find_root(Path.cwd()), wanted)
    slots = "" if limit is None else counted(limit, "slot")
    starts = "" if starts_per_minute is None else f"{counted(starts_per_minute, 'start')} per minute"
    click.echo(
        f"Pool {name} has {' and '.join(filter(None, (slots, starts)))}. Deploy it: sam build && sam deploy"
    )


_TO_WRITE = {
    "schedule": "Let newest_item() in {} query your source",
    "s3": "Define in {} the run config for an object",
    "runs": "Define in {} what to do",
    "all_succeeded": "Define in {} the time within which they must have succeeded",
    "deadline": "Define in {} what to do, and the time within which a success counts",
    "asset": "Define in {} the run config for a materialization",
    "event": "Define in {} the run config for an event",
    "queue": "Define in {} the run config for a message",
    "stream": "Define in {} the run config for a record",
    "webhook": "Define in {} the run config for a request",
    "multi_asset": "Define in {} which of them must be new",
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
    yield "  2. Deploy it, and start it; until then it is stopped:"
    if wanted.sensor_kind.consumes:
        yield "     First its queue must be tagged as the sensor's, and have a redrive policy, which `treadle doctor` checks:"
        yield f"       aws sqs tag-queue --queue-url URL_OF_{wanted.queue} --tags treadle:sensor={wanted.name}"
    yield f"       sam build && sam deploy && treadle sensor start {wanted.name}"
    if wanted.sensor_kind.has_endpoint:
        yield f"     Then give the sender the secret {wanted.secret}, and the endpoint, which `treadle sensor show {wanted.name}` prints."
    if written.new_job and wanted.new_job is not None:
        yield from _report_job(wanted.new_job, 3)


def _report_job(job: NewJob, number: int | None = None) -> Iterator[str]:
    begin = f"  {number}. " if number else ""
    address = job.kind.settings[ADDRESS].what
    yield f"{begin}Job {job.name} starts {job.address} ({address}). Change its block of template.yaml if that is wrong."
    yield (
        f"{' ' * len(begin)}Run configs over 200,000 bytes stay in the engine's payload bucket. The role under which its code "
        "runs reads them with:"
    )
    yield f"{' ' * len(begin)}  {job.payload_statement}"
