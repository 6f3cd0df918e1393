"""Dynamic partitions, as deployed: the evaluator's and DISPATCH's handlers, tables on moto, and the operator's commands."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.functional.conftest import ON_BOTH, STACK, Deployment
from tests.support.project import run
from treadle import (
    DynamicPartitionsDefinition,
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

FRUITS = DynamicPartitionsDefinition(name="fruits")
load = JobDefinition("process_file", partitions_def=FRUITS)


def treadle(*arguments: str) -> Result:
    """Return the outcome of a command on the stack."""
    return run(*arguments, "--stack", STACK)


def tick(deployment: Deployment) -> Any:
    """Evaluate the sensor, and dispatch its tick."""
    outcome = deployment.invoke("fruits", {"treadle": "tick", "at_once": True})
    deployment.dispatch_pending()
    return outcome


@pytest.fixture
def found(deployment: Deployment) -> list[str]:
    """Keys that the deployed sensor adds and requests if they are new; with a leading dash it deletes them."""
    keys: list[str] = []

    @sensor(job=load, name="new_objects")
    def definition(context: SensorEvaluationContext) -> SensorResult:
        gone = [key[1:] for key in keys if key.startswith("-")]
        new = [
            key
            for key in keys
            if key[:1] != "-" and not context.instance.has_dynamic_partition("fruits", key)
        ]
        requests = [FRUITS.build_add_request(new), FRUITS.build_delete_request(gone)]
        return SensorResult(
            [RunRequest(partition_key=key) for key in new], dynamic_partitions_requests=requests
        )

    deployment.handlers["fruits"] = deployment.evaluator(definition)
    return keys


@ON_BOTH
def test_keys_are_stored_and_their_runs_are_started_once(deployment: Deployment, found: list[str]) -> None:
    found += ["apple", "pear"]

    first = tick(deployment)
    found.append("kiwi")
    second = tick(deployment)
    found[:] = ["-apple", "-plum"]
    tick(deployment)

    assert (first["decision"], second["decision"]) == ("SUCCESS", "SUCCESS")
    stored = deployment.stores.partitions.partitions("fruits")
    latest, kiwi, pear = deployment.stores.ticks.latest("new_objects", 9)
    assert [(each.partition_key, each.changed_by) for each in stored] == [
        ("pear", f"new_objects/{pear.tick_id}"),
        ("kiwi", f"new_objects/{kiwi.tick_id}"),
    ]
    runs = deployment.stores.runs.list_by_sensor("new_objects", 9)
    started = [deployment.stores.runs.get(each.run_id) for each in runs]
    assert sorted(str(each.partition_key) for each in started if each) == ["apple", "kiwi", "pear"]
    [deleting] = latest.dynamic_partitions_request_results
    assert (deleting.deleted_partitions, deleting.skipped_partitions) == (("apple",), ("plum",))


@ON_BOTH
def test_preview_lists_changes_and_makes_none(deployment: Deployment, found: list[str]) -> None:
    found.append("apple")

    preview = json.loads(json.dumps(deployment.invoke("fruits", {"treadle": "preview"})))

    assert preview["dynamic_partitions_request_results"] == [
        {
            "partitions_def_name": "fruits",
            "added_partitions": ["apple"],
            "deleted_partitions": None,
            "skipped_partitions": [],
        }
    ]
    assert deployment.stores.partitions.partitions("fruits") == []


def test_operator_lists_and_repairs_a_set(stack: Deployment) -> None:
    empty = treadle("partition", "list", "fruits")
    added = treadle("partition", "add", "fruits", "apple", "pear", "--by", "ann")
    deleted = treadle("partition", "delete", "fruits", "apple", "plum", "--by", "ben")
    again = treadle("partition", "add", "fruits", "pear", "--by", "ann")

    assert [each.stdout for each in (empty, added, deleted, again)] == [
        "The set fruits has no keys.\n",
        "2 added; the set fruits has 2 keys.\n",
        "1 deleted; the set fruits has 1 keys.\n",
        "0 added; the set fruits has 1 keys.\n",
    ]
    listed = treadle("partition", "list", "fruits").stdout
    assert "pear" in listed
    assert "ann" in listed
    [left] = json.loads(treadle("partition", "list", "fruits", "--json").stdout)
    assert (left["partition_key"], left["changed_by"]) == ("pear", "ann")
    assert json.loads(treadle("partition", "add", "fruits", "pear", "--by", "ben", "--json").stdout)[0] == {
        **left,
        "changed_by": "ben",
    }


def test_operator_is_refused_what_cannot_be_stored(stack: Deployment) -> None:
    result = treadle("partition", "add", "fruits", "")

    assert result.exit_code == 2
    assert "Partition key '' has 0 bytes" in result.stderr


def test_operator_sees_the_requests_of_a_tick(stack: Deployment) -> None:
    @sensor(job=load, name="new_objects")
    def definition(context: SensorEvaluationContext) -> SensorResult:
        context.instance.add_dynamic_partitions("fruits", ["apple", "pear"])
        return SensorResult(dynamic_partitions_requests=[FRUITS.build_delete_request(["plum"])])

    treadle("partition", "add", "fruits", "apple")
    stack.handlers["fruits"] = stack.evaluator(definition)
    tick(stack)
    [found] = stack.stores.ticks.latest("new_objects", 1)

    shown = treadle("tick", "show", "new_objects", found.tick_id).stdout

    assert "adds partitions of fruits: pear\n" in shown
    assert "skips partitions of fruits that exist: apple\n" in shown
    assert "skips partitions of fruits that do not exist: plum\n" in shown
    assert "deletes" not in shown


CODE = """
from treadle import DynamicPartitionsDefinition, JobDefinition, MultiPartitionsDefinition, StaticPartitionsDefinition

fruits = DynamicPartitionsDefinition(name="fruits")
load = JobDefinition("process_file", partitions_def=%s)
"""
BY_REGION = 'MultiPartitionsDefinition({"fruit": fruits, "region": StaticPartitionsDefinition(["eu", "us"])})'


@pytest.mark.parametrize(
    ("definition", "options", "started"),
    [
        ("fruits", ["--all"], ["pear", "apple", "kiwi"]),
        ("fruits", ["--partition", "kiwi", "--partition", "pear"], ["kiwi", "pear"]),
        ("fruits", ["--partitions", "apple...kiwi"], ["apple", "kiwi"]),
        (BY_REGION, ["--all"], [f"{each}|{region}" for each in ("pear", "apple", "kiwi") for region in ("eu", "us")]),
        (BY_REGION, ["--partition", "apple|us"], ["apple|us"]),
        (BY_REGION, ["--partitions", "pear|us...apple|us"], ["pear|us", "apple|us"]),
    ],
    ids=["all", "keys", "range", "all-of-two", "key-of-two", "range-of-two"],
)  # fmt: skip
def test_backfill_starts_stored_partitions(
    stack: Deployment, project: Path, definition: str, options: list[str], started: list[str]
) -> None:
    (project / "jobs.py").write_text(CODE % definition)
    treadle("partition", "add", "fruits", "pear", "apple", "kiwi", "plum")
    treadle("partition", "delete", "fruits", "plum")

    result = treadle("backfill", "start", "process_file", *options, "--name", "all", "--limit", "1")

    assert result.exit_code == 0, result.output
    backfill = stack.stores.backfills.get("all")
    assert backfill is not None
    stored = stack.stores.backfills.partitions(backfill, range(backfill.total))
    assert [stored[each].key for each in range(backfill.total)] == started


@pytest.mark.parametrize(
    ("definition", "options", "problem"),
    [
        ("fruits", ["--partition", "plum"], "Could not find a partition with key `plum`"),
        ("fruits", ["--partitions", "pear...plum"], "Nonexistent partition keys: ['plum']"),
        (BY_REGION, ["--partition", "plum|us"], "Could not find a partition with key `plum|us`"),
        (
            "DynamicPartitionsDefinition(name='vegetables')",
            ["--all"],
            "Job process_file has no partitions now: nothing was started.",
        ),
    ],
    ids=["key", "range", "key-of-two", "empty"],
)
def test_backfill_of_partitions_that_are_not_stored_is_refused(
    stack: Deployment, project: Path, definition: str, options: list[str], problem: str
) -> None:
    (project / "jobs.py").write_text(CODE % definition)
    treadle("partition", "add", "fruits", "pear", "plum")
    treadle("partition", "delete", "fruits", "plum")

    result = treadle("backfill", "start", "process_file", *options, "--name", "all")

    assert result.exit_code == 2
    assert problem in result.stderr
    assert stack.stores.backfills.get("all") is None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, in whose folder the commands run."""
    (tmp_path / "template.yaml").write_text("Resources: {}\n")
    (tmp_path / "functions" / "sensors").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
