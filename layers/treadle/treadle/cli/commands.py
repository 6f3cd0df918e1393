"""The commands, as they are typed; what they do is elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import click

from treadle.cli.fragments import NewSensor
from treadle.cli.kinds import KINDS, STEP_FUNCTIONS
from treadle.cli.letters import redrive
from treadle.cli.new_sensor import Written, find_root, write_sensor
from treadle.cli.runs import cancel, release, replay, rerun
from treadle.cli.speaking import FAILED
from treadle.definitions.errors import ScaffoldError


@click.group()
def treadle() -> None:
    """Sensors that start job runs on AWS."""


for each in (rerun, release, cancel, redrive, replay):
    treadle.add_command(each)


@treadle.group()
def new() -> None:
    """Write what something new needs into the project."""


@new.command()
@click.argument("name")
@click.option("--job", metavar="JOB", help="The job that it starts.  [default: NAME_job]")
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
    help="Seconds between its ticks.",
)
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project's folder.  [default: the nearest that has a template.yaml]",
)
def sensor(name: str, job: str | None, target: str | None, interval: int, root: Path | None) -> None:
    """Write a new sensor: its function, its sample events, its test, and its block of template.yaml.

    NAME is the sensor's name in snake case, such as late_orders.

    The edit of template.yaml only adds lines. If the job is new, the template gets parameters for what it
    starts. If anything is in the way, all of it is said and nothing is written.
    """
    wanted = NewSensor(name, job or f"{name}_job", interval, target)
    try:
        folder = root.resolve() if root else find_root(Path.cwd())
        written = write_sensor(folder, wanted)
    except ScaffoldError as error:
        for problem in error.problems:
            click.echo(f"treadle: {problem}", err=True)
        raise SystemExit(FAILED) from None
    for line in _report(wanted, written):
        click.echo(line)


def _report(wanted: NewSensor, written: Written) -> Iterator[str]:
    yield f"Sensor {wanted.name}, which starts {wanted.job}:"
    for path, what in written.files.items():
        yield f"  {path:<{max(map(len, written.files))}}  {what}"
    overrides = [f"{wanted.prefix}Status=RUNNING"]
    if written.new_job:
        overrides += [f"{wanted.job_prefix}{end}=<{what}>" for end, what in wanted.kind.needs.items()]
    yield ""
    yield "Next:"
    yield f"  1. Let newest_item() in functions/sensors/{wanted.name}/app.py ask your source, and test it:"
    yield f"       python -m pytest tests/unit/test_{wanted.name}.py"
    yield "  2. Deploy it. Until its status says RUNNING, it waits:"
    yield f"       sam build && sam deploy --parameter-overrides {' '.join(overrides)}"
