"""What a text names, in all sensors: for `treadle why`, the console's search box, and commands on runs."""

from dataclasses import replace

import pytest

from tests.support.console import MemoryStack
from treadle import RunRequest, S3Object, SensorDefinition, SkipReason, s3_sensor
from treadle.definitions.errors import CommandRefusedError
from treadle.operate.explain import Subject
from treadle.operate.search import Match, MatchKind, Search
from treadle.testing.instance import TreadleInstance

BUCKET = "landing"


@s3_sensor(BUCKET, prefix="in/", job_name="load", name="files")
def files(stored: S3Object) -> RunRequest:
    return RunRequest()


@s3_sensor(BUCKET, suffix=".csv", job_name="load", name="tables")
def tables(stored: S3Object) -> RunRequest:
    return RunRequest()


def polling(name: str, *keys: str, job: str = "load") -> SensorDefinition:
    def evaluate() -> list[RunRequest] | SkipReason:
        return [RunRequest(key) for key in keys]

    return SensorDefinition(name, evaluation_fn=evaluate, job_name=job)


@pytest.fixture
def stack() -> MemoryStack:
    sensors = [polling("orders", "k-1", "both"), polling("returns", "both", job="refund"), files, tables]
    made = MemoryStack(TreadleInstance(sensors))
    made.instance.tick("orders")
    made.instance.tick("returns")
    return made


@pytest.fixture
def search(stack: MemoryStack) -> Search:
    return stack.parts.search


def kinds(found: list[Match]) -> list[tuple[MatchKind, str]]:
    return [(each.kind, each.sensor) for each in found]


def run_id(stack: MemoryStack, key: str, sensor: str = "orders") -> str:
    return next(each.run_id for each in stack.instance.runs() if (each.run_key, each.sensor) == (key, sensor))


def test_a_sensor_is_found_by_its_name_or_a_part_of_it(search: Search) -> None:
    assert kinds(search.find("orders")) == [(MatchKind.SENSOR, "orders")]
    assert kinds(search.find("R")) == [(MatchKind.SENSOR, "orders"), (MatchKind.SENSOR, "returns")]
    assert search.find("nobody") == []


def test_a_run_is_found_by_its_key_in_every_sensor_that_has_it(search: Search, stack: MemoryStack) -> None:
    [found] = search.find("k-1")

    assert (found.kind, found.run_id, found.job) == (MatchKind.RUN, run_id(stack, "k-1"), "load")
    assert kinds(search.find("both")) == [(MatchKind.RUN, "orders"), (MatchKind.RUN, "returns")]


@pytest.mark.parametrize("length", [4, 8, 18, 35, 36])
def test_a_run_is_found_by_the_first_characters_of_its_id(
    search: Search, stack: MemoryStack, length: int
) -> None:
    wanted = run_id(stack, "both", "returns")

    assert [each.run_id for each in search.find(wanted[:length])] == [wanted]
    assert stack.parts.runs.full_id(wanted[:length]) == wanted


def test_fewer_characters_than_four_find_no_run(search: Search, stack: MemoryStack) -> None:
    short = run_id(stack, "k-1")[:3]

    assert [each for each in search.find(short) if each.kind is MatchKind.RUN] == []
    assert stack.parts.runs.full_id(short) == short


def test_an_id_must_be_that_of_one_run(stack: MemoryStack) -> None:
    runs = stack.instance._tables.runs
    first = next(iter(runs))
    twin = f"{first[:-1]}{'0' if first[-1] != '0' else '1'}"
    runs[twin] = replace(runs[first], run_id=twin)

    with pytest.raises(
        CommandRefusedError, match=f"{first[:8]} is ambiguous: it begins the ids of runs .*{twin}"
    ):
        stack.parts.runs.full_id(first[:8])
    with pytest.raises(
        CommandRefusedError, match="No run's id begins with 0000, among the newest 5,000 of each job"
    ):
        stack.parts.runs.full_id("0000")


def test_an_object_is_found_in_the_sensors_that_watch_it(search: Search) -> None:
    assert kinds(search.find(f"s3://{BUCKET}/in/a.csv")) == [
        (MatchKind.OBJECT, "files"),
        (MatchKind.OBJECT, "tables"),
    ]
    assert kinds(search.find(f"s3://{BUCKET}/in/a.json")) == [(MatchKind.OBJECT, "files")]
    assert search.find(f"s3://{BUCKET}/other/a.json") == []
    assert search.find("s3://elsewhere/in/a.csv") == []
    assert search.find(f"s3://{BUCKET}") == []


def test_a_run_key_that_is_an_address_is_the_run(search: Search, stack: MemoryStack) -> None:
    stack.instance.put_object(BUCKET, "in/a.json", b"{}")
    [run] = stack.instance.runs(lambda each: each.sensor == "files")

    assert [(each.kind, each.run_id) for each in search.find(str(run.run_key))] == [
        (MatchKind.RUN, run.run_id)
    ]


def test_the_sensor_of_what_is_to_be_explained_is_found(search: Search, stack: MemoryStack) -> None:
    wanted = run_id(stack, "k-1")
    location = f"s3://{BUCKET}/in/a.json"

    of_run = ("orders", Subject(run_id=wanted))
    assert search.subject("k-1", Subject()) == of_run
    assert search.subject(None, Subject(run_key="k-1")) == of_run
    assert search.subject(None, Subject(run_id=wanted[:8])) == of_run
    assert search.subject(None, Subject(object=location)) == ("files", Subject(object=location))
    assert search.subject("files", Subject()) == ("files", Subject(at=stack.instance.clock.now()))


def test_what_is_not_one_thing_is_refused_with_all_of_them(search: Search, stack: MemoryStack) -> None:
    with pytest.raises(CommandRefusedError) as several:
        search.subject("both", Subject())
    with pytest.raises(CommandRefusedError, match="Nothing was found for 'nobody'"):
        search.subject("nobody", Subject())

    assert str(several.value) == (
        f"'both' names several: run {run_id(stack, 'both')} of job load (STARTED); run "
        f"{run_id(stack, 'both', 'returns')} of job refund (STARTED). Name the sensor, or the whole id."
    )


def test_a_run_without_sensor_is_shown_elsewhere(search: Search, stack: MemoryStack) -> None:
    runs = stack.instance._tables.runs
    external = run_id(stack, "k-1")
    runs[external] = replace(runs[external], sensor="")

    with pytest.raises(
        CommandRefusedError, match=f"was requested by no sensor. See treadle run show {external}"
    ):
        search.subject(external, Subject())
