"""`treadle blocks`: what a block does not have and this version writes, whatever options it was written with."""

import json
from pathlib import Path

import pytest

from tests.support.project import run
from tests.support.projects import project
from tests.template.test_blocks import EVENT_KINDS, LONGEST, Block, added, sensor
from treadle.cli.blocks import BlockGaps, compare_blocks
from treadle.cli.fragments import NewJob, NewSensor
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.cli.target_kinds import KINDS

pytestmark = pytest.mark.treadle

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-30T00:00:00.000"
OPTIONS: list[Block] = [
    NewSensor("often", "load", 15),
    NewSensor("by_day", "load", 60, hours="06:00-20:00 MON-FRI Europe/Berlin"),
    NewSensor("anything", "load", 300, made="s3", buckets=("one-bucket", "two-bucket")),
    NewSensor("failures", None, 60, made="run-failure"),
    NewSensor("changes", "load", 60, made="stream", stream=TABLE),
    NewSensor("pushed", "load", 60, made="webhook", secret="ssm:/shop/token", verification="token"),
    NewJob("elsewhere", "glue", role="arn:aws:iam::123456789012:role/x", pools=("warehouse",)),
]
EVERY_KIND: list[Block] = [
    *(sensor(kind, number) for number, kind in enumerate(SENSOR_KINDS)),
    *(NewJob(f"{target}_load", target) for target in KINDS),
]


def gaps(text: str) -> dict[str, tuple[str, ...]]:
    return {each.name: each.missing for each in compare_blocks(text) if each.missing}


@pytest.mark.parametrize(
    "blocks", [EVERY_KIND, OPTIONS, *([block] for _, block in LONGEST)], ids=lambda each: each[0].name[:12]
)
def test_block_that_was_just_written_has_all(blocks: list[Block]) -> None:
    text = added(blocks).text

    found = compare_blocks(text)

    assert {each.name for each in blocks} <= {each.name for each in found}
    assert gaps(text) == {}


def without(block: Block, *texts: str) -> dict[str, tuple[str, ...]]:
    """Return what is missing of a block after texts were taken out of it."""
    text = added([block]).text
    start = text.index(block.block().strip().splitlines()[0])
    shipped, own = text[:start], text[start:]
    for each in texts:
        assert own.count(each) == 1
        own = own.replace(each, "")
    return gaps(shipped + own)


def test_what_a_later_version_writes_is_missing_in_each_block_of_the_kind() -> None:
    """As it is after an upgrade, of a block that the version before has written."""
    late, job = sensor("deadline"), NewJob("nightly")

    assert without(late, '"sensor":"late_orders_00",') == {
        late.name: ("LateOrders00.Properties.Events.Deadline.Properties.Input.sensor",)
    }
    assert without(late, ", !Select [14, !Ref Engine]", ", treadle:reads: runs") == {
        late.name: (
            "LateOrders00.Properties.Policies.!Select 14",
            "LateOrders00.Properties.Tags.treadle:reads",
        )
    }
    assert without(job, "states:DescribeStateMachine, ") == {
        "nightly": (
            "NightlyJobRole.Properties.Policies.PolicyDocument.Statement.Action.states:DescribeStateMachine",
        )
    }
    assert without(job, '"contract":"1",') == {"nightly": ("NightlyJob.Properties.Value.contract",)}


@pytest.mark.parametrize("kind", [kind for kind in EVENT_KINDS if sensor(kind).has_queue])
def test_queue_without_what_makes_it_safe_is_found(kind: str) -> None:
    new = sensor(kind)

    found = without(
        new,
        ", FunctionResponseTypes: [ReportBatchItemFailures]",
        "      VisibilityTimeout: 360\n",
        "{ Key: treadle:engine, Value: !Select [1, !Ref Engine] }",
    )

    assert found == {
        new.name: (
            "LateOrders00.Properties.Events.Messages.Properties.FunctionResponseTypes",
            "LateOrders00Queue.Properties.Tags.treadle:engine",
            "LateOrders00Queue.Properties.VisibilityTimeout",
        )
    }


def test_what_a_project_adds_and_its_own_values_are_no_gaps() -> None:
    text = added([sensor("schedule"), sensor("s3", 1)]).text
    start = text.index("  LateOrders00:")
    own = (
        text[start:]
        .replace("TREADLE_DEFAULT_STATUS: STOPPED", "TREADLE_DEFAULT_STATUS: RUNNING, SHOP: eu")
        .replace("      CodeUri:", "      MemorySize: 512\n      CodeUri:")
        .replace("VisibilityTimeout: 360", "VisibilityTimeout: 900")
    )

    assert gaps(text[:start] + own) == {}


def test_command_lists_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(project().text)
    shown = run("blocks", "--root", tmp_path)
    assert (shown.exit_code, shown.stdout) == (0, "The 5 blocks have all that is written today.\n")

    text = project().text.replace("DependsOn: QueuePolicy", "DeletionPolicy: Delete", 1)
    (tmp_path / "template.yaml").write_text(text)
    shown = run("blocks", "--root", tmp_path)
    listed = json.loads(run("blocks", "--root", tmp_path, "--json").stdout)

    assert "FailureAlertRule.DependsOn" in shown.stdout
    assert "copy what your block needs of it" in shown.stdout
    assert listed[0] == {
        "name": "failure_alert",
        "kind": "run_status",
        "missing": ["FailureAlertRule.DependsOn"],
    }
    assert [each["missing"] for each in listed[1:]] == [[]] * 4


def test_template_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("a: [")

    refused = run("blocks", "--root", tmp_path)

    assert refused.exit_code == 2
    assert "template.yaml is not YAML" in refused.output


def test_entries_of_unknown_kinds_are_left_out() -> None:
    text = project().text.replace('"kind":"asset"', '"kind":"later"').replace('"target":"step_functions"', "")

    assert compare_blocks(text) == [
        BlockGaps("failure_alert", "run_status", ()),
        BlockGaps("new_objects", "s3", ()),
    ]
