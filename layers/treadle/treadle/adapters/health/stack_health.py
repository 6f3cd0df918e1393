"""A stack's health snapshot, from many concurrent AWS requests."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.adapters.engine import EngineFunction
from treadle.adapters.health.alert_channels import channel_probe
from treadle.adapters.health.consumed_streams import stream_probe
from treadle.adapters.health.evaluator_policies import holders_probe
from treadle.adapters.health.job_targets import roles_probe, target_probe
from treadle.adapters.health.needs import Need, needs
from treadle.adapters.health.permissions import RECENT_MS, alike, log_probe, permission_probe
from treadle.adapters.health.probes import Probe, Vital, run_probes, taken
from treadle.adapters.health.webhook_secrets import secret_probe
from treadle.adapters.notifications import merging_command, versioning_command
from treadle.adapters.stack import DeployedStack, describe_rule, resources_of
from treadle.adapters.targets.errors import millis_of
from treadle.definitions.objects import ObjectIdentity, each_of
from treadle.definitions.status import FINISHED_STATUSES
from treadle.model.deployment import DeployedSensor
from treadle.model.health import (
    Activity,
    Alarm,
    AlertAddress,
    AlertChannel,
    Backlog,
    Bucket,
    ConsumedQueue,
    ConsumedStream,
    EventTrigger,
    HealthSnapshot,
    JobTarget,
    MissingPermission,
    PolicyHolder,
    SkippedCheck,
    WebhookSecret,
)
from treadle.model.targets import JobSettings
from treadle.ports.deployment import Deployment

METRIC_MINUTES = 15
"""Period within which the newest value counts: CloudWatch lags by a few minutes."""

DEAD_LETTERS = "DeadLetterQueue"

GONE = "it no longer exists"

_ALARM = "AWS::CloudWatch::Alarm"
_FUNCTION = "AWS::Lambda::Function"
_POLICY = "AWS::IAM::ManagedPolicy"
_ON = {"Enabled", "Enabling", "Creating", "Updating"}
_FINE = ("OK", "No records processed")
_FED_BY = {
    **dict.fromkeys(
        (
            "BatchRule",
            "EcsRule",
            "GlueRule",
            "JoinedAssetsRule",
            "LambdaRule",
            "ReportsRule",
            "StepFunctionsRule",
        ),
        "record",
    ),
    "ReconcileFunctionRegistry": "reconcile",
}
"""The engine's rules that are not named after the component that they invoke."""

_STEPS = {"Dispatch", "Launch", "Record", "Publish", "Reconcile"}
_PREFIX = 20
"""Minimum number of characters of the stack's name at the start of a schedule's name (CloudFormation)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric with one dimension, to be read for each of the last minutes."""

    namespace: str
    name: str
    dimension: str
    value: str
    statistic: str = "Maximum"


class StackHealth:
    """A `Health` of a deployed stack.

    Args:
        stack: the engine's.
        deployment: the registered sensors.
        jobs: the settings of each registered job, by name.
        alerts: returns the alert addresses of a sensor, by its name and environment; None to skip them.
    """

    def __init__(
        self,
        stack: DeployedStack,
        deployment: Deployment,
        jobs: Mapping[str, JobSettings],
        alerts: Callable[[str, Mapping[str, str]], Iterable[AlertAddress]] | None = None,
    ) -> None:
        self._alert_addresses = alerts
        self._stack = stack
        self._deployment = deployment
        self._jobs = jobs

    def snapshot(self, owner: str | None = None) -> HealthSnapshot:
        """Return the current snapshot: about eighty requests, two dozen at a time; a few for one component."""
        probes = [*self._switches(owner), *self._queues(owner), *self._consumed(owner), *self._secrets(owner)]
        if owner is None:
            probes += [*self._buckets(), *self._targets(), *self._alarms()]
            probes += [*self._permissions(), *self._policies(), *self._logs(), *self._alerts()]
        found = run_probes(
            [*probes, Probe("queues", "the age of messages", "cloudwatch:GetMetricData", self._ages(owner))]
        )
        return HealthSnapshot(
            switches=_only(found, EventTrigger),
            backlogs=_joined(_only(found, Backlog)),
            buckets=_only(found, Bucket),
            targets=_only(found, JobTarget),
            denials=_only(found, MissingPermission),
            holders=_only(found, PolicyHolder),
            alarms=_only(found, Alarm),
            channels=_only(found, AlertChannel),
            activities=_only(found, Activity),
            clock_ahead_ms=clock_ahead() if owner is None else None,
            unread=tuple(dict.fromkeys(_only(found, SkippedCheck))),
            queues=_only(found, ConsumedQueue),
            streams=_only(found, ConsumedStream),
            secrets=_only(found, WebhookSecret),
        )

    def _sensors(self, owner: str | None = None) -> list[DeployedSensor]:
        """Return the registered sensors, or only the given owner's."""
        return [each for each in self._deployment.sensors().values() if owner in {None, _step(each)}]

    def _of_type(self, kind: str, end: str, owner: str | None = None) -> Iterator[tuple[str, str, str]]:
        """Yield owner, logical id and physical id of a type's resources in the stack, but not of sensors."""
        of_sensors = {
            each
            for sensor in self._deployment.sensors().values()
            for each in (sensor.function, sensor.queue, sensor.rule, sensor.log_group)
        }
        for logical_id, found in self._stack.types.items():
            name, whose = self._stack.physical_ids[logical_id], _owner(logical_id, end)
            if found == kind and name not in of_sensors and owner in {None, whose}:
                yield whose, logical_id, name

    def _of_steps(self, kind: str, owner: str | None) -> Iterator[tuple[str, str]]:
        """Yield owner and physical id of what invokes the engine's own functions."""
        for whose, logical_id, name in self._of_type(kind, "Function", owner):
            if logical_id.partition("Function")[0] in _STEPS:
                yield whose, name

    # ---- Targets of jobs

    def _targets(self) -> Iterator[Probe]:
        with_role = [each for each in self._jobs.values() if each.role and each.arn]
        yield from (target_probe(each) for each in self._jobs.values() if each not in with_role)
        if with_role:
            yield roles_probe(
                with_role, EngineFunction(self._stack.physical_ids.get("ReconcileFunction", ""))
            )

    # ---- Triggers

    def _switches(self, owner: str | None) -> Iterator[Probe]:
        for whose, name in self._of_steps("AWS::Scheduler::Schedule", owner):
            yield Probe("schedules", "the schedules", "scheduler:GetSchedule", _schedule(whose, name))
        for whose, _, name in self._of_type("AWS::Events::Rule", "Rule", owner):
            yield Probe("rules", "the rules", "events:DescribeRule", _rule(self._stack, whose, name))
        for whose, name in self._of_steps("AWS::Lambda::EventSourceMapping", owner):
            yield Probe(
                "mappings", "the event source mappings", "lambda:GetEventSourceMapping", _mapping(whose, name)
            )
        sensors = self._sensors(owner)
        if scheduled := [each for each in sensors if each.has_schedule and not each.problem]:
            check = _schedules_of(scheduled)
            yield Probe("schedules", "the schedules of sensors", "scheduler:ListSchedules", check)
        for each in sensors:
            if each.rule:
                check = _rule(self._stack, _step(each), each.rule, self._unpublished(each))
                yield Probe("rules", "the rules", "events:DescribeRule", check)
            source = self._stack.arn_of_queue(each.queue) if each.queue else each.stream
            if source and not each.problem:
                what, action = "the event source mappings", "lambda:ListEventSourceMappings"
                yield Probe("mappings", what, action, _mapping_of(each, source))

    def _unpublished(self, sensor: DeployedSensor) -> str:
        """Return the statuses of runs that a sensor's rule matches, and that the engine does not publish."""
        if self._stack.environment.get("TREADLE_RUN_EVENTS") != "ends" or sensor.subscription is None:
            return ""
        return ", ".join(each for each in sensor.subscription.statuses if each not in FINISHED_STATUSES)

    # ---- Backlogs

    def _queues_of(self, owner: str | None) -> Iterator[tuple[str, str]]:
        """Yield owner and URL of the queues; "" owns the dead letters."""
        for whose, logical_id, url in self._of_type("AWS::SQS::Queue", "Queue", owner):
            yield "" if logical_id == DEAD_LETTERS else whose, url
        for each in self._sensors(owner):
            if each.queue:
                yield _step(each), each.queue
        if owner is None:
            # Each project's queue once, however many sensors it has.
            for url in sorted({each.dead_letters for each in self._sensors() if each.dead_letters}):
                if url != self._stack.queue_urls.get(DEAD_LETTERS):
                    yield "", url

    def _queues(self, owner: str | None) -> Iterator[Probe]:
        for whose, url in self._queues_of(owner):
            yield Probe("queues", "the queues", "sqs:GetQueueAttributes", _queue(whose, url))

    def _ages(self, owner: str | None) -> Any:
        """Return the probe of ages of messages and stream records, and functions' activity: one request."""
        functions = [(whose, name) for whose, _, name in self._of_type(_FUNCTION, "Function", owner)]
        functions += [(_step(each), each.function) for each in self._sensors(owner)]
        measured = [
            (
                Backlog(whose, url.rpartition("/")[2], 0),
                "AWS/SQS",
                "ApproximateAgeOfOldestMessage",
                "QueueName",
            )
            for whose, url in self._queues_of(owner)
            if whose
        ]
        measured += [
            (Backlog(whose, name, None), "AWS/Lambda", "IteratorAge", "FunctionName")
            for whose, name in functions
        ]
        counted = [
            _Metric("AWS/Lambda", metric, "FunctionName", name, "Sum")
            for _, name in functions
            for metric in ("Invocations", "Errors")
        ]

        def check() -> Iterator[Backlog | Activity]:
            ages = [_Metric(space, metric, name, each.name) for each, space, metric, name in measured]
            found = _metrics([*ages, *counted])
            for (each, _, metric, _), values in zip(measured, found, strict=False):
                if values:
                    seconds = values[0] / 1000 if metric == "IteratorAge" else values[0]
                    yield replace(each, oldest_seconds=seconds)
            counts = found[len(measured) :]
            for (whose, name), invocations, errors in zip(functions, counts[::2], counts[1::2], strict=True):
                yield Activity(whose, name, int(sum(invocations)), _errors_of_late(invocations, errors))

        return check

    # ---- Others

    def _buckets(self) -> Iterator[Probe]:
        for sensor in self._sensors():
            for bucket in buckets_of(sensor):
                yield Probe(
                    "buckets", f"bucket {bucket}", "s3:GetBucketNotification", _bucket(sensor.name, bucket)
                )
                if sensor.settings.get("TREADLE_S3_IDENTITY") == ObjectIdentity.VERSION:
                    what, check = f"the versioning of bucket {bucket}", _versioning(sensor.name, bucket)
                    yield Probe("buckets", what, "s3:GetBucketVersioning", check)

    def _consumed(self, owner: str | None) -> Iterator[Probe]:
        """Yield the probes of the queues and streams of others that sensors consume."""
        for sensor in self._sensors(owner):
            if sensor.consumes_queue and sensor.queue and not sensor.problem:
                what = f"queue {sensor.queue.rpartition('/')[2]}"
                yield Probe("queues", what, "sqs:ListQueueTags", _consumed_queue(sensor, sensor.queue))
            if sensor.stream and not sensor.problem:
                yield stream_probe(sensor)

    def _secrets(self, owner: str | None) -> Iterator[Probe]:
        """Yield the probes of the secrets of webhook sensors."""
        for sensor in self._sensors(owner):
            if sensor.secret and not sensor.problem:
                yield secret_probe(sensor.name, sensor.secret)

    def _alarms(self) -> Iterator[Probe]:
        """Yield the probes of the alarms of the engine's stack and of each project."""
        yield _alarms_of([name for _, _, name in self._of_type(_ALARM, "Alarm")], "AlarmTopicArn")
        for project in sorted({each.project for each in self._sensors()} - {"", self._stack.name}):
            what = f"the alarms of project {project}"
            yield Probe("alarms", what, "cloudformation:ListStackResources", _alarms_of_project(project))

    def _permissions(self) -> Iterator[Probe]:
        for each in alike(needs(self._stack, self._sensors(), self._jobs.values())):
            yield permission_probe(self._stack, *each)

    def _policies(self) -> Iterator[Probe]:
        """Who has the policies of evaluators, which are the only managed ones of the engine's stack."""
        if policies := [arn for _, _, arn in self._of_type(_POLICY, "Policy")]:
            yield holders_probe(policies)

    def _alerts(self) -> Iterator[Probe]:
        """Yield the probes of the sensors' alert channels."""
        if self._alert_addresses is None:
            return
        for sensor in self._sensors():
            for address in self._alert_addresses(sensor.name, sensor.settings):
                yield channel_probe(address, functools.partial(self._may, sensor))

    def _may(self, sensor: DeployedSensor, action: str, resource: str) -> Iterator[Probe]:
        """Yield the probe of a sensor's role for an action."""
        if sensor.role:
            need = Need(_step(sensor), sensor.role, resource, (action,), {})
            yield permission_probe(self._stack, need)

    def _logs(self) -> Iterator[Probe]:
        since = int(time.time() * 1000) - RECENT_MS
        for owner, _, group in self._of_type("AWS::Logs::LogGroup", "Logs"):
            yield log_probe(owner, group, since)
        groups: dict[str, list[str]] = {}
        for each in self._sensors():
            if not each.problem:
                groups.setdefault(each.log_group, []).append(each.name)
        for group, names in groups.items():
            yield log_probe(f"sensor {', '.join(names)}", group, since)


def _step(sensor: DeployedSensor) -> str:
    """Return the owner name of a sensor."""
    return f"sensor {sensor.name}"


def _owner(logical_id: str, end: str) -> str:
    """Return the component that a resource of the engine's stack belongs to, by its logical id."""
    if logical_id in _FED_BY:
        return _FED_BY[logical_id]
    prefix = logical_id.partition(end)[0]
    return prefix.lower() if prefix in _STEPS else prefix


def buckets_of(sensor: DeployedSensor) -> tuple[str, ...]:
    """Return the buckets that a sensor watches, from its function or its rule."""
    if setting := sensor.settings.get("TREADLE_S3_BUCKET"):
        return each_of(setting)
    return sensor.subscription.buckets if sensor.subscription else ()


def clock_ahead() -> int | None:
    """Return this machine's clock minus AWS's, in milliseconds, to about a second; None if unknown."""
    began = time.time()
    try:
        answer: Mapping[str, Any] = client("sts").get_caller_identity()
    except ClientError as error:
        answer = error.response  # AWS denies a clock that is off by over five minutes, and returns its time.
    except BotoCoreError:
        return None
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        return None
    # The header has whole seconds: adding half a second minimizes the error.
    server_time = parsedate_to_datetime(date).timestamp() + 0.5
    return int(((began + time.time()) / 2 - server_time) * 1000)


def _only(found: Sequence[Vital], kind: type[T]) -> tuple[T, ...]:
    return tuple(each for each in found if isinstance(each, kind))


def _joined(backlogs: Iterable[Backlog]) -> tuple[Backlog, ...]:
    """Merge the values of queue attributes and metrics; an empty queue has no age."""
    joined: dict[tuple[str, str], Backlog] = {}
    for each in backlogs:
        key = (each.owner, each.name)
        known = joined.get(key)
        if known is None or each.waiting is None:
            joined[key] = each
        elif each.oldest_seconds is not None and (known.waiting or known.in_flight):
            joined[key] = replace(known, oldest_seconds=each.oldest_seconds)
    return tuple(joined.values())


def _schedule(owner: str, name: str) -> Any:
    def check() -> Iterator[EventTrigger]:
        try:
            response = client("scheduler").get_schedule(Name=name)
        except ClientError as error:
            yield _gone("schedule", owner, name, error)
            return
        yield EventTrigger("schedule", owner, name, response.get("State") != "DISABLED")

    return check


def _schedules_of(sensors: Sequence[DeployedSensor]) -> Any:
    """Return the probe of sensors' schedules, found by target, as the registry does not list them."""

    def check() -> Iterator[EventTrigger]:
        missing = {each.function: each for each in sensors}
        # First those named after the sensors' projects, as CloudFormation names them; then all of the account
        # if needed.
        prefixes = sorted({each.project[:_PREFIX] for each in sensors if each.project})
        for options in (*({"NamePrefix": each} for each in prefixes), {}):
            if not missing:
                return
            found: dict[str, list[Mapping[str, Any]]] = {}
            for page in client("scheduler").get_paginator("list_schedules").paginate(**options):
                for schedule in page["Schedules"]:
                    arn = schedule.get("Target", {}).get("Arn", "")
                    function = arn.partition(":function:")[2].partition(":")[0]
                    if function in missing:
                        found.setdefault(function, []).append(schedule)
            for function, schedules in found.items():
                owner = _step(missing.pop(function))
                for each in schedules:
                    yield EventTrigger("schedule", owner, each["Name"], each.get("State") != "DISABLED")
        for function, sensor in missing.items():
            yield EventTrigger("schedule", _step(sensor), f"of {function}", is_on=False, error=GONE)

    return check


def _mapping_of(sensor: DeployedSensor, source: str) -> Any:
    """Return the probe of the event source mapping from a sensor's queue or stream to its function."""

    def check() -> Iterator[EventTrigger]:
        pages = client("lambda").get_paginator("list_event_source_mappings")
        found = [
            each
            for page in pages.paginate(FunctionName=sensor.function)
            for each in page["EventSourceMappings"]
            if each.get("EventSourceArn") == source
        ]
        for each in found:
            yield _switch_of(_step(sensor), each["UUID"], each)
        if not found:
            name = f"of {source.rpartition(':')[2]}"
            yield EventTrigger("mapping", _step(sensor), name, is_on=False, error=GONE)

    return check


def _rule(stack: DeployedStack, owner: str, name: str, missing: str = "") -> Any:
    def check() -> Iterator[EventTrigger]:
        rule = describe_rule(stack, name)
        problem = "" if rule is not None else GONE
        is_on = rule is not None and rule.get("State") != "DISABLED"
        yield EventTrigger("rule", owner, name, is_on, problem, missing)

    return check


def _mapping(owner: str, uuid: str) -> Any:
    def check() -> Iterator[EventTrigger]:
        try:
            response = client("lambda").get_event_source_mapping(UUID=uuid)
        except ClientError as error:
            yield _gone("mapping", owner, uuid, error)
            return
        yield _switch_of(owner, uuid, response)

    return check


def _switch_of(owner: str, uuid: str, mapping: Mapping[str, Any]) -> EventTrigger:
    """Convert an event source mapping."""
    result = mapping.get("LastProcessingResult", "")
    problem = "" if not result or result.startswith(_FINE) else result
    return EventTrigger("mapping", owner, uuid, mapping.get("State") in _ON, problem)


def _gone(kind: str, owner: str, name: str, error: ClientError) -> EventTrigger:
    """Return a missing trigger, if the error means that.

    Raises:
        ClientError: the error, if it means something else.
    """
    if code_of(error) != "ResourceNotFoundException":
        raise error
    return EventTrigger(kind, owner, name, is_on=False, error=GONE)


def _queue(owner: str, url: str) -> Any:
    def check() -> Iterator[Backlog]:
        response = client("sqs").get_queue_attributes(
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        waiting = int(response.get("ApproximateNumberOfMessages", "0"))
        in_flight = int(response.get("ApproximateNumberOfMessagesNotVisible", "0"))
        yield Backlog(owner, url.rpartition("/")[2], waiting, in_flight)

    return check


def _alarms_of(names: Sequence[str], setting: str) -> Probe:
    """Return the probe of alarms, and of the topics that they notify.

    Args:
        names: the alarms' names.
        setting: the setting that selects their topic.
    """

    def check() -> Iterator[Vital]:
        topics: set[str] = set()
        for start in range(0, len(names), 100):
            answer = client("cloudwatch").describe_alarms(
                AlarmNames=names[start : start + 100], MaxRecords=100
            )
            for alarm in answer["MetricAlarms"]:
                topics |= {each for each in alarm.get("AlarmActions", ()) if ":sns:" in each}
                if alarm.get("StateValue", "ALARM") != "ALARM":
                    continue
                since = alarm.get("StateUpdatedTimestamp")
                detail = f"{alarm.get('AlarmDescription', '')} {alarm.get('StateReason', '')}".strip()
                yield Alarm(alarm["AlarmName"], millis_of(since) if since else None, detail)
        for topic in sorted(topics):
            yield from taken(channel_probe(AlertAddress("alarms", "sns", topic, setting)))

    return Probe("alarms", "the alarms", "cloudwatch:DescribeAlarms", check)


def _alarms_of_project(project: str) -> Any:
    """Return the probe of the alarms of a project's stack, found by type: the registry does not list them."""

    def check() -> Iterator[Vital]:
        try:
            names = [name for kind, name in resources_of(project) if kind == _ALARM]
        except ClientError as error:
            # The error for a stack that does not exist ("DescribeStacks" in the CloudFormation API
            # Reference): either each
            # function of such a project is missing, which is a finding, or it was deployed by other means.
            if code_of(error) != "ValidationError":
                raise
            return
        yield from taken(_alarms_of(names, f"AlarmActions of project {project}"))

    return check


def _bucket(sensor: str, bucket: str) -> Any:
    def check() -> Iterator[Bucket]:
        try:
            response = client("s3").get_bucket_notification_configuration(Bucket=bucket)
        except ClientError as error:
            if code_of(error) not in {"NoSuchBucket", "404", "PermanentRedirect", "301"}:
                raise
            yield Bucket(sensor, bucket, f"Bucket {bucket} cannot be watched: {error}")
            return
        announces = "EventBridgeConfiguration" in response
        yield Bucket(sensor, bucket, announces=announces, remedy=merging_command(bucket))

    return check


def _consumed_queue(sensor: DeployedSensor, url: str) -> Any:
    def check() -> Iterator[ConsumedQueue]:
        name = url.rpartition("/")[2]
        try:
            found = (
                client("sqs")
                .get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy", "VisibilityTimeout"])
                .get("Attributes", {})
            )
            tags = client("sqs").list_queue_tags(QueueUrl=url).get("Tags", {})
        except ClientError as error:
            if "NonExistentQueue" not in code_of(error) and "QueueDoesNotExist" not in code_of(error):
                raise
            yield ConsumedQueue(sensor.name, name, error=f"Queue {name} does not exist")
            return
        function = client("lambda").get_function_configuration(FunctionName=sensor.function)
        yield ConsumedQueue(
            sensor.name,
            name,
            tags.get("treadle:sensor", ""),
            "RedrivePolicy" in found,
            int(found.get("VisibilityTimeout", "30")),
            int(function.get("Timeout", 0)),
        )

    return check


def _versioning(sensor: str, bucket: str) -> Any:
    def check() -> Iterator[Bucket]:
        try:
            response = client("s3").get_bucket_versioning(Bucket=bucket)
        except ClientError as error:
            if code_of(error) not in {"NoSuchBucket", "404", "PermanentRedirect", "301"}:
                raise
            return  # Reported by the other probe of the bucket.
        if response.get("Status") != "Enabled":
            remedy = versioning_command(bucket)
            yield Bucket(sensor, bucket, has_versions=False, versioning_remedy=remedy)

    return check


def _errors_of_late(invocations: Sequence[float], errors: Sequence[float]) -> int:
    """Return the number of failed invocations since the last minute with a successful one.

    Lambda records both metrics at each invocation, so that they have values for the same minutes.

    Args:
        invocations: per minute, newest first.
        errors: failed invocations per minute, newest first.
    """
    failed = 0.0
    for number, wrong in zip(invocations, errors, strict=False):
        if wrong < number:
            break
        failed += wrong
    return int(failed)


def _newest_first(result: Mapping[str, Any]) -> list[float]:
    """Return a metric's values, newest first; local clouds ignore the requested order."""
    values: list[float] = result["Values"]
    times = result.get("Timestamps", ())
    if len(times) != len(values):
        return values
    return [value for _, value in sorted(zip(times, values, strict=True), reverse=True)]


def _metrics(metrics: Sequence[_Metric]) -> list[list[float]]:
    """Return the values of each metric within the last minutes, newest first."""
    now = datetime.now(UTC)
    queries = [
        {
            "Id": f"m{index}",
            "MetricStat": {
                "Metric": {
                    "Namespace": each.namespace,
                    "MetricName": each.name,
                    "Dimensions": [{"Name": each.dimension, "Value": each.value}],
                },
                "Period": 60,
                "Stat": each.statistic,
            },
        }
        for index, each in enumerate(metrics)
    ]
    found: dict[str, list[float]] = {}
    for start in range(0, len(queries), 500):
        answer = client("cloudwatch").get_metric_data(
            MetricDataQueries=queries[start : start + 500],
            StartTime=now - timedelta(minutes=METRIC_MINUTES),
            EndTime=now + timedelta(minutes=1),
            ScanBy="TimestampDescending",
        )
        found |= {each["Id"]: _newest_first(each) for each in answer["MetricDataResults"]}
    return [found.get(f"m{index}", []) for index in range(len(metrics))]
