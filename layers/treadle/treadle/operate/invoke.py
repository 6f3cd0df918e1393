"""What an operator has a sensor's own function do at once: evaluate now, or show what an evaluation would do."""

from collections.abc import Mapping
from dataclasses import dataclass

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.asset_events import materialized
from treadle.engine.bus_events import asset_materialized, envelope, run_status_changed
from treadle.engine.preview import STORED
from treadle.engine.publish import statuses_reached
from treadle.operate.overview import deployed_sensor
from treadle.ports.assets import AssetEvent
from treadle.ports.deployment import EVENT_KINDS, Deployment
from treadle.ports.runs import Run


@dataclass(frozen=True, slots=True)
class PreviewResult:
    """What an evaluation would do; nothing of it was done.

    Attributes:
        tick: the record it would leave, by the names of `Tick`'s fields as far as they have a meaning; `left_out`,
            where an answer has no room for all entries of a list, says how many more there are.
        cursor_before: the bookmark it was evaluated with.
        cursor_after: the bookmark it would leave.
    """

    tick: Mapping[str, object]
    cursor_before: object
    cursor_after: object


@dataclass(frozen=True, slots=True)
class ManualTickResult:
    """What became of an operator's tick.

    Attributes:
        decision: such as "SUCCESS", "SKIPPED", "FAILURE", "STOPPED" or "LEASED".
        reason: why, in words.
        tick_id: of the tick's record; None if it has none of its own, as a skip, which only lengthens a streak.
    """

    decision: str
    reason: str
    tick_id: str | None


def event_of_run(run: Run, namespace: str) -> Mapping[str, object]:
    """The event that tells of the last status that a run has reached, as EventBridge brings it.

    Args:
        run: its record.
        namespace: the engine's, as `account/region/namespace`.
    """
    return envelope(run_status_changed(statuses_reached(run)[-1], namespace, number=0), namespace)


def event_of_asset(event: AssetEvent, namespace: str) -> Mapping[str, object]:
    """The event that tells of a materialization, as EventBridge brings it.

    Args:
        event: as it is kept.
        namespace: the engine's.
    """
    return envelope(asset_materialized(materialized(event), namespace), namespace)


class SensorInvoker:
    """Invokes sensors' functions.

    Args:
        deployment: the stack.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def preview(
        self, sensor: str, *, cursor: object = STORED, event: Mapping[str, object] | None = None
    ) -> PreviewResult:
        """What an evaluation would do now; nothing is committed, and nothing is started.

        Args:
            sensor: its name.
            cursor: a text or None to evaluate with; the stored one by default.
            event: as a queue or a rule brings it, to evaluate in place of a tick.

        Raises:
            CommandRefusedError: if there is no such sensor, or it evaluates nothing without an event.
            InvocationError: if its function failed, or did not answer.
        """
        if event is None:
            self._check_ticks(sensor, "give it one to preview")
        asked: dict[str, object] = {"treadle": "preview"}
        if cursor is not STORED:
            asked["cursor"] = cursor
        if event is not None:
            asked["event"] = dict(event)
        told = self._deployment.invoke(sensor, asked)
        failed = told.get("decision") == "FAILURE"
        error = {"message": told.get("reason"), "stack": told.get("stack") or ""} if failed else None
        lists = {name: told.get(name) or [] for name in _LISTS}
        reason = None if failed else told.get("reason")
        tick = {"status": told.get("decision"), "reason": reason, "error": error, **lists}
        if told.get("left_out"):
            tick["left_out"] = told["left_out"]
        return PreviewResult(tick, told.get("cursor_before"), told.get("cursor_after"))

    def tick(self, sensor: str) -> ManualTickResult:
        """Evaluate at once: the interval is not awaited, nor what failures hold up; one tick at a time, as ever.

        Args:
            sensor: its name.

        Raises:
            CommandRefusedError: if there is no such sensor, or it evaluates only events.
            InvocationError: if its function failed, or did not answer; the tick may have been committed.
        """
        self._check_ticks(sensor, "preview one, or replay what it missed")
        told = self._deployment.invoke(sensor, {"treadle": "tick", "at_once": True})
        decision = str(told.get("decision"))
        has_record = decision in _RECORDED
        return ManualTickResult(
            decision, str(told.get("reason")), str(told.get("subject")) if has_record else None
        )

    def _check_ticks(self, sensor: str, instead: str) -> None:
        kind = deployed_sensor(self._deployment, sensor).kind
        if kind in EVENT_KINDS:
            msg = f"Sensor {sensor} evaluates events, each as it comes, and nothing at a tick: {instead}."
            raise CommandRefusedError(msg)


_LISTS = ("requests", "existing_keys", "set_aside", "asset_events", "log")
_RECORDED = {"SUCCESS", "FAILURE"}
