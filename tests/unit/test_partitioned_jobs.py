"""Jobs with partitions: a request for a partition that does not exist is rejected before the tick commits."""

from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    AssetSelection,
    AssetSpec,
    DagsterInvalidInvocationError,
    DagsterUnknownPartitionError,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    JobDefinition,
    MultiPartitionsDefinition,
    RunRequest,
    SensorResult,
    StaticPartitionsDefinition,
    build_sensor_context,
    sensor,
)
from treadle.definitions.status import TickStatus
from treadle.testing import TickResult, TreadleInstance

START = datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC)
DAYS = DailyPartitionsDefinition("2026-11-20")
LOAD = JobDefinition("load", partitions_def=DAYS)


def ticked(*requests: RunRequest, job: JobDefinition = LOAD, **options: Any) -> TickResult:
    @sensor(job=job, **options)
    def watch() -> list[RunRequest]:
        return list(requests)

    return TreadleInstance([watch], start=START).tick_now("watch")


def test_request_for_an_unknown_partition_is_rejected_and_blocks_no_other() -> None:
    result = ticked(
        RunRequest("early", partition_key="2026-11-19"),
        RunRequest("good", partition_key="2026-11-22"),
        RunRequest("none"),
    )

    assert [(run.run_key, run.partition_key) for run in result.runs] == [
        ("good", "2026-11-22"),
        ("none", None),
    ]
    assert result.tick is not None
    (rejected,) = result.tick.rejected
    assert rejected.run_key == "early"
    assert rejected.reason == (
        "Request of job load has an invalid partition: Could not find a partition with key `2026-11-19` in "
        "DailyPartitionsDefinition: Daily, starting 2026-11-20 UTC. At this time, its keys are 2026-11-20 to "
        "2026-11-22. Request one of its keys, or change the definition."
    )


def test_rejected_request_leaves_its_run_key_to_a_good_one() -> None:
    result = ticked(RunRequest("k", partition_key="2026-11-23"), RunRequest("k", partition_key="2026-11-22"))

    assert [run.partition_key for run in result.runs] == ["2026-11-22"]


def test_partitions_are_those_of_the_ticks_clock() -> None:
    @sensor(job=LOAD)
    def watch() -> RunRequest:
        day = DAYS.get_last_partition_key()
        return RunRequest(day, partition_key=day)

    instance = TreadleInstance([watch], start=START)
    first = instance.tick_now("watch")
    instance.clock.advance(24 * 3600)
    second = instance.tick_now("watch")

    assert [run.partition_key for each in (first, second) for run in each.runs] == [
        "2026-11-22",
        "2026-11-23",
    ]


def test_on_invalid_fail_commits_nothing() -> None:
    result = ticked(
        RunRequest("bad", partition_key="x"), RunRequest("k", partition_key="2026-11-22"), on_invalid="fail"
    )

    assert result.runs == ()
    assert result.tick is not None
    assert result.tick.status is TickStatus.FAILURE
    assert result.tick.error is not None
    assert "Could not find a partition with key `x`" in result.tick.error.message


def test_job_without_partitions_takes_any_key() -> None:
    (run,) = ticked(RunRequest("k", partition_key="x"), job=JobDefinition("load")).runs

    assert run.partition_key == "x"


@pytest.mark.parametrize("key", ["c", "", "A"])
def test_static_and_dynamic_keys_are_checked(key: str) -> None:
    for definition in (
        StaticPartitionsDefinition(["a", "b"]),
        DynamicPartitionsDefinition(lambda _now: ["a", "b"]),
    ):
        job = JobDefinition("load", partitions_def=definition)
        result = ticked(RunRequest(partition_key=key), RunRequest(partition_key="a"), job=job)

        assert [run.partition_key for run in result.runs] == ["a"]
        assert result.tick is not None
        assert "its keys are a to b" in result.tick.rejected[0].reason


def test_function_of_dynamic_partitions_is_not_called_for_each_request() -> None:
    calls: list[object] = []

    def keys(now: datetime | None) -> list[str]:
        calls.append(now)
        return [str(number) for number in range(200)]

    job = JobDefinition("load", partitions_def=DynamicPartitionsDefinition(keys))
    without = ticked(RunRequest(), job=job)

    assert (len(without.runs), len(calls)) == (1, 0)

    result = ticked(*(RunRequest(partition_key=str(number)) for number in range(200)), job=job)

    assert (len(result.runs), len(calls)) == (200, 1)

    rejected = ticked(*(RunRequest(partition_key=f"no{number}") for number in range(200)), job=job)

    assert rejected.tick is not None
    assert (len(rejected.tick.rejected), len(calls)) == (200, 4)


def test_run_of_two_dimensions_has_a_tag_for_each() -> None:
    regions = StaticPartitionsDefinition(["eu", "us"])
    job = JobDefinition("load", partitions_def=MultiPartitionsDefinition({"region": regions, "day": DAYS}))
    own = {"dagster/partition/day": "mine", "team": "x"}

    result = ticked(
        RunRequest(partition_key="2026-11-22|us", tags=own),
        RunRequest(partition_key="2026-11-22"),
        RunRequest(partition_key="2026-11-22|asia"),
        job=job,
    )

    (run,) = result.runs
    tags = {
        name: value
        for name, value in run.tags.items()
        if name.startswith("dagster/partition") or name == "team"
    }
    assert tags == {
        "dagster/partition": "2026-11-22|us",
        "dagster/partition/day": "2026-11-22",
        "dagster/partition/region": "us",
        "team": "x",
    }
    assert result.tick is not None
    assert len(result.tick.rejected) == 2
    assert "its keys are 2026-11-20|eu to 2026-11-22|us" in result.tick.rejected[0].reason


def test_request_for_a_partition_has_its_job_and_tags() -> None:
    request = LOAD.run_request_for_partition(
        "2026-11-22", "k", {"team": "x", "dagster/partition": "mine"}, run_config={"a": 1}, current_time=START
    )

    assert (request.run_key, request.job_name, request.partition_key) == ("k", "load", "2026-11-22")
    assert request.plain_config == {"a": 1}
    assert request.tags == {"team": "x", "dagster/partition": "2026-11-22"}
    assert [run.run_key for run in ticked(request).runs] == ["k"]


def test_request_for_a_partition_that_is_not_there_is_an_error() -> None:
    with pytest.raises(
        DagsterUnknownPartitionError, match="Could not find a partition with key `2026-11-23`"
    ):
        LOAD.run_request_for_partition("2026-11-23", current_time=START)
    with pytest.raises(DagsterInvalidInvocationError, match="job plain, which has no partitions"):
        JobDefinition("plain").run_request_for_partition("2026-11-22")


class TestEvaluateTick:
    """A test sees what Dagster's `evaluate_tick` gives: the tags of the partition, or an error if there is none."""

    def evaluated(
        self, *requests: RunRequest, job: JobDefinition = LOAD, instance: Any = None
    ) -> list[RunRequest]:
        @sensor(job=job)
        def watch() -> list[RunRequest]:
            return list(requests)

        return [*watch.evaluate_tick(build_sensor_context(instance)).run_requests]

    def test_request_has_the_tags_of_its_run(self) -> None:
        [plain, partitioned] = self.evaluated(
            RunRequest("none", tags={"own": "1"}), RunRequest(partition_key="2026-11-22", tags={"own": "2"})
        )

        assert plain.tags == {"own": "1", "dagster/sensor_name": "watch"}
        assert partitioned.tags == {
            "own": "2",
            "dagster/sensor_name": "watch",
            "dagster/partition": "2026-11-22",
        }
        assert (partitioned.job_name, partitioned.partition_key) == ("load", "2026-11-22")

    def test_dimensions_have_their_tags_and_a_job_without_partitions_takes_any(self) -> None:
        both = MultiPartitionsDefinition({"day": DAYS, "color": StaticPartitionsDefinition(["red"])})
        [request] = self.evaluated(
            RunRequest(partition_key="red|2026-11-22"), job=JobDefinition("load", partitions_def=both)
        )
        [other] = self.evaluated(RunRequest(partition_key="any"), job=JobDefinition("load"))

        assert request.tags["dagster/partition/color"] == "red"
        assert other.tags["dagster/partition"] == "any"

    def test_unknown_partition_raises(self) -> None:
        with pytest.raises(DagsterUnknownPartitionError, match="Could not find a partition with key `never`"):
            self.evaluated(RunRequest(partition_key="2026-11-22"), RunRequest(partition_key="never"))

    def test_partition_of_selected_assets_is_that_of_the_job_that_makes_them(self) -> None:
        @sensor(asset_selection=AssetSelection.assets("a"))
        def watch(context: Any) -> RunRequest:
            return RunRequest(partition_key=context.cursor)

        jobs = [JobDefinition("make", assets=[AssetSpec("a", partitions_def=DAYS)])]
        [request] = watch.evaluate_tick(build_sensor_context(cursor="2026-11-22", jobs=jobs)).run_requests

        assert (request.job_name, request.tags["dagster/partition"]) == ("make", "2026-11-22")
        with pytest.raises(DagsterUnknownPartitionError, match="Could not find a partition"):
            watch.evaluate_tick(build_sensor_context(cursor="never", jobs=jobs))

    def test_stored_partitions_are_those_after_the_requests_of_the_result(self) -> None:
        regions = DynamicPartitionsDefinition(name="regions")

        @sensor(job=JobDefinition("load", partitions_def=regions))
        def watch(context: Any) -> SensorResult:
            changes = [regions.build_add_request(["new"]), regions.build_delete_request(["old"])]
            return SensorResult(
                [RunRequest(partition_key=context.cursor)], dynamic_partitions_requests=changes
            )

        instance = TreadleInstance([])
        instance.add_dynamic_partitions("regions", ["kept", "old"])
        for key in ("kept", "new"):
            [request] = watch.evaluate_tick(build_sensor_context(instance, key)).run_requests
            assert request.tags["dagster/partition"] == key
        with pytest.raises(DagsterUnknownPartitionError, match="`old`"):
            watch.evaluate_tick(build_sensor_context(instance, "old"))
        with pytest.raises(DagsterInvalidInvocationError, match="no store was given"):
            watch.evaluate_tick(build_sensor_context(cursor="new"))
        assert list(instance.get_dynamic_partitions("regions")) == ["kept", "old"]
