"""Invokes a sensor's own function for an operator: a tick now, or a preview."""

from collections.abc import Mapping
from dataclasses import dataclass

from treadle.definitions.errors import CommandRefusedError
from treadle.engine.assets.asset_events import materialized
from treadle.engine.publish.bus_events import asset_recorded, envelope, run_status_changed
from treadle.engine.publish.publisher import statuses_reached
from treadle.engine.tick.preview import STORED
from treadle.model.assets import AssetEvent
from treadle.model.deployment import EVENT_KINDS
from treadle.model.runs import Run
from treadle.operate.overview import deployed_sensor
from treadle.ports.deployment import Deployment


@dataclass(frozen=True, slots=True)
class PreviewResult:
    """The result of an evaluation that was not recorded.

    Attributes:
        tick: the record that it would leave, with the names of `Tick`'s fields as far as they apply;
            `left_out` has the number of omitted entries of each list that was too long for the response.
        cursor_before: the cursor of the evaluation.
        cursor_after: the cursor that it would store.
    """

    tick: Mapping[str, object]
    cursor_before: object
    cursor_after: object


@dataclass(frozen=True, slots=True)
class ManualTickResult:
    """The result of an operator's tick.

    Attributes:
        decision: such as "SUCCESS", "SKIPPED", "FAILURE", "STOPPED" or "LEASED".
        reason: a description.
        tick_id: the tick's record; None if it has none, like a skip that only extends a streak.
    """

    decision: str
    reason: str
    tick_id: str | None


def event_of_run(run: Run, namespace: str) -> Mapping[str, object]:
    """Build the event of a run's latest status, as EventBridge delivers it.

    Args:
        run: the run's record.
        namespace: the engine's, as `account/region/namespace`.
    """
    return envelope(run_status_changed(statuses_reached(run)[-1], namespace, number=0), namespace)


def event_of_asset(event: AssetEvent, namespace: str) -> Mapping[str, object]:
    """Build the event of a materialization, as EventBridge delivers it."""
    return envelope(asset_recorded(materialized(event), namespace), namespace)


class SensorInvoker:
    """Invokes sensors' functions."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def preview(
        self, sensor: str, *, cursor: object = STORED, event: Mapping[str, object] | None = None
    ) -> PreviewResult:
        """Evaluate without committing or starting anything.

        Args:
            sensor: the sensor's name.
            cursor: a string or None to evaluate with; the stored cursor by default.
            event: an event to evaluate instead of a tick, as a queue or a rule delivers it.

        Raises:
            CommandRefusedError: if the sensor does not exist, or evaluates only events and none was given.
            InvocationError: if its function failed or did not respond.
        """
        if event is None:
            self._check_ticks(sensor, "give it one to preview")
        request: dict[str, object] = {"treadle": "preview"}
        if cursor is not STORED:
            request["cursor"] = cursor
        if event is not None:
            request["event"] = dict(event)
        response = self._deployment.invoke(sensor, request)
        failed = response.get("decision") == "FAILURE"
        error = {"message": response.get("reason"), "stack": response.get("stack") or ""} if failed else None
        lists = {name: response.get(key) or [] for name, key in _LISTS.items()}
        reason = None if failed else response.get("reason")
        tick = {"status": response.get("decision"), "reason": reason, "error": error, **lists}
        if isinstance(left_out := response.get("left_out"), Mapping):
            tick["left_out"] = {name: left_out[key] for name, key in _LISTS.items() if key in left_out}
        return PreviewResult(tick, response.get("cursor_before"), response.get("cursor_after"))

    def tick(self, sensor: str) -> ManualTickResult:
        """Evaluate now, regardless of hours, interval and backoff; still one tick at a time.

        Args:
            sensor: the sensor's name.

        Raises:
            CommandRefusedError: if the sensor does not exist, or evaluates only events.
            InvocationError: if its function failed or did not respond; the tick may have been committed.
        """
        self._check_ticks(sensor, "preview one, or replay what it missed")
        response = self._deployment.invoke(sensor, {"treadle": "tick", "at_once": True})
        decision = str(response.get("decision"))
        has_record = decision in _RECORDED
        return ManualTickResult(
            decision, str(response.get("reason")), str(response.get("subject")) if has_record else None
        )

    def _check_ticks(self, sensor: str, instead: str) -> None:
        kind = deployed_sensor(self._deployment, sensor).kind
        if kind in EVENT_KINDS:
            msg = f"Sensor {sensor} evaluates events and cannot be evaluated without one: {instead}."
            raise CommandRefusedError(msg)


_LISTS = {
    "requests": "requests",
    "existing_keys": "existing_keys",
    "rejected": "set_aside",
    "asset_events": "asset_events",
    "dynamic_partitions_request_results": "dynamic_partitions_request_results",
    "log": "log",
}
"""The lists of a preview, and their names in the response of a function, whose version may be another one."""

_RECORDED = {"SUCCESS", "FAILURE"}
