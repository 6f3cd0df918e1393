"""The text fragments of new sensors and jobs, with their names filled in."""

import json
import re
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from treadle.cli.sample_event import arguments_of, is_selective, literal, sample_event
from treadle.cli.sensor_kinds import SCHEDULE, SENSOR_KINDS, SensorKind
from treadle.cli.target_kinds import ADDRESS, STEP_FUNCTIONS, Kind, kind_of
from treadle.definitions.payloads import FOLDER
from treadle.definitions.stream_record import stream_name
from treadle.model.contract import PARTS
from treadle.model.deployment import SSM
from treadle.model.registry import CONTRACT

if TYPE_CHECKING:
    from treadle.integrations.s3.selection import S3Selection

MINUTE = 60
"""Seconds; the shortest interval of a schedule. Ticks at shorter intervals come through a queue."""

DEFAULT_BUS, ENGINES_BUS = "default", "engine"
"""The bus of each account and Region to which AWS's services send, and the engine's own."""

QUEUE_URL = "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/"
"""The beginning of the URL of a queue in the project's account and Region."""

KINESIS = "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/"
"""The beginning of the ARN of a Kinesis stream in the project's account and Region."""

SAMPLE_KINESIS = "arn:aws:kinesis:us-east-1:123456789012:stream/"
"""The same in a sample event."""

VERIFICATIONS = {"github": "HmacSignature", "stripe": "TimestampedSignature", "token": "BearerToken"}
"""How the sender of a webhook may authenticate itself, with the class that verifies it."""

_MARK = re.compile(r"\s*\{\{([#^/])(\w+)\}\}\n?")
"""A line that begins or ends a section that is included only with a flag (#), or only without it (^)."""


def pascal(name: str) -> str:
    """Convert `late_orders` to `LateOrders`, the prefix of the resources of a sensor or job."""
    return "".join(word.capitalize() for word in name.split("_"))


@dataclass(frozen=True, slots=True)
class NewJob:
    """A new job.

    Attributes:
        name: the job's name, in snake case.
        target: its target type.
        given: its settings by name, where they differ from the type's defaults; the address is `arn`.
        role: the ARN of the role that the engine assumes; None for one in its block.
        is_observed: whether executions that Treadle did not start are recorded too.
        pools: the names of its concurrency pools.
        max_concurrent_runs: how many of its runs may be in progress at a time; None for any number.
        overlap: what becomes of a run that is requested while that many are in progress; None for QUEUE.
        max_starts_per_minute: how many of its runs may start in any 60 seconds; None for any number.
    """

    name: str
    target: str = STEP_FUNCTIONS
    given: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None
    is_observed: bool = False
    pools: tuple[str, ...] = ()
    max_concurrent_runs: int | None = None
    overlap: str | None = None
    max_starts_per_minute: int | None = None

    @property
    def kind(self) -> Kind:
        """Return the requirements of its target type."""
        return kind_of(self.target)

    @property
    def prefix(self) -> str:
        """Return the prefix of its resources: `LoadOrdersJob`."""
        return f"{pascal(self.name)}Job"

    @property
    def address(self) -> str:
        """Return the address of its target, as in its block."""
        return _named(self.kind.values(self.given)[ADDRESS], self.name)

    @property
    def payload_statement(self) -> str:
        """Return the statement by which the role of the job's code reads its large run configs, for this template."""
        objects = f"arn:${{AWS::Partition}}:s3:::${{Name}}/{FOLDER}*/{self.name}/*"
        bucket = CONTRACT_PARTS["payload_bucket"]
        return (
            f"{{ Effect: Allow, Action: s3:GetObject, Resource: !Sub ['{objects}', {{ Name: {bucket} }}] }}"
        )

    def block(self) -> str:
        """Return its block of the template."""
        return fill(_template("jobs/job.yaml"), self._values(), {"own_role"} if self.role is None else set())

    def _values(self) -> Mapping[str, str]:
        values = {name: _named(value, self.name) for name, value in self.kind.values(self.given).items()}
        options = [
            (n, v) for n, v in values.items() if v and n != ADDRESS and self.kind.settings[n].is_option
        ]
        made = {
            **CONTRACT_PARTS,
            **values,
            "Job": self.prefix,
            "job": self.name,
            "target": self.target,
            "role": f"${{{self.prefix}Role.Arn}}" if self.role is None else self.role,
            "observed": ',"observed":"true"' if self.is_observed else "",
            "pools": _fields(
                {
                    "pools": ",".join(self.pools) or None,
                    "max_concurrent_runs": self.max_concurrent_runs,
                    "overlap": self.overlap,
                    "max_starts_per_minute": self.max_starts_per_minute,
                }
            ),
            "options": f',"options":{json.dumps(dict(options), separators=(",", ":"))}' if options else "",
            "executions": values[ADDRESS].replace(":stateMachine:", ":execution:"),
            "glue_job": f"arn:${{AWS::Partition}}:glue:${{AWS::Region}}:${{AWS::AccountId}}:job/{values[ADDRESS]}",
            "revisions": values[ADDRESS].rpartition(":")[0],
            "launch": "StringLike: { aws:userid: '*:launch' }",
            "in_cluster": f"ArnEqualsIfExists: {{ ecs:cluster: !Sub '{values.get('cluster', '')}' }}",
        }
        return {**made, "statements": _indented(fill(self.kind.statements, made, set()), 8)}


@dataclass(frozen=True, slots=True)
class NewPool:
    """A new concurrency pool.

    Attributes:
        name: the pool's name, in snake case.
        limit: how many runs may be in progress at a time; None for any number.
        all_jobs: whether the runs of all jobs are in it.
        tag: runs with this tag are in it; "" for none.
        value: only those with this value of the tag; None for any.
        per_value: whether each value of the tag has the limit by itself.
        starts_per_minute: how many runs may start in any 60 seconds; None for any number.
        turns_by: a tag, among whose values the runs that wait take turns; "" for none.
    """

    name: str
    limit: int | None = None
    all_jobs: bool = False
    tag: str = ""
    value: str | None = None
    per_value: bool = False
    starts_per_minute: int | None = None
    turns_by: str = ""

    def block(self) -> str:
        """Return its block of the template."""
        members = _fields(
            {
                "limit": self.limit,
                "starts_per_minute": self.starts_per_minute,
                "all_jobs": "true" if self.all_jobs else None,
                "tag": self.tag or None,
                "value": self.value,
                "per_value": "true" if self.per_value else None,
                "turns_by": self.turns_by or None,
            }
        )
        values = {
            "Pool": f"{pascal(self.name)}Pool",
            "pool": self.name,
            "members": members,
        }
        return fill(_template("pool.yaml"), {**CONTRACT_PARTS, **values}, set())


@dataclass(frozen=True, slots=True)
class NewSensor:
    """A new sensor.

    Attributes:
        name: the sensor's name, in snake case.
        job: the name of the job that it starts; None if it starts none.
        interval: seconds between its ticks, if it ticks.
        target: the target type of its job, if the job is new; None for Step Functions.
        made: its kind, one of `SENSOR_KINDS`.
        upstream: the jobs whose runs it subscribes to.
        reads_runs: whether it may read recorded runs; sensors of runs may in any case.
        assets: the assets that it subscribes to; the parts of a key are joined by "/".
        buckets: the buckets that it watches.
        key_prefixes: the prefixes of its objects' keys; none for any.
        key_suffixes: the suffixes of its objects' keys; none for any.
        wildcard: whether its rule filters by more than prefix or suffix.
        deadlines: its deadlines, as a cron expression of EventBridge Scheduler.
        time_zone: the time zone of the deadlines.
        pattern: the pattern of the events that it watches, as parsed JSON.
        bus: the name or ARN of the bus that they are on; `ENGINES_BUS` for the engine's.
        queue: the name of the queue whose messages it takes.
        stream: the name of the Kinesis stream whose records it takes, or the ARN of a stream.
        verification: how the sender of its requests authenticates itself, one of `VERIFICATIONS`.
        secret: the name of the secret that it shares with the sender.
        key_pattern: what its objects' keys look like, with names in braces; "" for any.
        hours: in which its schedule evaluates it, as `Hours` writes them; "" for at all times.
    """

    name: str
    job: str | None
    interval: int
    target: str | None = None
    made: str = SCHEDULE
    upstream: tuple[str, ...] = ()
    reads_runs: bool = False
    assets: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    key_prefixes: tuple[str, ...] = ()
    key_suffixes: tuple[str, ...] = ()
    wildcard: bool = False
    deadlines: str = "cron(0 6 * * ? *)"
    time_zone: str = "UTC"
    pattern: Mapping[str, Any] = field(default_factory=dict)
    bus: str = DEFAULT_BUS
    queue: str = ""
    stream: str = ""
    verification: str = "github"
    secret: str = ""
    key_pattern: str = ""
    hours: str = ""

    @property
    def prefix(self) -> str:
        """Return the prefix of its resources; its function has this name."""
        return pascal(self.name)

    @property
    def sensor_kind(self) -> SensorKind:
        """Return the properties of its kind."""
        return SENSOR_KINDS[self.made]

    @property
    def new_job(self) -> NewJob | None:
        """Return its job, if that is new."""
        return NewJob(self.job, self.target or STEP_FUNCTIONS) if self.job else None

    @property
    def does(self) -> str:
        """Return what it does, as a phrase that follows its name."""
        kind = self.sensor_kind
        return (kind.does if self.job else kind.does_without_job).replace("{{job}}", self.job or "")

    @property
    def reads(self) -> bool:
        """Return whether it may read whole runs."""
        return self.sensor_kind.watches or self.sensor_kind.has_deadlines or self.reads_runs

    @property
    def selection(self) -> "S3Selection":
        """Return the objects that it watches."""
        # Imported here, as few commands need it.
        from treadle.integrations.s3.patterns import KeyPattern
        from treadle.integrations.s3.selection import S3Selection

        prefixes, suffixes = self.key_prefixes or ("",), self.key_suffixes or ("",)
        return S3Selection(self.buckets or ("",), prefixes, suffixes, pattern=KeyPattern.of(self.key_pattern))

    @property
    def has_queue(self) -> bool:
        """Return whether it has a queue."""
        kind = self.sensor_kind
        return kind.subscribes or kind.has_deadlines or (kind.has_interval and self.interval < MINUTE)

    @property
    def has_rule(self) -> bool:
        """Return whether an EventBridge rule sends to its queue."""
        return self.sensor_kind.subscribes

    @property
    def flags(self) -> Set[str]:
        """Return the flags that select sections of the fragments."""
        kind = self.sensor_kind
        given = {
            "schedule": kind.has_schedule,
            "deadline": kind.has_deadlines,
            "waits": kind.status is not None and not kind.watches,
            "failure": kind.status == "FAILURE",
            "reads": self.reads,
            "queue": self.has_queue,
            "rule": self.has_rule,
            "s3": kind.has_objects,
            "event": kind.has_pattern,
            "consumes": kind.consumes,
            "webhook": kind.has_endpoint,
            "stream": kind.has_stream,
            "table": self.is_of_table,
            "identified": self.verification != "token",
            "simple": not (kind.has_objects or kind.consumes or kind.has_endpoint or kind.has_stream),
            "selective": kind.has_pattern and is_selective(self.pattern),
            "bus": self.bus != DEFAULT_BUS,
            "prefix": kind.has_objects and self.selection.listed_prefixes != ("",),
            "key_pattern": bool(self.key_pattern),
            "job": self.job is not None,
            "upstream": bool(self.upstream),
            "imports_job": self.job is not None or bool(self.upstream),
            "hours": bool(self.hours),
        }
        return {flag for flag, is_set in given.items() if is_set}

    @property
    def stream_arn(self) -> str:
        """Return the ARN of its stream, as YAML."""
        return f"'{self.stream}'" if self.stream.startswith("arn:") else f"!Sub '{KINESIS}{self.stream}'"

    @property
    def is_of_table(self) -> bool:
        """Return whether its stream is that of a table."""
        return ":dynamodb:" in self.stream

    def block(self) -> str:
        """Return its block of the template."""
        return self.fragment("sensors/block.yaml")

    def fragment(self, file: str) -> str:
        """Fill in one of this package's templates.

        Args:
            file: the template's name.
        """
        return fill(_template(file), {**CONTRACT_PARTS, **self._names(), **self._resources()}, self.flags)

    def _names(self) -> Mapping[str, str]:
        return {
            "sensor": self.name,
            "Sensor": self.prefix,
            "does": self.does,
            "job": self.job or "",
            "interval": str(self.interval),
            **self._hours(),
            "kind": self.sensor_kind.kind,
            "status": self.sensor_kind.status or "",
            "definitions": "".join(f'    JobDefinition("{job}"),\n' for job in self.upstream).rstrip(),
            "asset_keys": "".join(f"    {_asset_key(asset)},\n" for asset in self.assets).rstrip(),
            "asset_key": _asset_key(self.assets[0]) if self.assets else "",
            "asset": self.assets[0] if self.assets else "",
            "first": self.upstream[0] if self.upstream else "process_file",
            "bucket": self.buckets[0] if self.buckets else "",
            "key_pattern": json.dumps(self.key_pattern, ensure_ascii=False),
            "deadlines": self.deadlines,
            "time_zone": self.time_zone,
            "key_code": "KEY" if self.key_pattern else '"monday.csv"',
            "key": self._key(),
            "queue": self.queue,
            "stream": stream_name(self.stream),
            "sample_arn": self.stream if self.stream.startswith("arn:") else f"{SAMPLE_KINESIS}{self.stream}",
            **self._webhook(),
            "pattern_code": literal(self.pattern),
            **self._sample(),
        }

    def _hours(self) -> Mapping[str, str]:
        """Return its hours as code, and when its schedule invokes it."""
        if not self.hours:
            return {"times": "cron(* * * * ? *)", "windows": "", "zone": ""}
        # Imported here, as few sensors have hours.
        from treadle.definitions.hours import Hours, cron_hull

        windows, zone = self.hours.rsplit(" ", 1)
        times = cron_hull(Hours.parse(self.hours), int(time.time() * 1000))
        return {"times": times, "windows": windows, "zone": zone}

    def _key(self) -> str:
        """Return the key of an object that it watches."""
        selection = self.selection
        if selection.pattern is not None:
            return selection.pattern.example
        return f"{selection.prefixes[0]}orders{selection.suffixes[0]}"

    def _webhook(self) -> Mapping[str, str]:
        """Return how it verifies its sender, and what it may read for that."""
        name = VERIFICATIONS[self.verification]
        imported = sorted([name, "JobDefinition", "RunRequest", "WebhookSensorContext"])
        is_parameter = self.secret.startswith(SSM)
        secret = self.secret.removeprefix(SSM).partition("#")[0]
        service, resource = (
            ("ssm", f"parameter/{secret.lstrip('/')}")
            if is_parameter
            else ("secretsmanager", f"secret:{secret}-??????")
        )
        return {
            "verification": name,
            "imports": "\n".join(f"    {each}," for each in [*imported, "evaluator", "webhook_sensor"]),
            "secret_action": "ssm:GetParameter" if is_parameter else "secretsmanager:GetSecretValue",
            "secret_arn": f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}",
        }

    def _sample(self) -> Mapping[str, str]:
        """Return an event that it watches, as JSON and in parts as code."""
        event = sample_event(self.pattern)
        return {
            "event": json.dumps(event, indent=2, ensure_ascii=False),
            "event_code": literal(arguments_of(event, self.pattern)),
        }

    def _resources(self) -> Mapping[str, str]:
        """Return the parts of its block that depend on its kind."""
        kind = self.sensor_kind
        policies = [CONTRACT_PARTS["evaluator_policy"]]
        waits = kind.status is not None and not kind.watches
        policies += [CONTRACT_PARTS["run_reader_policy"]] if self.reads or waits else []
        policies += [CONTRACT_PARTS["asset_reader_policy"]] if kind.subscribes_to_assets else []
        tags = f"treadle:sensor: {self.name}" + (", treadle:reads: runs" if self.reads else "")
        entry = f',"interval":"{self.interval}"' if kind.has_interval else ""
        entry += f',"hours":"{self.hours}"' if self.hours else ""
        entry += f',"queue":"${{{self.prefix}Queue}}"' if self.has_queue else ""
        entry += f',"queue":"{QUEUE_URL}{self.queue}"' if kind.consumes else ""
        entry += f',"rule":"${{{self.prefix}Rule}}"' if self.has_rule else ""
        return {
            "policies": ", ".join(policies),
            "tags": tags,
            "queue_arn": f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{self.queue}",
            "bucket_arns": _one_or_list(
                [f"!Sub 'arn:${{AWS::Partition}}:s3:::{bucket}'" for bucket in self.buckets]
            ),
            "listed": _one_or_list([f"'{prefix}*'" for prefix in self.selection.listed_prefixes]),
            "stream_arn": self.stream_arn,
            "stream_type": "DynamoDB" if self.is_of_table else "Kinesis",
            "stream_service": "dynamodb" if self.is_of_table else "kinesis",
            "variables": _flow(self._variables(), 10),
            "event_pattern": json.dumps(self.pattern, ensure_ascii=False),
            "event_bus": CONTRACT_PARTS["bus"] if self.bus == ENGINES_BUS else f"'{self.bus}'",
            "source": "aws.s3" if kind.has_objects else "treadle",
            "detail_type": kind.detail_type,
            "detail": self._detail(),
            "entry_fields": entry,
        }

    def _variables(self) -> list[str]:
        kind = self.sensor_kind
        found = [f"TREADLE_KIND: {kind.kind}", "TREADLE_DEFAULT_STATUS: STOPPED"]
        found += [f"TREADLE_INTERVAL_SECONDS: '{self.interval}'"] if kind.has_interval else []
        found += [f"TREADLE_HOURS: '{self.hours}'"] if self.hours else []
        found += [f"TREADLE_QUEUE_URL: !Ref {self.prefix}Queue"] if self.has_queue else []
        found += [f"TREADLE_QUEUE_URL: !Sub '{QUEUE_URL}{self.queue}'"] if kind.consumes else []
        found += [f"TREADLE_STREAM_ARN: {self.stream_arn}"] if kind.has_stream else []
        if kind.has_endpoint:
            found.append(f"TREADLE_WEBHOOK_SECRET: '{self.secret}'")
            found.append(f"TREADLE_WEBHOOK_ENDPOINT: !GetAtt {self.prefix}Api.ApiEndpoint")
        if kind.watches:
            found.append(f"TREADLE_MONITORED_JOBS: '{','.join(self.upstream)}'")
        found += [f"TREADLE_TIME_ZONE: {self.time_zone}"] if kind.has_deadlines else []
        if kind.has_objects:
            selection = self.selection
            settings = {
                "BUCKET": selection.buckets,
                "PREFIX": selection.listed_prefixes,
                "SUFFIX": selection.suffixes,
            }
            found += [
                f"TREADLE_S3_{name}: '{values[0] if len(values) == 1 else json.dumps(values, ensure_ascii=False)}'"
                for name, values in settings.items()
                if values != ("",)
            ]
        return found

    def _detail(self) -> str:
        """Return what its rule matches in an event's detail, on one line."""
        kind = self.sensor_kind
        if kind.has_objects:
            filters = ", ".join(self._key_filters())
            found = [f"bucket: {{ name: [{', '.join(map(_quoted, self.buckets))}] }}"]
            found += [f"object: {{ key: [{filters}] }}"] if filters else []
            return ", ".join(found)
        found = [f"namespace: [{CONTRACT_PARTS['namespace']}]"]
        found += [f"status: [{kind.status}]"] if kind.status else []
        found += [f"job: [{', '.join(self.upstream)}]"] if self.upstream else []
        found += [f"asset_key: [{', '.join(map(_quoted, self.assets))}]"] if self.assets else []
        return ", ".join(found)

    def _key_filters(self) -> list[str]:
        """Return what the rule matches keys with, each an alternative to the others.

        An account has at most 30 rules with wildcards (EventBridge quotas), so these are written only on
        request; otherwise the sensor ignores what it does not watch.
        """
        selection = self.selection
        pattern, prefixes = selection.pattern, selection.listed_prefixes
        if self.wildcard and pattern:
            return [f"{{ wildcard: '{pattern.wildcard}' }}"]
        if self.wildcard:
            return [f"{{ wildcard: '{one}*{other}' }}" for one in prefixes for other in selection.suffixes]
        if prefixes != ("",):
            return [f"{{ prefix: '{each}' }}" for each in prefixes]
        suffixes = selection.suffixes if selection.suffixes != ("",) or not pattern else (pattern.suffix,)
        return [f"{{ suffix: '{each}' }}" for each in suffixes if each]


CONTRACT_PARTS: Mapping[str, str] = {
    **{name: f"!Select [{number}, !Ref Engine]" for number, name in enumerate(PARTS)},
    "contract": str(CONTRACT),
    "registry": "/treadle/${Name}",
}
"""Parts of the engine's contract, by their names in the fragments, as a project's template selects them."""


def fill(text: str, values: Mapping[str, str], flags: Set[str]) -> str:
    """Select a text's sections by flags, and replace `{{name}}`.

    Args:
        text: a template's text.
        values: by name.
        flags: the flags that are set.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _chosen(text, flags))


def _template(file: str) -> str:
    return resources.files("treadle.cli").joinpath("templates", file).read_text("utf-8")


def _named(text: str, job: str) -> str:
    """Fill the job's name into a default, in the form of names of AWS resources."""
    return text.replace("{{name}}", job.replace("_", "-"))


def _fields(values: Mapping[str, str | int | None]) -> str:
    """Return the fields of an entry's JSON that have a value, each after a comma."""
    return "".join(f',"{name}":"{value}"' for name, value in values.items() if value is not None)


def _indented(text: str, by: int) -> str:
    return "\n".join(f"{' ' * by}{line}" for line in text.rstrip().splitlines())


def _flow(items: list[str], indent: int, width: int = 130) -> str:
    """Format the entries of a flow mapping on as few lines as possible."""
    lines = [""]
    for item in items:
        longer = f"{lines[-1]} {item},"
        if len(longer) + indent > width and lines[-1]:
            lines.append(f" {item},")
        else:
            lines[-1] = longer
    return f"\n{' ' * (indent - 1)}".join(lines).strip().rstrip(",")


def _quoted(text: str) -> str:
    return f"'{text}'"


def _one_or_list(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"[{', '.join(items)}]"


def _asset_key(asset: str) -> str:
    """Return the code for an asset's key."""
    first, *more = asset.split("/")
    parts = ", ".join(f'"{part}"' for part in (first, *more))
    return f"AssetKey([{parts}])" if more else f"AssetKey({parts})"


def _chosen(text: str, flags: Set[str]) -> str:
    """Return a text's lines that these flags select."""
    kept, opened = [], list[bool]()
    for line in text.splitlines(keepends=True):
        mark = _MARK.fullmatch(line)
        if mark is None:
            kept.append(line if all(opened) else "")
        elif mark[1] == "/":
            opened.pop()
        else:
            opened.append((mark[2] in flags) is (mark[1] == "#"))
    return "".join(kept)
