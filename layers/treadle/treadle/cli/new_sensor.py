"""Writes what `treadle new` adds, all or nothing: a sensor's folder, events and test, and template blocks."""

import builtins
import hashlib
import json
import keyword
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from treadle.cli.fragments import DEFAULT_BUS, ENGINES_BUS, NewJob, NewPool, NewSensor
from treadle.cli.sample_event import is_derivable
from treadle.cli.sensor_kinds import SCHEDULE
from treadle.cli.target_kinds import KINDS
from treadle.cli.template_edit import NAME, add_blocks, jobs
from treadle.definitions.errors import DagsterInvalidDefinitionError, ScaffoldError
from treadle.definitions.event_pattern import EventPattern
from treadle.definitions.hours import Hours
from treadle.model.targets import UNANSWERING

SHORTEST, LONGEST, LONGEST_JOB = 3, 36, 40
"""Lengths of a sensor's and a job's name; longer ones would need other line breaks in the generated code."""
LONGEST_PATTERN = 2_048
"""Characters of an event pattern, of EventBridge's quotas ("Event pattern size")."""
LONGEST_KEY_PATTERN = 80
"""Characters of a pattern of keys, which is on one line of the generated code."""
LONGEST_ASSET, MOST_PARTS = 60, 8
"""Same for an asset's key."""
INTERVALS = range(15, 86_401)
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_PART = re.compile(r"[^*\\\"'$\x00-\x1f\x7f]*")
"""An asterisk is a wildcard in a rule; a dollar sign begins a variable in a policy; a quote ends the string.
"""
_DEADLINES = re.compile(
    r"cron\([0-9*,/-]+ [0-9*,/-]+ (\? [0-9A-Za-z*,/-]+ [0-9A-Za-z*,/#-]+|[0-9LW*,/-]+ [0-9A-Za-z*,/-]+ \?) [0-9*,/-]+\)"
)
"""Minutes, hours, day of month, month, day of week, year.

EventBridge Scheduler requires all six, and ? for one of the days.
"""
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,49}")
_BUS = re.compile(
    r"[/._A-Za-z0-9-]{1,256}|arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[/._A-Za-z0-9-]{1,256}"
)
_QUEUE = re.compile(r"(?=.{1,80}$)[A-Za-z0-9_-]+(\.fifo)?")
_STREAM = re.compile(
    r"[a-zA-Z0-9_.-]{1,128}|arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}|"
    r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[a-zA-Z0-9_.-]{3,255}/stream/[0-9T:.-]{1,40}"
)
_SECRET = re.compile(r"[\w/+=.@-]{1,200}(#[\w.-]{1,60})?|ssm:/?[\w.-]{1,100}(/[\w.-]{1,100}){0,14}", re.ASCII)
_ASSET = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)
_RESERVED = {
    *keyword.kwlist,
    *keyword.softkwlist,
    *dir(builtins),
    # Names in the generated code, and in the project around it.
    *("app", "context", "env", "evaluate", "evaluator", "handler", "last", "newest", "newest_item", "pytest"),
    *("requests", "run", "sensor", "source", "test", "time", "treadle", "config", "deployed", "started"),
    *("instance", "all_succeeded", "run_failure_sensor", "run_status_sensor"),
    *("deadline_sensor", "timedelta"),
    *("s3_sensor", "stored"),
    *("event_sensor", "queue_sensor", "message", "queue"),
    *("stream_sensor", "record", "stream", "table"),
    *("webhook_sensor", "request", "response"),
    *("asset_event", "asset_sensor", "made", "metadata", "multi_asset_sensor", "records", "materialized"),
    # Booleans and null, in YAML.
    *("true", "false", "yes", "off", "null"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """The result of writing a sensor or job.

    Attributes:
        files: paths in the project, with a description of each.
        new_job: whether the job was unknown before, so that it needs an address.
        warnings: events that the sensor may never receive.
    """

    files: dict[str, str]
    new_job: bool
    warnings: tuple[str, ...] = ()


def find_root(start: Path) -> Path:
    """Return the project's folder: the nearest, from here upwards, with template.yaml and functions/sensors.

    Raises:
        ScaffoldError: if there is none.
    """
    for folder in (start, *start.parents):
        if is_root(folder):
            return folder
    msg = f"{start} is not in a Treadle project: none of its folders has template.yaml and functions/sensors. Use --root."
    raise ScaffoldError([msg])


def is_root(folder: Path) -> bool:
    """Return whether a folder is a project's."""
    return (folder / "template.yaml").is_file() and (folder / "functions" / "sensors").is_dir()


def write_sensor(root: Path, new: NewSensor) -> Written:
    """Write everything that a new sensor needs into a project, including its job's block if the job is new.

    Args:
        root: the project's folder.
        new: the sensor.

    Raises:
        ScaffoldError: with all problems at once; nothing is written then.
    """
    problems = [*_name_problems(new), *_place_problems(root, new)]
    if problems:
        raise ScaffoldError(problems)
    before = _template(root)
    known = jobs(before)
    job = new.new_job if new.job not in known else None
    if job is None and new.target not in {None, known.get(new.job or "")}:
        msg = f"Job {new.job} exists already, on {known[new.job or '']}: leave out --target, or choose another job."
        raise ScaffoldError([msg])
    queues = [f"{new.prefix}Queue"] if new.has_rule else []
    after = add_blocks(before, [new.block(), *([job.block()] if job else [])], queues)
    files = _files(new)
    _write_all(root, {path: content for path, (content, _) in files.items()} | {NAME: after})
    return Written(
        {path: what for path, (_, what) in files.items()} | {NAME: _added(before, after)},
        new_job=job is not None,
        warnings=tuple(_unknown_jobs(new, {*known, *([new.job] if new.job else [])})),
    )


def write_job(root: Path, new: NewJob) -> Written:
    """Write a new job's block into a project's template.

    Args:
        root: the project's folder.
        new: the job.

    Raises:
        ScaffoldError: with all problems at once; nothing is written then.
    """
    problems = [*_unfit("job", new.name, LONGEST_JOB), *new.kind.problems(new.given, new.role)]
    for pool in new.pools:
        problems += _unfit("pool", pool, LONGEST_JOB)
    if (new.pools or new.max_concurrent_runs is not None or new.overlap) and new.target in UNANSWERING:
        problems.append(
            f"--pool, --max-concurrent-runs and --overlap are for jobs whose runs end: those on {new.target} do not report that. "
            "Leave them out."
        )
    if new.is_observed and new.target in UNANSWERING:
        observable = ", ".join(kind for kind in KINDS if kind not in UNANSWERING)
        problems.append(
            f"--observed is for jobs on {observable}: the executions of {new.target} cannot be listed. Leave it out."
        )
    if not is_root(root):
        problems.append(_no_root(root))
    if problems:
        raise ScaffoldError(problems)
    before = _template(root)
    known = jobs(before)
    if new.name in known:
        raise ScaffoldError([f"Job {new.name} exists already, on {known[new.name]}: choose another name."])
    after = add_blocks(before, [new.block()], [])
    _write_all(root, {NAME: after})
    return Written({NAME: _added(before, after)}, new_job=True)


def write_pool(root: Path, new: NewPool) -> Written:
    """Write a new pool's block into a project's template.

    Args:
        root: the project's folder.
        new: the pool.

    Raises:
        ScaffoldError: with all problems at once; nothing is written then.
    """
    problems = [*_unfit("pool", new.name, LONGEST_JOB), *_pool_problems(new)]
    if not is_root(root):
        problems.append(_no_root(root))
    if problems:
        raise ScaffoldError(problems)
    before = _template(root)
    after = add_blocks(before, [new.block()], [])
    _write_all(root, {NAME: after})
    return Written({NAME: _added(before, after)}, new_job=False)


def _pool_problems(new: NewPool) -> Iterator[str]:
    if new.limit is None and new.starts_per_minute is None:
        yield "A pool has a limit: add --limit N, --starts-per-minute N, or both."
    if not new.tag and (new.value is not None or new.per_value):
        yield "--value and --per-value are about a tag: add --tag, such as --tag customer."
    if new.value is not None and new.per_value:
        yield "--value and --per-value exclude each other: leave one of them out."
    if new.turns_by and new.per_value:
        yield "--turns-by and --per-value exclude each other, as each value has a queue of its own: leave one of them out."
    for option, text in (("--tag", new.tag), ("--value", new.value or ""), ("--turns-by", new.turns_by)):
        if _POOL_TEXT.fullmatch(text) is None:
            yield f"{option} is {text!r}, and must be up to 256 characters without quotes, '\\' and '$'."


_POOL_TEXT = re.compile(r"[^'\"\\$\x00-\x1f]{0,256}")


def _template(root: Path) -> str:
    return (root / NAME).read_bytes().decode()


def _added(before: str, after: str) -> str:
    return f"{after.count(chr(10)) - before.count(chr(10))} lines added"


def _unknown_jobs(new: NewSensor, known: Set[str]) -> Iterator[str]:
    """Warn of jobs that the sensor waits for and the project does not have (yet)."""
    for name in new.upstream:
        if name not in known:
            meant = get_close_matches(name, known, 1)
            guess = f" Did you mean {meant[0]}?" if meant else ""
            yield (
                f"The project has no job {name}, so {new.name} receives no events of its runs.{guess} Add the job, or "
                f"correct {name} in functions/sensors/{new.name}/app.py and in template.yaml."
            )


def _files(new: NewSensor) -> dict[str, tuple[str, str]]:
    kind, event = new.sensor_kind, f"events/{new.name}"
    files = {
        f"functions/sensors/{new.name}/app.py": (_text(new, f"{kind.texts}.app.py.txt"), "the sensor"),
        f"tests/sensors/test_{new.name}.py": (_text(new, f"{kind.texts}.test.py.txt"), "its test"),
    }
    if kind.has_schedule:
        files[f"{event}-schedule.json"] = (_text(new, "schedule.json"), "a tick, as the schedule sends it")
    if new.has_queue and kind.has_interval and not kind.subscribes:
        files[f"{event}-queued-tick.json"] = (_text(new, "queued-tick.json"), "a tick below the minute")
    if kind.has_deadlines:
        files[f"{event}-deadline.json"] = (
            _text(new, "deadline.json"),
            "a deadline, as the schedule sends it",
        )
        held = _queued_event(new, "deadline")
        files[f"{event}-queued-deadline.json"] = (held, "a deadline that was delayed by the grace period")
    if kind.status is not None:
        files[f"{event}-run-status.json"] = (_queued_event(new, "run-status"), "a change of a run's status")
    if kind.has_objects:
        queued = _queued_event(new, "object-created")
        files[f"{event}-object-created.json"] = (queued, "an object's event")
    for sample, is_delivered, by in (
        ("message", kind.consumes, "the queue"),
        ("record", kind.has_stream, "the stream"),
        ("request", kind.has_endpoint, "API Gateway"),
    ):
        if is_delivered:
            what = f"a {sample}, as {by} delivers it"
            files[f"{event}-{sample}.json"] = (_text(new, f"{sample}.json"), what)
    if kind.has_pattern:
        files[f"{event}-event.json"] = (_queued_event(new, "event"), "an event that it watches")
    if kind.subscribes_to_assets:
        queued = _queued_event(new, "asset-materialized")
        files[f"{event}-asset-materialized.json"] = (queued, "an asset's materialization")
    return files


def _text(new: NewSensor, name: str) -> str:
    return new.fragment(f"sensors/{name}")


def _queued_event(new: NewSensor, name: str) -> str:
    """Return an SQS event whose message has an event of the bus."""
    batch = json.loads(_text(new, "queued-tick.json"))
    body = json.dumps(json.loads(_text(new, f"{name}.json")), separators=(",", ":"))
    batch["Records"][0] |= {
        "body": body,
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
    }
    return json.dumps(batch, indent=2) + "\n"


def _write_all(root: Path, contents: Mapping[str, str]) -> None:
    """Write files, the template last: the files that it refers to exist then."""
    for path, content in contents.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.new")
        beside.write_bytes(content.encode())
        beside.replace(target)


def _name_problems(new: NewSensor) -> Iterator[str]:
    yield from _unfit("sensor", new.name, LONGEST)
    for job in (new.job, *new.upstream):
        if job is not None:
            yield from _unfit("job", job, LONGEST_JOB)
    if new.job == new.name:
        yield f"The job must have another name than the sensor: leave out --job for {new.name}_job."
    if new.sensor_kind.has_interval and new.interval not in INTERVALS:
        yield f"--interval is {new.interval}, and must be from {INTERVALS[0]} to {INTERVALS[-1]} seconds."
    yield from _hours_problems(new)
    yield from _upstream_problems(new)
    yield from _asset_problems(new)
    yield from _object_problems(new)
    yield from _pattern_problems(new)
    yield from _queue_problems(new)
    yield from _stream_problems(new)
    yield from _webhook_problems(new)


def is_sensor_name(name: str) -> bool:
    """Return whether `treadle new sensor` accepts a name."""
    return not any(_unfit("sensor", name, LONGEST))


def _unfit(what: str, name: str, longest: int) -> Iterator[str]:
    if SNAKE_CASE.fullmatch(name) is None:
        yield f"{name!r} cannot name a {what}: use snake case, such as late_orders."
    elif not SHORTEST <= len(name) <= longest:
        yield f"{name!r} cannot name a {what}: use {SHORTEST} to {longest} characters."
    elif name in _RESERVED:
        yield f"{name!r} cannot name a {what}: the name already has a meaning in the code or the template."


def _hours_problems(new: NewSensor) -> Iterator[str]:
    if not new.hours:
        return
    if new.made != SCHEDULE:
        yield f"--hours is for a sensor of kind {SCHEDULE}, and this one is of kind {new.made}."
    try:
        hours = Hours.parse(new.hours)
    except DagsterInvalidDefinitionError as error:
        yield f"--hours: {error}"
        return
    if str(hours) != new.hours or hours.has_exceptions:
        yield (
            f"--hours is {new.hours!r}, and must have a form like '06:00-20:00 MON-FRI Europe/Berlin'. Add exceptions later, in "
            "the code, the variable TREADLE_HOURS and the registry entry."
        )


def _object_problems(new: NewSensor) -> Iterator[str]:
    given = {
        "--bucket": new.buckets,
        "--prefix": new.key_prefixes,
        "--suffix": new.key_suffixes,
        "--key-pattern": new.key_pattern,
    }
    if not new.sensor_kind.has_objects:
        for option, value in given.items():
            if value:
                yield f"{option} is for a sensor of kind s3, and this one is of kind {new.made}."
        return
    yield from _place_of_objects_problems(new)
    if new.wildcard and not new.key_pattern and not (new.key_prefixes and new.key_suffixes):
        yield (
            "--wildcard needs --key-pattern, or both --prefix and --suffix: the rule can filter by one of them without a "
            "wildcard."
        )
    if _KEY_PART.fullmatch(new.key_pattern) is None or len(new.key_pattern) > LONGEST_KEY_PATTERN:
        yield (
            f"--key-pattern is {new.key_pattern!r}, and must be up to {LONGEST_KEY_PATTERN} characters without quotes, "
            "'*', '\\' and '$'. Write a longer one into the sensor's code."
        )
        return
    try:
        new.selection.checked()
    except DagsterInvalidDefinitionError as error:
        yield str(error)


def _place_of_objects_problems(new: NewSensor) -> Iterator[str]:
    for bucket in new.buckets or ("",):
        if _BUCKET.fullmatch(bucket) is None:
            yield f"--bucket is {bucket!r}, and must be the name of a bucket: 3 to 63 lowercase letters, digits, '.' and '-'."
    for option, values, longest in (("--prefix", new.key_prefixes, 512), ("--suffix", new.key_suffixes, 64)):
        for value in values:
            if _KEY_PART.fullmatch(value) is None or len(value) > longest:
                yield (
                    f"{option} is {value!r}, and must be up to {longest} characters without quotes, '*', '\\' and '$'."
                )


def _queue_problems(new: NewSensor) -> Iterator[str]:
    if not new.sensor_kind.consumes:
        if new.queue:
            yield f"--queue is for a sensor of kind queue, and this one is of kind {new.made}."
    elif _QUEUE.fullmatch(new.queue) is None:
        yield (
            f"--queue is {new.queue!r}, and must be the name of a queue in this account and Region: up to 80 letters, "
            "digits, '-' and '_', with .fifo at the end for a FIFO queue."
        )


def _stream_problems(new: NewSensor) -> Iterator[str]:
    if not new.sensor_kind.has_stream:
        if new.stream:
            yield f"--stream is for a sensor of kind stream, and this one is of kind {new.made}."
    elif _STREAM.fullmatch(new.stream) is None:
        yield (
            f"--stream is {new.stream!r}, and must be the name of a Kinesis stream in this account and Region, or the ARN "
            "of a stream of Kinesis or of a DynamoDB table."
        )


def _webhook_problems(new: NewSensor) -> Iterator[str]:
    if not new.sensor_kind.has_endpoint:
        if new.secret:
            yield f"--secret is for a sensor of kind webhook, and this one is of kind {new.made}."
    elif _SECRET.fullmatch(new.secret) is None:
        yield (
            f"--secret is {new.secret!r}, and must be the name of a secret in Secrets Manager, such as shop/github or "
            "shop/senders#github, or of an SSM parameter, such as ssm:/shop/github."
        )


def _pattern_problems(new: NewSensor) -> Iterator[str]:
    if not new.sensor_kind.has_pattern:
        for option, is_given in (("--pattern", new.pattern), ("--bus", new.bus != DEFAULT_BUS)):
            if is_given:
                yield f"{option} is for a sensor of kind event, and this one is of kind {new.made}."
        return
    if not new.pattern:
        yield """--pattern must name the events to watch, such as '{"source":["shop.orders"]}'."""
    elif len(json.dumps(new.pattern)) > LONGEST_PATTERN:
        yield f"--pattern has more than {LONGEST_PATTERN} characters, the most that EventBridge accepts."
    else:
        try:
            EventPattern(new.pattern)
        except DagsterInvalidDefinitionError as error:
            yield f"--pattern: {error}"
        else:
            if not is_derivable(new.pattern):
                yield (
                    "--pattern: no sample event can be derived from it. Leave out what excludes or combines values, and "
                    "add it later to both the sensor's code and its rule."
                )
    if _BUS.fullmatch(new.bus) is None:
        yield f"--bus is {new.bus!r}, and must be the name or ARN of an event bus, or {ENGINES_BUS} for the engine's."


def _upstream_problems(new: NewSensor) -> Iterator[str]:
    kind = new.sensor_kind
    receives_events_of_jobs = kind.status is not None or kind.has_deadlines
    if not receives_events_of_jobs and new.upstream:
        yield f"--jobs names jobs whose events a sensor receives, but a sensor of kind {kind.name} receives none."
    if len(set(new.upstream)) < len(new.upstream):
        yield "--jobs names a job twice."
    if kind.has_deadlines and len(new.upstream) != 1:
        yield "--jobs must name the job that has deadlines, and no other, such as --jobs load_orders."
    elif len(new.upstream) < kind.fewest_jobs:
        yield f"--jobs must name {kind.fewest_jobs} jobs or more, such as --jobs load_orders,load_customers."
    if kind.has_deadlines and _DEADLINES.fullmatch(new.deadlines) is None:
        yield (
            f"--deadlines is {new.deadlines!r}, and must be a cron expression of six fields with ? for one of the days, "
            "such as cron(0 6 * * ? *) for six o'clock each day."
        )
    if kind.has_deadlines and _TIME_ZONE.fullmatch(new.time_zone) is None:
        yield f"--time-zone is {new.time_zone!r}, and must be the name of a time zone, such as UTC or Europe/Berlin."
    if new.job in new.upstream and not kind.has_deadlines:
        yield f"--job and --jobs both name {new.job}: each of its runs would start another."


def _asset_problems(new: NewSensor) -> Iterator[str]:
    kind = new.sensor_kind
    fewest, most = kind.assets
    if new.assets and not kind.subscribes_to_assets:
        yield f"--asset names an asset whose events a sensor receives, but a sensor of kind {kind.name} receives none."
    elif not fewest <= len(new.assets) <= most:
        many = "one asset" if (fewest, most) == (1, 1) else f"{fewest} to {most} assets"
        yield f"--asset must name {many}, once each, such as --asset shop/orders."
    if len(set(new.assets)) < len(new.assets):
        yield "--asset names an asset twice."
    for asset in new.assets:
        if _ASSET.fullmatch(asset) is None or len(asset) > LONGEST_ASSET or asset.count("/") >= MOST_PARTS:
            yield (
                f"{asset!r} cannot name an asset here: use up to {MOST_PARTS} parts of letters, digits, '_', '-' "
                f"and '.', joined by '/', with {LONGEST_ASSET} characters in all."
            )


def _place_problems(root: Path, new: NewSensor) -> Iterator[str]:
    if not is_root(root):
        yield _no_root(root)
    folders = [root / "functions" / kind / new.name for kind in ("sensors", "engine", "jobs")]
    for path in (*folders, root / "tests" / "sensors" / f"test_{new.name}.py"):
        if path.exists():
            yield f"{path.relative_to(root)} exists already: choose another name."


def _no_root(root: Path) -> str:
    return f"{root} is not a Treadle project: it lacks template.yaml or functions/sensors."
