"""`treadle doctor`: a backfill that is paused, blocked, overdue or damaged is found, with what to do."""

from dataclasses import replace

from treadle.engine.identity import timestamp
from treadle.model.backfills import Backfill, BackfillStatus
from treadle.model.runs import OperatorEdit
from treadle.operate.doctor import LATE_MS, Doctor
from treadle.operate.findings import Finding, Severity
from treadle.operate.overview import Overview
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import VirtualClock

CLOCK = VirtualClock()
NOW = CLOCK.now()
RUNNING = Backfill("may", "load", "d", "{}", {}, 2, NOW, b"sp..", b"\x01" * 4, next_at=NOW)


def examined(*backfills: Backfill, unreadable: str | None = None) -> list[Finding]:
    """Return the findings on backfills."""
    stores, deployment = InMemoryStores(), InMemoryDeployment([], {})
    stores.tables.backfills |= {each.name: each for each in backfills}
    if unreadable:
        stores.tables.unreadable[f"backfill {unreadable}",] = "its progress is damaged"
    overview = Overview(deployment, stores.sensors, stores.ticks, stores.runs, CLOCK)
    doctor = Doctor(
        deployment,
        InMemoryHealth(),
        overview,
        stores.ticks,
        stores.runs,
        CLOCK,
        backfills=stores.backfills,
    )
    return [each for each in doctor.examine() if each.check == "backfills"]


def test_running_backfills_are_in_order() -> None:
    done = replace(RUNNING, name="done", states=b"ssss", next_at=None)

    assert examined(RUNNING, done) == [
        Finding(
            "backfills", "backfills", Severity.OK, "1 are unfinished, and none of them is paused or blocked."
        )
    ]


def test_paused_backfill_is_a_warning_that_names_the_operator() -> None:
    edits = (OperatorEdit(NOW, "ada", "started"), OperatorEdit(NOW + 1, "bob", "paused"))
    [found] = examined(replace(RUNNING, status=BackfillStatus.PAUSED, edits=edits))

    assert (found.subject, found.severity) == ("backfill may", Severity.WARNING)
    assert found.message == f"It was paused by bob at {timestamp(NOW + 1)}, and 2 of its 4 partitions wait."
    assert found.advice == "treadle backfill resume may, or treadle backfill cancel may"


def test_blocked_backfill_is_a_problem_with_its_reason() -> None:
    [found] = examined(replace(RUNNING, problem="No job 'load' is registered."))

    assert (found.severity, found.message) == (Severity.PROBLEM, "No job 'load' is registered.")


def test_backfill_that_nobody_advances_is_a_problem() -> None:
    [found] = examined(replace(RUNNING, next_at=NOW - LATE_MS - 1))

    assert found.severity is Severity.PROBLEM
    assert found.message.endswith("RECONCILE has not reached it; 2 partitions wait.")
    assert examined(replace(RUNNING, next_at=NOW - LATE_MS))[0].severity is Severity.OK


def test_damaged_backfill_is_a_problem_and_hides_no_other() -> None:
    blocked = replace(RUNNING, name="june", problem="No job.")
    found = examined(RUNNING, blocked, unreadable="may")

    assert sorted(each.subject for each in found) == ["backfill june", "backfill may"]
    assert any("its progress is damaged" in each.message for each in found)
