"""What every `RunStore` finds: by name, by job, by ended job and last news, by sensor; never by a search."""

from dataclasses import replace

from tests.contract.conftest import Stores
from treadle.definitions.status import FINISHED_STATUSES
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Reaction, Run


def run(number: int, status: Status = Status.SUCCESS, **values: object) -> Run:
    """Return a run, made at 1,000 ms times its number, of which there was news half a second later."""
    base = Run(
        f"run-{number}",
        "load",
        "new_files",
        f"key-{number}",
        "tick",
        "{}",
        {"team": "a" if number % 2 else "b"},
        number * 1_000,
        status=status,
        updated_at=number * 1_000 + 500,
        ended_at=number * 1_000 + 400 if status.is_finished else None,
    )
    return replace(base, **values)  # type: ignore[arg-type]


def names(runs: list[Run]) -> list[str]:
    return [each.run_id for each in runs]


def put(stores: Stores, *runs: Run) -> None:
    for each in runs:
        assert stores.runs.create(each) is None


def test_many_records_come_back_by_name_whole(stores: Stores) -> None:
    noted = run(1, reactions=(Reaction("alert", "run-1/1/0/SUCCESS", "tick-2", 7),))
    put(stores, noted, run(2))

    found = stores.runs.get_many(["run-1", "run-2", "run-3"])

    assert found == {"run-1": noted, "run-2": run(2)}


def test_runs_of_a_job_come_newest_first_or_oldest_first(stores: Stores) -> None:
    put(stores, run(1), run(2, Status.STARTED), run(3), run(4, job="other"))

    assert names(stores.runs.find(RunQuery(job="load"))) == ["run-3", "run-2", "run-1"]
    assert names(stores.runs.find(RunQuery(job="load", newest_first=False, limit=2))) == ["run-1", "run-2"]


def test_only_the_statuses_tags_and_times_requested_come_back(stores: Stores) -> None:
    put(stores, *(run(n) for n in range(1, 6)), run(6, Status.FAILURE), run(7, Status.QUEUED))

    ended = RunQuery(job="load", statuses=frozenset({Status.SUCCESS}), tags={"team": "a"})
    between = RunQuery(job="load", created=(1_000, 4_000))

    assert names(stores.runs.find(ended)) == ["run-5", "run-3", "run-1"]
    assert names(stores.runs.find(between)) == ["run-3", "run-2"]


def test_ended_runs_are_ordered_by_the_last_news_of_them(stores: Stores) -> None:
    put(stores, run(1, updated_at=9_000), run(2), run(3, Status.FAILURE), run(4, Status.STARTED))
    since = RunQuery(job="load", statuses=FINISHED_STATUSES, updated=(2_500, None), by_update=True)

    assert names(stores.runs.find(since)) == ["run-1", "run-3"]
    assert names(stores.runs.find(replace(since, updated=(None, 9_000)))) == ["run-3", "run-2"]


def test_running_ones_are_ordered_by_the_last_news_too(stores: Stores) -> None:
    put(stores, run(1, Status.STARTED, updated_at=9_000), run(2, Status.STARTED), run(3))
    query = RunQuery(job="load", statuses=frozenset({Status.STARTED}), by_update=True, limit=1)

    assert names(stores.runs.find(query)) == ["run-1"]


def test_run_that_starts_again_is_no_ended_one_any_more(stores: Stores) -> None:
    put(stores, run(1, Status.FAILURE))
    again = replace(run(1, Status.QUEUED, attempt=2, granted=2), ended_at=None)
    assert stores.runs.replace(again) is None

    ended = RunQuery(job="load", statuses=FINISHED_STATUSES, by_update=True)

    assert stores.runs.find(ended) == []
    assert names(stores.runs.find(RunQuery(job="load"))) == ["run-1"]


def test_runs_of_a_sensor_and_runs_by_name_are_filtered_as_well(stores: Stores) -> None:
    put(stores, run(1), run(2, Status.FAILURE), run(3, sensor="other"))
    failed = frozenset({Status.FAILURE})

    assert names(stores.runs.find(RunQuery(sensor="new_files", statuses=failed))) == ["run-2"]
    assert names(stores.runs.find(RunQuery(run_ids=("run-1", "run-2", "none"), statuses=failed))) == ["run-2"]
