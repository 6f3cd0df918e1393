"""A job whose address changes while its runs are under way, and a target that denies what a deployment took away."""

from collections.abc import Iterator, Mapping

from tests.support.house import ARN, JOB, House
from tests.support.launching import launch, queue_run
from treadle.definitions.errors import (
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.reconcile import Reconciled
from treadle.ports.runs import Run
from treadle.ports.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.testing.targets import NAMED, InMemoryTarget

NEW_ARN = ARN.replace("process-file", "process-file-2")
MOVED = {JOB: JobSettings(JOB, "step_functions", NEW_ARN, "ProcessFileStateMachineArn")}
LISTED = StartContract(listing_ms=24 * 3_600_000)
TOKENED = StartContract(token_ms=3_600_000)
ANYTHING = StartContract(describes=False)
DENIED = LaunchDeniedError("not authorized to perform: states:StartExecution")
GONE = LaunchRejectedError("StateMachineDoesNotExist")
HOUR = 3_600_000

MOST_PASSES = 1_000
"""A run that is due more often than that will always be."""


class MovableTarget(InMemoryTarget):
    """A target that can refuse whatever concerns an address.

    Attributes:
        walls: by address, the error that every call about it ends with.
        start_walls: the same of starts alone.
        loses: True while starts come through without an answer.
    """

    walls: dict[str, LaunchError]
    start_walls: dict[str, LaunchError]
    loses: bool

    def __init__(self, house: House, contract: StartContract = NAMED) -> None:
        super().__init__(house.clock, contract)
        self.walls, self.start_walls, self.loses = {}, {}, False

    def _check(self, text: str, more: Mapping[str, LaunchError] | None = None) -> None:
        for address, error in {**self.walls, **(more or {})}.items():
            if text == address or text.startswith(f"{address}:"):
                raise error

    def start(self, start: Start) -> Execution:
        self._check(start.settings.arn, self.start_walls)
        execution = super().start(start)
        if self.loses:
            msg = "no answer"
            raise LaunchUncertainError(msg)
        return execution

    def resolve(self, start: Start) -> Execution | None:
        self._check(start.settings.arn)
        return super().resolve(start)

    def describe(self, external_id: str, role: str = "") -> Execution:
        self._check(external_id)
        return super().describe(external_id, role)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        self._check(settings.arn)
        return super().recent(settings, since)


def target_of(house: House, contract: StartContract = NAMED) -> MovableTarget:
    """The house's target."""
    house.target = target = MovableTarget(house, contract)
    return target


def started(house: House) -> MovableTarget:
    """A run under way at the first address."""
    queue_run(house)
    target = target_of(house)
    launch(house)
    assert house.only_run().status is Status.STARTED
    return target


def in_doubt(house: House, contract: StartContract = NAMED) -> MovableTarget:
    """A run whose start came through at the first address, and got no answer."""
    queue_run(house)
    target = target_of(house, contract)
    target.loses = True
    launch(house)
    target.loses = False
    assert (house.only_run().status, len(target.executions)) == (Status.QUEUED, 1)
    house.launches.drain()
    house.clock.advance(30)
    return target


def keep_launching(house: House, until: int = 100 * HOUR) -> Run:
    """Take up each message when it is due, until there is none or it is so late."""
    end = house.clock.now() + until
    launch(house)
    while house.launches.messages and house.clock.now() < end:
        delay = max(message.delay_seconds for message in house.launches.messages)
        house.launches.drain()
        house.clock.advance(delay)
        launch(house)
    return house.only_run()


def keep_reconciling(house: House, until: int = 400 * HOUR) -> list[Reconciled]:
    """One pass whenever the run is due, until it has ended or it is so late."""
    end, passes = house.clock.now() + until, []
    while (due := house.only_run().next_at) is not None and due < end:
        house.clock.time = max(house.clock.time, due)
        passes.append(house.reconciler().reconcile(50))
        assert len(passes) < MOST_PASSES, "the run is due again and again"
    return passes
