"""Sends dead letters again, each to the step that it was meant for, and says of each what was done."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from treadle.definitions.errors import CommandRefusedError, StoreError, TreadleError
from treadle.engine.message_hops import first_of_a_chain
from treadle.operate.redrive_routes import Destination, Route, route_of
from treadle.ports.records import reason_of
from treadle.ports.system import DeadLetter, DeadLetterQueue

DEFAULT_LIMIT = 1_000


class RedriveAction(StrEnum):
    """What became of a letter."""

    SENT = "SENT"
    DROPPED = "DROPPED"
    LEFT = "LEFT"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """A letter, and what became of it; of a dry run, what would.

    Attributes:
        letter: as it was received.
        origin: where it came from.
        fate: what became of it.
        reason: why, in words.
    """

    letter: DeadLetter
    origin: str
    fate: RedriveAction
    reason: str


ENGINE = ""
"""As letters name whose queue the engine's is."""

_Key = tuple[str, str]


def _key(letter: DeadLetter) -> _Key:
    return letter.project, letter.message_id


class Redriver:
    """Empties the dead-letter queues of an engine and its projects as far as that is safe.

    Args:
        box: the engine's dead letters.
        destinations: gives the queues of the deployment as they are now.
        projects: gives the dead letters of each project that has a queue of its own, by its name, as they are now.
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
        """About how many letters there are; None if a queue did not say, or may not be asked."""
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
        """Send letters again, one by one; each is deleted only once it was sent.

        All are received before the first is sent, so that what is buried anew meanwhile is not met again.

        Args:
            limit: how many letters at most.
            origin: only those from there; None for all.
            project: only those in its queue; `ENGINE` for the engine's; None for all.
            dry_run: True to say only what would become of them.

        Raises:
            CommandRefusedError: if no such project has a dead-letter queue.
            StoreError: if a dead-letter queue could not be read; nothing was done then.
        """
        boxes = self._boxes(project)
        received: dict[_Key, tuple[DeadLetter, Route]] = {}
        deleted: set[_Key] = set()
        try:
            wanted = self._receive(boxes, received, limit, origin)
            for letter, route in wanted:
                box = boxes[letter.project]
                done = self._told(letter, route) if dry_run else self._execute(box, letter, route, deleted)
                yield done
        finally:
            for key, (letter, _) in received.items():
                if key not in deleted:
                    # Otherwise it comes back by itself, only later.
                    with contextlib.suppress(StoreError):
                        boxes[letter.project].give_back(letter)

    def _boxes(self, project: str | None) -> Mapping[str, DeadLetterQueue]:
        """Where letters are looked for, by whose they are.

        Raises:
            CommandRefusedError: if no such project has a dead-letter queue.
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
        origin: str | None,
    ) -> list[tuple[DeadLetter, Route]]:
        wanted: dict[_Key, tuple[DeadLetter, Route]] = {}
        destinations = self._destinations()
        for project, box in boxes.items():
            while len(wanted) < limit and (letters := box.receive()):
                for each in letters:
                    letter = replace(each, project=project)
                    found = (letter, route_of(letter, destinations))
                    received[_key(letter)] = found
                    if origin in {None, found[1].origin} and len(wanted) < limit:
                        wanted[_key(letter)] = found
        return list(wanted.values())

    def _told(self, letter: DeadLetter, route: Route) -> RedriveResult:
        fate = (
            RedriveAction.SENT
            if route.destination
            else RedriveAction.DROPPED
            if route.is_discardable
            else RedriveAction.LEFT
        )
        return RedriveResult(letter, route.origin, fate, route.reason)

    def _execute(
        self, box: DeadLetterQueue, letter: DeadLetter, route: Route, deleted: set[_Key]
    ) -> RedriveResult:
        told = self._told(letter, route)
        if told.fate is RedriveAction.LEFT:
            return told
        try:
            if route.destination is not None:
                route.destination.queue.send([first_of_a_chain(route.body)])
            box.delete(letter)
        except Exception as error:  # noqa: BLE001 - whatever is in a letter, the others are sent
            words = str(error) if isinstance(error, TreadleError) else reason_of(error)
            return RedriveResult(letter, route.origin, RedriveAction.FAILED, f"It stays: {words}")
        deleted.add(_key(letter))
        return told
