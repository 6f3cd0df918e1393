"""The permissions that the deployment's roles need, with the condition keys that their policies check."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from treadle.adapters.dynamodb.batches import BATCH
from treadle.adapters.dynamodb.deliveries import REQUESTS
from treadle.adapters.dynamodb.engine_state import ENGINE, LATE
from treadle.adapters.dynamodb.partitions import PREFIX as PARTITIONS
from treadle.adapters.dynamodb.pools import PREFIX as POOL
from treadle.adapters.dynamodb.pools import QUEUES as POOL_QUEUES
from treadle.adapters.dynamodb.registry import KEY as REGISTRY
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES
from treadle.adapters.stack import DeployedStack
from treadle.definitions.objects import each_of
from treadle.definitions.payloads import FOLDER
from treadle.engine.publish.bus_events import SOURCE
from treadle.engine.record.arns import full_address
from treadle.model.assets import ended_runs_key
from treadle.model.deployment import BATCH_KINDS, SSM, DeployedSensor
from treadle.model.registry import JOBS, POOLS, SENSORS, path_of
from treadle.model.targets import JobSettings

_TAKING = ("sqs:ReceiveMessage", "sqs:DeleteMessage")
_APPENDING = ("dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
_BATCHING = (
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
)
_CREATING = ("dynamodb:BatchGetItem", "dynamodb:PartiQLInsert")
"""What creates many runs in one request: without it they are created one by one."""

_ANYTHING = "treadle-doctor"
"""A placeholder for any asset, job, task, execution or object."""

_OF_POOLS = {
    "dispatch": ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"),
    "launch": ("dynamodb:PutItem", "dynamodb:DeleteItem"),
    "record": ("dynamodb:PutItem", "dynamodb:DeleteItem"),
    "reconcile": ("dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"),
}
"""What each component does with the slots and queues of concurrency pools."""

_OF_REGISTRY = {
    "dispatch": ("dynamodb:GetItem",),
    "launch": ("dynamodb:GetItem",),
    "record": ("dynamodb:GetItem",),
    "reconcile": ("dynamodb:GetItem", "dynamodb:PutItem"),
}
"""What each component does with the registry's copy."""

Context = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Need:
    """A permission that a role needs.

    Attributes:
        owner: the component.
        role: the role's ARN.
        resource: the resource's ARN; "*" for actions without one.
        actions: the actions on it.
        context: the values of the calls' condition keys.
    """

    owner: str
    role: str
    resource: str
    actions: tuple[str, ...]
    context: Context = field(default_factory=dict)


def needs(
    stack: DeployedStack, sensors: Iterable[DeployedSensor], jobs: Iterable[JobSettings]
) -> Iterator[Need]:
    """Yield the functions' required permissions, one role and resource at a time.

    A policy may apply only to calls with a certain value, such as an item's key or an ECS cluster. IAM's
    simulation knows only the values that it is given, and treats a missing key as a mismatch (IAM User Guide,
    "Testing IAM policies with the IAM policy simulator"). So each need lists everything that the templates'
    conditions and policy variables check, including the tags of role and resource: SimulatePrincipalPolicy
    receives these as context entries, too (IAM API Reference). They are the values of a healthy deployment,
    and are not read from it.

    Args:
        stack: the engine's.
        sensors: the registered sensors; the needs of unreadable ones are unknown.
        jobs: the settings of each registered job.
    """
    arns = _Arns(stack)
    for sensor in sensors:
        if sensor.role:
            yield from _of_sensor(arns, sensor)
    of_jobs = (each for job in jobs if job.arn for each in _of_job(arns, job))
    for each in (*_of_engine(arns), *of_jobs):
        yield replace(each, role=arns.role(each.role))


class _Arns:
    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self.engine = stack.environment.get("TREADLE_ENGINE", stack.name)
        self.partition, _, self.region, self.account = stack.arn.split(":")[1:5]

    def of(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def table(self, which: str) -> str:
        return self.of("dynamodb", f"table/{self._stack.environment[f'TREADLE_{which}_TABLE']}")

    def queue(self, logical_id: str) -> str:
        return self._stack.queue_arn(logical_id)

    def of_queue(self, url: str) -> str:
        return self._stack.arn_of_queue(url)

    def role(self, named: str) -> str:
        """Return the ARN of an engine's role, by logical id or ARN; CloudFormation omits a role's path."""
        if named.startswith("arn:"):
            return named
        path = f"treadle/{self.engine}/{self.region}/engine"
        return f"arn:{self.partition}:iam::{self.account}:role/{path}/{self._stack.physical_ids[named]}"

    def payload_bucket(self) -> str:
        bucket = self._stack.environment.get("TREADLE_OUTCOMES_BUCKET")
        return f"arn:{self.partition}:s3:::{bucket}" if bucket else ""

    def bus(self) -> str:
        return self.of("events", f"event-bus/{self._stack.environment.get('TREADLE_BUS_NAME', '')}")


# ---- Sensors


_DEAD_LETTERS = "dead-letters"
"""The value of the tag of queues that every sensor may send to."""

_READS_RUNS = frozenset({"run_status", "all_succeeded", "deadline"})
"""Kinds of sensors whose roles have the tag that allows reading whole runs."""

_QUEUE_TAG = "aws:ResourceTag/treadle:sensor"


def _of_sensor(arns: _Arns, sensor: DeployedSensor) -> Iterator[Need]:
    """Yield the required permissions of a sensor's function; each call has the tags of its role."""
    tags = {
        "aws:PrincipalTag/treadle:sensor": [sensor.name],
        # Policies treat any value other than "runs" like none.
        "aws:PrincipalTag/treadle:reads": ["runs" if sensor.kind in _READS_RUNS else "none"],
    }
    for each in (*_of_every_sensor(arns, sensor), *_of_what_it_watches(arns, sensor)):
        yield Need(f"sensor {sensor.name}", sensor.role, each[0], each[1], {**tags, **each[2]})


_Call = tuple[str, tuple[str, ...], Context]
"""A resource, the actions on it, and their context."""


def _of_every_sensor(arns: _Arns, sensor: DeployedSensor) -> Iterator[_Call]:
    own = {"dynamodb:LeadingKeys": [sensor.name]}
    cursor = {"dynamodb:LeadingKeys": [f"{sensor.name}#cursor"]}
    yield arns.table("SENSORS"), ("dynamodb:GetItem", "dynamodb:UpdateItem"), own
    yield arns.table("SENSORS"), ("dynamodb:GetItem", "dynamodb:PutItem"), cursor
    yield arns.table("SENSORS"), ("dynamodb:GetItem",), {"dynamodb:LeadingKeys": [ENGINE]}
    yield arns.table("TICKS"), ("dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:PartiQLInsert"), own
    partitions = {"dynamodb:LeadingKeys": [f"{PARTITIONS}{_ANYTHING}"]}
    yield arns.table("EVENTS"), ("dynamodb:BatchGetItem", "dynamodb:Query"), partitions
    known = {"dynamodb:Attributes": list(CLAIM_ATTRIBUTES), "dynamodb:Select": ["SPECIFIC_ATTRIBUTES"]}
    yield arns.table("RUNS"), ("dynamodb:BatchGetItem",), known
    if bucket := sensor.settings.get("TREADLE_OUTCOMES_BUCKET"):
        for folder in ("ticks", "large"):
            payload = f"arn:{arns.partition}:s3:::{bucket}/{folder}/{sensor.name}/{_ANYTHING}"
            yield payload, ("s3:PutObject",), {}
    if sensor.queue:
        more = "sqs:ChangeMessageVisibility" if sensor.consumes_queue else "sqs:SendMessage"
        yield arns.of_queue(sensor.queue), (*_TAKING, more), {_QUEUE_TAG: [sensor.name]}
    if dead_letter_url := sensor.settings.get("TREADLE_DEAD_LETTER_QUEUE_URL"):
        yield arns.of_queue(dead_letter_url), ("sqs:SendMessage",), {_QUEUE_TAG: [_DEAD_LETTERS]}


def _of_what_it_watches(arns: _Arns, sensor: DeployedSensor) -> Iterator[_Call]:
    subscription, settings = sensor.subscription, sensor.settings
    if subscription and sensor.kind in {"asset", "multi_asset", "assets_updated"}:
        for asset in subscription.assets:
            actions = ("dynamodb:Query", "dynamodb:BatchGetItem")
            yield arns.table("EVENTS"), actions, {"dynamodb:LeadingKeys": [asset]}
    if subscription and sensor.kind == "all_succeeded":
        for job in subscription.jobs:
            yield arns.table("EVENTS"), ("dynamodb:Query",), {"dynamodb:LeadingKeys": [ended_runs_key(job)]}
    yield from _of_objects(arns, settings)
    if sensor.kind in BATCH_KINDS:
        batches = {"dynamodb:LeadingKeys": [f"{sensor.name}{BATCH}"]}
        yield arns.table("TICKS"), _BATCHING, batches
    if stream := sensor.stream:
        service = stream.split(":")[2]
        yield stream, (f"{service}:GetRecords", f"{service}:GetShardIterator"), {}
    if sensor.secret:
        deliveries = {"dynamodb:LeadingKeys": [f"{sensor.name}{REQUESTS}"]}
        yield arns.table("TICKS"), ("dynamodb:BatchGetItem", "dynamodb:PutItem"), deliveries
        yield _secret(arns, sensor.secret)
    sender, receivers = (settings.get(f"TREADLE_ALERT_EMAIL_{end}") for end in ("FROM", "TO"))
    if sender and receivers:
        yield arns.of("ses", f"identity/{sender}"), ("ses:SendEmail",), {"ses:FromAddress": [sender]}


def _of_objects(arns: _Arns, settings: Mapping[str, str]) -> Iterator[_Call]:
    """Yield the listings of each prefix of each bucket that a sensor watches."""
    versions = settings.get("TREADLE_S3_IDENTITY") == "version"
    action = "s3:ListBucketVersions" if versions else "s3:ListBucket"
    for bucket in filter(None, each_of(settings.get("TREADLE_S3_BUCKET", ""))):
        for prefix in each_of(settings.get("TREADLE_S3_PREFIX", "")):
            yield f"arn:{arns.partition}:s3:::{bucket}", (action,), {"s3:prefix": [prefix]}


def _secret(arns: _Arns, secret: str) -> _Call:
    """Return the call by which a webhook sensor reads its secret."""
    if secret.startswith(SSM):
        parameter = secret.removeprefix(SSM).lstrip("/")
        return arns.of("ssm", f"parameter/{parameter}"), ("ssm:GetParameter",), {}
    # Secrets Manager adds six characters to the name.
    name = secret.partition("#")[0]
    return arns.of("secretsmanager", f"secret:{name}-000000"), ("secretsmanager:GetSecretValue",), {}


# ---- The engine's components


def _of_launch(arns: _Arns, launches: str) -> Iterator[Need]:
    yield Need("launch", "LaunchRole", launches, (*_TAKING, "sqs:SendMessage"))
    claiming = ("dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate")
    yield Need("launch", "LaunchRole", arns.table("RUNS"), claiming)
    if bucket := arns.payload_bucket():
        listed = {"s3:prefix": [f"{FOLDER}{_ANYTHING}"]}
        yield Need("launch", "LaunchRole", bucket, ("s3:ListBucket",), listed)


def _of_engine(arns: _Arns) -> Iterator[Need]:
    launches = arns.queue("LaunchQueue")
    get_update = ("dynamodb:GetItem", "dynamodb:UpdateItem")
    get_put = ("dynamodb:GetItem", "dynamodb:PutItem")
    completing = (*get_update, "dynamodb:PartiQLUpdate")
    yield Need("dispatch", "DispatchRole", arns.table("TICKS"), completing)
    yield Need(
        "dispatch", "DispatchRole", arns.table("RUNS"), (*get_put, *_CREATING, "dynamodb:PartiQLUpdate")
    )
    yield Need("dispatch", "DispatchRole", launches, ("sqs:SendMessage",))
    for step in ("dispatch", "reconcile"):
        of_sensor = f"{arns.table('RUNS')}/index/by_sensor"
        yield Need(step, f"{step.title()}Role", of_sensor, ("dynamodb:Query",))
    partitions = {"dynamodb:LeadingKeys": [f"{PARTITIONS}{_ANYTHING}"]}
    for step in ("dispatch", "reconcile"):
        yield Need(step, f"{step.title()}Role", arns.table("EVENTS"), ("dynamodb:UpdateItem",), partitions)
    yield from _of_launch(arns, launches)
    yield Need("record", "RecordRole", arns.queue("RecordQueue"), _TAKING)
    yield Need(
        "record",
        "RecordRole",
        arns.table("RUNS"),
        (*get_put, "dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate"),
    )
    yield Need("publish", "PublishRole", arns.table("RUNS"), ("dynamodb:GetItem",))
    yield Need("publish", "PublishRole", arns.queue("DispatchQueue"), ("sqs:SendMessage",))
    ended = {"dynamodb:LeadingKeys": [ended_runs_key(_ANYTHING)]}
    yield Need("publish", "PublishRole", arns.table("EVENTS"), _APPENDING, ended)
    yield Need("reconcile", "ReconcileRole", f"{arns.table('TICKS')}/index/pending", ("dynamodb:Query",))
    for index in ("watched", "by_job"):
        yield Need("reconcile", "ReconcileRole", f"{arns.table('RUNS')}/index/{index}", ("dynamodb:Query",))
    yield Need("reconcile", "ReconcileRole", arns.table("TICKS"), get_update)
    tags = {"aws:ResourceTag/treadle:engine": [arns.engine], _QUEUE_TAG: [_ANYTHING]}
    function = arns.of("lambda", f"function:{_ANYTHING}")
    yield Need("reconcile", "ReconcileRole", function, ("lambda:InvokeFunction",), tags)
    yield Need("reconcile", "ReconcileRole", arns.table("RUNS"), (*get_put, *_CREATING))
    yield Need("reconcile", "ReconcileRole", launches, ("sqs:SendMessage",))
    for step, actions in _OF_REGISTRY.items():
        registry = {"dynamodb:LeadingKeys": [REGISTRY]}
        yield Need(step, f"{step.title()}Role", arns.table("SENSORS"), actions, registry)
    yield Need("reconcile", "ReconcileRole", arns.table("SENSORS"), ("dynamodb:BatchGetItem",))
    for key in (ENGINE, LATE):
        noted = {"dynamodb:LeadingKeys": [key]}
        yield Need("reconcile", "ReconcileRole", arns.table("SENSORS"), get_put, noted)
    for folder in (SENSORS, JOBS, POOLS):
        entries = arns.of("ssm", f"parameter{path_of(arns.engine)}{folder}")
        yield Need("reconcile", "ReconcileRole", entries, ("ssm:GetParametersByPath",))
        yield Need("reconcile", "ReconcileRole", f"{entries}/{_ANYTHING}", ("ssm:GetParameter",))
    for step in ("dispatch", "record", "reconcile"):
        asset = {"dynamodb:LeadingKeys": [_ANYTHING]}
        yield Need(step, f"{step.title()}Role", arns.table("EVENTS"), _APPENDING, asset)
    slots = {"dynamodb:LeadingKeys": [f"{POOL}{_ANYTHING}"]}
    for step, actions in _OF_POOLS.items():
        yield Need(step, f"{step.title()}Role", arns.table("EVENTS"), actions, slots)
    noted_queues = {"dynamodb:LeadingKeys": [POOL_QUEUES]}
    yield Need("publish", "PublishRole", arns.table("EVENTS"), ("dynamodb:PutItem",), noted_queues)
    for step in ("dispatch", "record", "publish", "reconcile"):
        published = {"events:source": [SOURCE], "events:detail-type": ["Run Status Changed"]}
        yield Need(step, f"{step.title()}Role", arns.bus(), ("events:PutEvents",), published)


# ---- Targets of jobs


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls that a target type requires.

    Attributes:
        start: the resources and actions by which LAUNCH starts it.
        describe: those by which RECORD and RECONCILE query what was started.
        context: the context of all of these.
    """

    start: tuple[tuple[str, tuple[str, ...]], ...]
    describe: tuple[tuple[str, tuple[str, ...]], ...] = ()
    context: Context = field(default_factory=dict)


def _of_job(arns: _Arns, job: JobSettings) -> Iterator[Need]:
    calls = _calls(arns, job)
    if job.role:
        yield from _of_role(arns, job, calls)
        return
    for resource, actions in calls.start:
        yield Need("launch", "LaunchRole", resource, actions, calls.context)
    for step in ("record", "reconcile"):
        for resource, actions in calls.describe:
            yield Need(step, f"{step.title()}Role", resource, actions, calls.context)


def _of_role(arns: _Arns, job: JobSettings, calls: _Calls) -> Iterator[Need]:
    """Yield the needs of a job with a role: the components may assume it, and it allows their calls.

    The role's policies are checked only if it belongs to this account: IAM simulates only principals of the
    caller's account.
    """
    account = job.role.split(":")[4]
    for step in ("launch", "record", "reconcile"):
        session = {"sts:RoleSessionName": [step], "aws:ResourceAccount": [account]}
        yield Need(step, f"{step.title()}Role", job.role, ("sts:AssumeRole",), session)
    if account != arns.account:
        return
    for step, required in (("launch", calls.start), ("reconcile", calls.describe)):
        for resource, actions in required:
            context = {**calls.context, "aws:userid": [f"AROA:{step}"]}
            yield Need(f"job {job.job}", job.role, resource, actions, context)


def _calls(arns: _Arns, job: JobSettings) -> _Calls:
    arn, options = job.arn, job.options
    match job.target:
        case "step_functions":
            execution = f"{arn.replace(':stateMachine:', ':execution:')}:{_ANYTHING}"
            describe = ("states:DescribeExecution",)
            start = ("states:StartExecution", "states:DescribeStateMachine")
            return _Calls(((arn, start), (execution, describe)), ((execution, describe),))
        case "glue":
            glue = full_address("glue", arn, f"{arns.account}/{arns.region}")
            return _Calls(((glue, ("glue:StartJobRun", "glue:GetJobRuns")),), ((glue, ("glue:GetJobRun",)),))
        case "batch":
            submit = ("batch:SubmitJob",)
            definition = full_address("batch", arn, f"{arns.account}/{arns.region}")
            both = [(each, submit) for each in (definition, options.get("queue", "")) if each]
            return _Calls((*both, ("*", ("batch:ListJobs",))), (("*", ("batch:DescribeJobs",)),))
        case "ecs":
            cluster = options.get("cluster", "")
            task = arns.of("ecs", f"task/{cluster.rpartition('/')[2]}/{_ANYTHING}")
            described = ((task, ("ecs:DescribeTasks",)), ("*", ("ecs:DescribeTaskDefinition",)))
            return _Calls(((arn, ("ecs:RunTask",)), *described), described, {"ecs:cluster": [cluster]})
        case "lambda":
            return _Calls(((arn, ("lambda:InvokeFunction",)),))
        case "sqs":
            return _Calls(((arn, ("sqs:SendMessage", "sqs:GetQueueUrl")),))
        case "eventbridge":
            names = {"events:source": "source", "events:detail-type": "detail_type"}
            context = {key: [options.get(option, "")] for key, option in names.items()}
            return _Calls(((arn, ("events:PutEvents",)),), context=context)
    return _Calls(())
