"""Redrives dead letters, each to its original destination, or deletes them, and reports what was done with each."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from treadle.definitions.errors import CommandRefusedError, StoreError, TreadleError
from treadle.engine.message_hops import first_of_a_chain
from treadle.model.messages import DeadLetter
from treadle.model.records import reason_of
from treadle.operate.redrive_routes import Destination, Route, route_of
from treadle.ports.system import DeadLetterQueue

DEFAULT_LIMIT = 1_000


class RedriveAction(StrEnum):
    """What was done with a dead letter."""

    SENT = "SENT"
    DROPPED = "DROPPED"
    LEFT = "LEFT"
    FAILED = "FAILED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """What was done with a dead letter; in a dry run, what would be done.

    Attributes:
        dead_letter: as received.
        origin: the component that it came from.
        action: what was done.
        reason: a description.
    """

    dead_letter: DeadLetter
    origin: str
    action: RedriveAction
    reason: str


ENGINE = ""
"""The engine's queue, in a dead letter's `project`."""

_KEPT = {RedriveAction.LEFT, RedriveAction.FAILED}

_Key = tuple[str, str]
_Filter = Callable[[DeadLetter, Route], bool]
_Act = Callable[[DeadLetterQueue, DeadLetter, Route], RedriveResult]


def _key(dead_letter: DeadLetter) -> _Key:
    return dead_letter.project, dead_letter.message_id


class Redriver:
    """Empties the dead-letter queues of an engine and its projects as far as that is safe.

    Args:
        box: the engine's dead letters.
        destinations: returns the current queues of the deployment.
        projects: returns the current dead-letter queues of projects, by project name.
    """

    def __init__(
        self,
        box: DeadLetterQueue,
        destinations: Callable[[], Sequence[Destination]],
        projects: Callable[[], Mapping[str, DeadLetterQueue]] = dict,
    ) -> None:
        self._box = box
        self._destinations = destinations
        self._projects = projects

    def count(self) -> int | None:
        """Return the approximate number of dead letters; None if a queue did not respond or denied access."""
        try:
            return sum(box.count() for box in self._boxes(None).values())
        except StoreError:
            return None

    def redrive(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        origin: str | None = None,
        project: str | None = None,
        dry_run: bool = False,
    ) -> Iterator[RedriveResult]:
        """Redrive messages one by one; each is deleted only after it was sent.

        All are received before the first is sent, so that none that becomes a dead letter again meanwhile is
        received twice.

        Args:
            limit: the maximum number of messages.
            origin: only those from this component; None for all.
            project: only those in this project's queue; `ENGINE` for the engine's; None for all.
            dry_run: True to report only what would be done.

        Raises:
            CommandRefusedError: if the project does not exist or has no dead-letter queue.
            StoreError: if a dead-letter queue could not be read; nothing was done.
        """
        act = self._planned if dry_run else self._execute
        yield from self._each(
            self._boxes(project), limit, lambda _, route: origin in {None, route.origin}, act
        )

    def delete(self, message_ids: Collection[str]) -> Iterator[RedriveResult]:
        """Delete dead letters for good, wherever they are; those that are gone have no result.

        Args:
            message_ids: their ids.

        Raises:
            StoreError: if a dead-letter queue could not be read; nothing was deleted.
        """
        yield from self._each(
            self._boxes(None),
            len(set(message_ids)),
            lambda dead_letter, _: dead_letter.message_id in message_ids,
            self._deleted,
        )

    def _each(
        self, boxes: Mapping[str, DeadLetterQueue], limit: int, is_wanted: _Filter, act: _Act
    ) -> Iterator[RedriveResult]:
        """Receive dead letters, act on those that are wanted, and give the others back."""
        received: dict[_Key, tuple[DeadLetter, Route]] = {}
        deleted: set[_Key] = set()
        try:
            for dead_letter, route in self._receive(boxes, received, limit, is_wanted):
                done = act(boxes[dead_letter.project], dead_letter, route)
                if done.action not in _KEPT and act != self._planned:
                    deleted.add(_key(dead_letter))
                yield done
        finally:
            for key, (dead_letter, _) in received.items():
                if key not in deleted:
                    # Otherwise the visibility timeout returns it later.
                    with contextlib.suppress(StoreError):
                        boxes[dead_letter.project].give_back(dead_letter)

    def _boxes(self, project: str | None) -> Mapping[str, DeadLetterQueue]:
        """Return the dead-letter queues of a project, or all, by project.

        Raises:
            CommandRefusedError: if the project does not exist or has no dead-letter queue.
        """
        if project == ENGINE:
            return {ENGINE: self._box}
        projects = self._projects()
        if project is None:
            return {ENGINE: self._box, **projects}
        if project not in projects:
            known = ", ".join(sorted(projects)) or "none"
            msg = f"Project {project!r} has no dead-letter queue; these have: {known}."
            raise CommandRefusedError(msg)
        return {project: projects[project]}

    def _receive(
        self,
        boxes: Mapping[str, DeadLetterQueue],
        received: dict[_Key, tuple[DeadLetter, Route]],
        limit: int,
        is_wanted: _Filter,
    ) -> list[tuple[DeadLetter, Route]]:
        wanted: dict[_Key, tuple[DeadLetter, Route]] = {}
        destinations = self._destinations()
        for project, box in boxes.items():
            while len(wanted) < limit and (dead_letters := box.receive()):
                for each in dead_letters:
                    dead_letter = replace(each, project=project)
                    found = (dead_letter, route_of(dead_letter, destinations))
                    received[_key(dead_letter)] = found
                    if is_wanted(*found) and len(wanted) < limit:
                        wanted[_key(dead_letter)] = found
        return list(wanted.values())

    def _planned(self, box: DeadLetterQueue, dead_letter: DeadLetter, route: Route) -> RedriveResult:
        del box
        action = (
            RedriveAction.SENT
            if route.destination
            else RedriveAction.DROPPED
            if route.is_discardable
            else RedriveAction.LEFT
        )
        return RedriveResult(dead_letter, route.origin, action, route.reason)

    def _execute(self, box: DeadLetterQueue, dead_letter: DeadLetter, route: Route) -> RedriveResult:
        planned = self._planned(box, dead_letter, route)
        if planned.action is RedriveAction.LEFT:
            return planned
        try:
            if route.destination is not None:
                route.destination.queue.send([first_of_a_chain(route.body)])
            box.delete(dead_letter)
        except Exception as error:  # noqa: BLE001 - one unreadable dead letter must not stop the others
            return _failed(dead_letter, route, error)
        return planned

    def _deleted(self, box: DeadLetterQueue, dead_letter: DeadLetter, route: Route) -> RedriveResult:
        try:
            box.delete(dead_letter)
        except StoreError as error:
            return _failed(dead_letter, route, error)
        return RedriveResult(dead_letter, route.origin, RedriveAction.DELETED, "Nothing sends it again.")


def _failed(dead_letter: DeadLetter, route: Route, error: Exception) -> RedriveResult:
    reason = str(error) if isinstance(error, TreadleError) else reason_of(error)
    return RedriveResult(dead_letter, route.origin, RedriveAction.FAILED, f"It stays in the queue: {reason}")
