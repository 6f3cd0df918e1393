"""Blocks of sensors and jobs that the scaffold writes: how long they are, and how many fit into a project."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice

import pytest

from tests.support.projects import CONTRACT, ENGINE, GIVEN, Project, project
from tests.support.sam import PYTHON, translated
from tools.project import ROOT
from treadle.adapters.health.job_targets import CHECKS
from treadle.cli.fragments import DEFAULT_BUS, NewJob, NewSensor
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.cli.target_kinds import KINDS
from treadle.cli.template_edit import add_blocks, load
from treadle.definitions.objects import each_of
from treadle.operate.limits import (
    ACCOUNT,
    REGION,
    RESOURCES,
    Deployed,
    exceeded,
    measure,
    transformed,
)

pytestmark = pytest.mark.treadle

MOST_LINES = {"polling": 25, "event": 50, "job": 15}
MOST_RESOURCES = {"polling": 5, "event": 8, "job": 2}

Block = NewSensor | NewJob


def sensor(kind: str, number: int = 0) -> NewSensor:
    """Return a sensor of a kind, with all that one may be given."""
    name = f"late_orders_{number:02}"
    jobs = {"all-succeeded": ("load", "clean"), "deadline": ("load",), "run-status": ("load", "clean")}
    assets = {"asset": ("shop/orders",), "multi-asset": ("shop/orders", "prices")}
    objects: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] = (
        (("my-orders",), ("incoming/",), (".csv",)) if kind == "s3" else ((), (), ())
    )
    return NewSensor(
        *(name, f"load_{number}", 300, None, kind, jobs.get(kind, ()), kind == "schedule"),
        *(assets.get(kind, ()), *objects, kind == "s3"),
        pattern={"source": ["shop.orders"], "detail-type": ["Order Placed"]} if kind == "event" else {},
        bus="shop" if kind == "event" else DEFAULT_BUS,
        queue="orders" if kind == "queue" else "",
        stream="orders" if kind == "stream" else "",
        secret="shop/github" if kind == "webhook" else "",
    )


EVENT_KINDS = sorted(set(SENSOR_KINDS) - {"schedule"})
SENSORS = [("polling", sensor("schedule")), *(("event", sensor(kind)) for kind in EVENT_KINDS)]
JOBS = [("job", NewJob("load_orders", target)) for target in KINDS]
LONGEST = [
    ("polling", NewSensor("n" * 36, "j" * 40, 86_400, reads_runs=True)),
    (
        "event",
        NewSensor(
            "n" * 36,
            "j" * 40,
            86_400,
            *(None, "s3", (), True, ()),
            *(("b" * 63,), ("p" * 90,), ("." + "s" * 20,)),
        ),
    ),
    ("event", NewSensor("n" * 36, "j" * 40, 60, None, "event", pattern={"detail": {"a": ["x" * 2_000]}})),
    ("event", NewSensor("n" * 36, "j" * 40, 60, *(None, "all-succeeded", ("k" * 40, "l" * 40), True))),
    ("event", NewSensor("n" * 36, "j" * 40, 60, *(None, "multi-asset", (), True, ("a" * 60, "b" * 60)))),
    ("job", NewJob("j" * 40, "ecs", {"subnets": "subnet-0123456789abcdef0", "arguments": "day,region"})),
]


def added(blocks: Iterable[Block]) -> Project:
    """Return the repository's project with more blocks."""
    found = list(blocks)
    queues = [f"{each.prefix}Queue" for each in found if isinstance(each, NewSensor) and each.has_rule]
    text = add_blocks(project().text, [each.block() for each in found], queues)
    return Project(text, Deployed(load(text), GIVEN))


@pytest.mark.parametrize(("kind", "block"), [*SENSORS, *JOBS, *LONGEST])
def test_block_is_short_and_in_one_piece(kind: str, block: Block) -> None:
    lines = block.block().splitlines()

    assert lines[0] == ""
    assert len(lines) - 1 <= MOST_LINES[kind]
    assert all(lines[1:])


@pytest.fixture(scope="module")
def every_kind() -> tuple[dict[str, Block], Project]:
    """A project with a block of each kind, by how their resources begin."""
    sensors = [sensor(kind, number) for number, kind in enumerate(SENSOR_KINDS)]
    blocks: list[Block] = [*sensors, *(NewJob(f"{target}_load", target) for target in KINDS)]
    return {each.prefix: each for each in blocks}, added(blocks)


@pytest.fixture(scope="module")
def made(every_kind: tuple[dict[str, Block], Project]) -> dict[str, str]:
    """The type of each of its resources by logical id, as SAM's own translator makes them."""
    if not PYTHON.exists():
        pytest.skip("make setup brings SAM")
    [resources] = translated([every_kind[1].template])
    return {name: each["Type"] for name, each in resources.items()}


def test_blocks_have_few_resources(
    every_kind: tuple[dict[str, Block], Project], made: dict[str, str]
) -> None:
    for prefix, block in every_kind[0].items():
        own = [name for name in made if name.startswith(prefix)]
        kind = "job" if isinstance(block, NewJob) else "polling" if block.made == "schedule" else "event"
        assert 2 <= len(own) <= MOST_RESOURCES[kind], own
    assert "AWS::Lambda::EventInvokeConfig" not in made.values()


def test_resources_are_counted_as_sam_makes_them(
    every_kind: tuple[dict[str, Block], Project], made: dict[str, str]
) -> None:
    counted = Counter(each.logical_id for each in transformed(every_kind[1].template))

    # SAM adds a digest to the name of a layer's version.
    layers = {"DepsLayer", "TreadleLayer", "ProjectLayer"}
    assert set(counted) - layers == {n for n, kind in made.items() if kind != "AWS::Lambda::LayerVersion"}
    assert set(counted.values()) == {1}


def test_shipped_blocks_are_as_short_as_those_that_are_written() -> None:
    lines = project().text.splitlines()
    blocks = "\n".join(lines).split("\n\n")
    found = {block.split(":")[0].strip(): len(block.splitlines()) for block in blocks}

    assert all(found[name] <= MOST_LINES["event"] for name in ("FailureAlert", "NewObjects", "LargeFiles"))
    assert all(found[name] <= MOST_LINES["job"] for name in ("ProcessFileJobRole", "ProcessLargeFileJobRole"))


def many(kinds: Sequence[str], count: int) -> Iterator[Block]:
    """Sensors of these kinds in turn, each with a job, of targets in turn."""
    for number, (kind, target) in enumerate(islice(zip(cycle(kinds), cycle(KINDS), strict=False), count)):
        yield sensor(kind, number)
        yield NewJob(f"load_{number}", target)


@pytest.mark.parametrize(
    ("kinds", "count"),
    [(["schedule"], 60), (EVENT_KINDS, 40), (["s3"], 28), (["multi-asset"], 40)],
)
def test_a_project_takes_as_many_sensors_and_jobs_as_promised(kinds: list[str], count: int) -> None:
    """For a stack and an engine whose names are as long as they may be."""
    uses = measure(added(many(kinds, count)).template, GIVEN)

    [resources] = [use.used for use in uses if use.limit == RESOURCES]
    assert exceeded(uses) == []
    assert resources > 4 * count


def test_sixty_jobs_may_all_be_of_one_kind() -> None:
    """Each has a role of its own, so no policy grows with their number."""
    blocks = [each for number in range(60) for each in (sensor("schedule", number), NewJob(f"load_{number}"))]

    assert exceeded(measure(added(blocks).template, GIVEN)) == []


@pytest.mark.parametrize("target", KINDS)
def test_only_launch_may_start_a_job(target: str) -> None:
    """Its session is named so; the engine's other functions assume the role under other names."""
    roles = added([NewJob("load_orders", target)]).of_type("AWS::IAM::Role")
    [policy] = roles["LoadOrdersJobRole"]["Policies"]
    starts = [each for each in policy["PolicyDocument"]["Statement"] if STARTS & set(actions(each))]

    assert starts
    for statement in starts:
        assert statement["Condition"]["StringLike"] == {"aws:userid": "*:launch"}
        assert statement["Resource"] != "*"


STARTS = {
    "states:StartExecution",
    "glue:StartJobRun",
    "batch:SubmitJob",
    "ecs:RunTask",
    "iam:PassRole",
    "lambda:InvokeFunction",
    "sqs:SendMessage",
    "events:PutEvents",
}
NEEDED = {
    "step_functions": {
        "states:StartExecution",
        "states:DescribeStateMachine",
        "states:ListExecutions",
        "states:DescribeExecution",
        "states:GetExecutionHistory",
        "states:StopExecution",
    },
    "glue": {"glue:StartJobRun", "glue:GetJob", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"},
    "batch": {
        "batch:SubmitJob",
        "batch:DescribeJobDefinitions",
        "batch:ListJobs",
        "batch:DescribeJobs",
        "batch:TerminateJob",
    },
    "ecs": {
        "ecs:RunTask",
        "iam:PassRole",
        "ecs:DescribeTasks",
        "ecs:DescribeTaskDefinition",
        "ecs:StopTask",
    },
    "lambda": {"lambda:InvokeFunction", "lambda:GetFunctionConfiguration"},
    "sqs": {"sqs:GetQueueUrl", "sqs:SendMessage"},
    "eventbridge": {"events:PutEvents", "events:DescribeEventBus"},
}
"""What the engine does with a job of each kind: start, find, check and end its runs."""


def actions(statement: dict[str, object]) -> list[str]:
    listed = statement["Action"]
    return listed if isinstance(listed, list) else [str(listed)]


@pytest.mark.parametrize("target", KINDS)
def test_the_engine_may_do_what_it_does_with_a_job_and_no_more(target: str) -> None:
    roles = added([NewJob("load_orders", target)]).of_type("AWS::IAM::Role")
    [policy] = roles["LoadOrdersJobRole"]["Policies"]

    assert {each for s in policy["PolicyDocument"]["Statement"] for each in actions(s)} == NEEDED[target]


@pytest.mark.parametrize("target", KINDS)
def test_the_doctor_may_check_the_target_of_a_job(target: str) -> None:
    """RECONCILE does so for it, in a session of its own name."""
    roles = added([NewJob("load_orders", target)]).of_type("AWS::IAM::Role")
    [policy] = roles["LoadOrdersJobRole"]["Policies"]
    anywhere = [
        each
        for each in policy["PolicyDocument"]["Statement"]
        if "StringLike" not in each.get("Condition", {})
    ]

    assert CHECKS[target].action in {each for statement in anywhere for each in actions(statement)}


@pytest.mark.parametrize("target", KINDS)
def test_a_job_is_registered_with_its_address_and_its_role(target: str) -> None:
    found = added([NewJob("load_orders", target)])
    entry = found.jobs()["load_orders"]

    assert entry.settings.target == target
    assert entry.settings.role == found.deployed._getatt(["LoadOrdersJobRole", "Arn"])
    assert entry.settings.role.startswith(f"arn:aws:iam::{ACCOUNT}:role{CONTRACT['job_role_path']}")
    assert "load-orders" in entry.settings.arn
    assert all(entry.settings.options.values())


@pytest.mark.parametrize(
    ("target", "old", "keeps"),
    [
        ("step_functions", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:old", False),
        (
            "step_functions",
            "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:load-orders",
            True,
        ),
        ("glue", "old", False),
        ("glue", "load-orders", True),
        ("sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:old", True),
    ],
)
def test_a_former_address_that_the_role_of_its_job_has_no_statement_on_is_found(
    target: str, old: str, keeps: bool
) -> None:
    text = added([NewJob("load_orders", target)]).text
    head, entry, tail = text.partition(f'"target":"{target}","arn":"{NewJob("load_orders", target).address}"')
    moved = f'{head}{entry},"former":"{old}"{tail}'

    found = Project(moved, Deployed(load(moved), GIVEN))

    assert entry
    assert found.jobs()["load_orders"].settings.former
    assert found.unkept() == ({} if keeps else {"load_orders": [old]})


def test_a_job_of_another_account_has_no_role_in_the_project() -> None:
    role = "arn:aws:iam::210987654321:role/treadle/main/eu-central-1/job/load"
    arn = "arn:aws:states:eu-central-1:210987654321:stateMachine:load"
    found = added([NewJob("load_orders", given={"arn": arn}, role=role)])

    assert "LoadOrdersJobRole" not in found.of_type("AWS::IAM::Role")
    settings = found.jobs()["load_orders"].settings
    assert (settings.role, settings.arn) == (role, arn)


@pytest.mark.parametrize("kind", sorted(SENSOR_KINDS))
def test_a_sensor_is_registered_with_what_it_consists_of(kind: str) -> None:
    new = sensor(kind)
    found = added([new])
    entry = found.sensors()[new.name]

    assert (entry.name, entry.kind, entry.jobs) == (
        new.name,
        new.sensor_kind.kind,
        frozenset({"load_0"}),
    )
    assert entry.function == found.deployed._ref(new.prefix)
    if new.sensor_kind.consumes:
        assert entry.queue.endswith(f"/123456789012/{new.queue}")
    else:
        assert entry.queue == (found.deployed._ref(f"{new.prefix}Queue") if new.has_queue else "")
    assert entry.rule == (found.deployed._ref(f"{new.prefix}Rule") if new.has_rule else "")
    assert entry.log_group == f"/treadle/{ENGINE}/{'s' * 32}"


@pytest.mark.parametrize(
    ("prefix", "suffix", "wildcard", "keys"),
    [
        ("", "", False, None),
        ("incoming/", "", False, [{"prefix": "incoming/"}]),
        ("", ".csv", False, [{"suffix": ".csv"}]),
        ("incoming/", ".csv", False, [{"prefix": "incoming/"}]),
        ("incoming/", ".csv", True, [{"wildcard": "incoming/*.csv"}]),
    ],
)
def test_rule_of_a_bucket_has_a_wildcard_only_on_request(
    prefix: str, suffix: str, *, wildcard: bool, keys: list[dict[str, str]] | None
) -> None:
    """An account has 30 rules with one; what a rule lets through too much, the sensor drops."""
    new = NewSensor(
        "many",
        "load",
        300,
        made="s3",
        buckets=("b-1",),
        key_prefixes=(prefix,) if prefix else (),
        key_suffixes=(suffix,) if suffix else (),
        wildcard=wildcard,
    )
    found = added([new])
    detail = found.of_type("AWS::Events::Rule")["ManyRule"]["EventPattern"]["detail"]
    variables = found.functions()["many"]["Environment"]["Variables"]

    assert detail["bucket"] == {"name": ["b-1"]}
    assert detail.get("object", {}).get("key") == keys
    assert variables.get("TREADLE_S3_PREFIX", "") == prefix
    assert variables.get("TREADLE_S3_SUFFIX", "") == suffix


@pytest.mark.parametrize(
    ("prefixes", "suffixes", "wildcard", "keys"),
    [
        (("in/", "out/"), (), False, [{"prefix": "in/"}, {"prefix": "out/"}]),
        ((), (".csv", ".gz"), False, [{"suffix": ".csv"}, {"suffix": ".gz"}]),
        (("in/", "in/deep/"), (".csv",), False, [{"prefix": "in/"}]),
        (("in/", "out/"), (".csv",), True, [{"wildcard": "in/*.csv"}, {"wildcard": "out/*.csv"}]),
    ],
)
def test_rule_of_several_buckets_passes_the_objects_of_each(
    prefixes: tuple[str, ...], suffixes: tuple[str, ...], *, wildcard: bool, keys: list[dict[str, str]]
) -> None:
    new = NewSensor(
        *("many", "load", 300),
        made="s3",
        buckets=("b-1", "b-2"),
        key_prefixes=prefixes,
        key_suffixes=suffixes,
        wildcard=wildcard,
    )
    found = added([new])
    function = found.functions()["many"]
    settings = {
        name: each_of(value) for name, value in function["Environment"]["Variables"].items() if "_S3_" in name
    }
    statements = function["Policies"][1]["Statement"]
    listed = sorted({each["prefix"] for each in keys if "prefix" in each} or set(prefixes))

    detail = found.of_type("AWS::Events::Rule")["ManyRule"]["EventPattern"]["detail"]
    assert detail == {"bucket": {"name": ["b-1", "b-2"]}, "object": {"key": keys}}
    assert settings["TREADLE_S3_BUCKET"] == ("b-1", "b-2")
    assert settings.get("TREADLE_S3_PREFIX", ()) == tuple(listed)
    assert settings.get("TREADLE_S3_SUFFIX", ()) == suffixes
    assert all(len(each["Resource"]) == 2 for each in statements)
    if listed:
        prefix = statements[0]["Condition"]["StringLike"]["s3:prefix"]
        assert ([prefix] if isinstance(prefix, str) else prefix) == [f"{each}*" for each in listed]


@pytest.mark.parametrize(
    ("pattern", "prefix", "wildcard", "key", "listed"),
    [
        ("{day:%Y%m%d}/{n}", "", False, None, ""),
        ("in/{day:%Y%m%d}_{n}.csv", "", False, {"prefix": "in/"}, "in/"),
        ("in/{n}.csv", "in/eu", False, {"prefix": "in/eu"}, "in/eu"),
        ("{n}.csv", "", False, {"suffix": ".csv"}, ""),
        ("in/{day:%Y%m%d}{n}.csv", "", True, {"wildcard": "in/*.csv"}, "in/"),
        ("{region}/{day:%Y%m%d}.csv", "", True, {"wildcard": "*/*.csv"}, ""),
    ],
)
def test_rule_of_a_pattern_leaves_out_what_its_language_can_say(
    pattern: str, prefix: str, *, wildcard: bool, key: dict[str, str] | None, listed: str
) -> None:
    new = NewSensor(
        *("many", "load", 300),
        made="s3",
        buckets=("b-1",),
        key_prefixes=(prefix,) if prefix else (),
        wildcard=wildcard,
        key_pattern=pattern,
    )
    found = added([new])
    rule = found.of_type("AWS::Events::Rule")["ManyRule"]["EventPattern"]

    assert rule["detail"].get("object", {}).get("key") == (None if key is None else [key])
    assert found.functions()["many"]["Environment"]["Variables"].get("TREADLE_S3_PREFIX", "") == listed


@pytest.mark.parametrize(("interval", "has_queue"), [(15, True), (59, True), (60, False), (3600, False)])
def test_only_a_schedule_below_a_minute_has_a_queue(interval: int, *, has_queue: bool) -> None:
    found = added([NewSensor("late_orders", "load", interval)])
    variables = found.functions()["late_orders"]["Environment"]["Variables"]

    assert ("LateOrdersQueue" in found.of_type("AWS::SQS::Queue")) is has_queue
    assert ("TREADLE_QUEUE_URL" in variables) is has_queue
    assert variables["TREADLE_INTERVAL_SECONDS"] == str(interval)


def test_reference_says_how_long_a_sensor_is_and_of_what_it_consists() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| [^|]+ \| (\d+) [^|]*\| (\d+) ", page, re.MULTILINE)
    documented = {kind: (int(lines), int(resources)) for kind, lines, resources in rows}

    before = len(project().deployed.resources)
    measured = {}
    for kind in SENSOR_KINDS:
        new = sensor(kind)
        lines = len(new.block().splitlines()) - 1
        measured[kind] = (lines, len(added([new]).deployed.resources) - before)
    assert documented == measured
