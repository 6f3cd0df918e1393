"""API operations on sensors: overview, show, change, and the graph."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from treadle.console.api import NAMES, ApiRequest, Json, Operation, Schema
from treadle.console.routes.errors import not_found
from treadle.console.routes.ticks import OUTLINE_OF_TICK
from treadle.console.schemas import MAYBE_TEXT, TEXT, list_of, record
from treadle.console.static_token import Role
from treadle.console.type_schemas import shape, with_properties
from treadle.definitions.contexts import MAX_CURSOR_BYTES
from treadle.definitions.errors import TreadleError
from treadle.model.sensors import RecordedEdit, SensorState
from treadle.operate.graph import graph_of
from treadle.operate.overview import SensorView, deployed_sensor, effective_status
from treadle.operate.views import edit_json, graph_json, sensor_json

MOST_AT_ONCE = 100
"""Maximum number of sensors that one request may change."""

EDITS = 20
"""Number of a sensor's last edits that are shown."""

_WORKERS = 8
_VIEW = with_properties(shape(SensorView), last_tick={"anyOf": [OUTLINE_OF_TICK, {"type": "null"}]})
_MISSING = {HTTPStatus.NOT_FOUND: "There is no such sensor."}
_NOT_HELD = {**_MISSING, HTTPStatus.CONFLICT: "The sensor is not held as a loop."}


def overview(request: ApiRequest) -> Json:
    """Return the overview of all sensors."""
    parts = request.parts
    return {
        "stack": parts.deployment.name,
        "role": request.caller.role.value,
        "now": request.now,
        "sensors": [sensor_json(view) for view in parts.overview.sensors()],
        "dead_letters": parts.redriver.count(),
    }


def sensor(request: ApiRequest) -> Json:
    """Return one sensor."""
    name = request.path["sensor"]
    with not_found():
        view = request.parts.overview.sensor(name)
    edits = request.parts.sensors.edits(name, EDITS)
    return {**sensor_json(view), "edits": [edit_json(each) for each in edits]}


def start(request: ApiRequest) -> Json:
    """Start a sensor."""
    return _changed(request, _start)


def stop(request: ApiRequest) -> Json:
    """Stop a sensor."""
    return _changed(request, _stop)


def reset(request: ApiRequest) -> Json:
    """Return a sensor to its declared status."""
    return _changed(request, _reset)


def release_loop(request: ApiRequest) -> Json:
    """Release a sensor that is held as a loop."""
    return _changed(request, lambda request, name: request.parts.loops.release(name, request.caller.name))


def bulk(request: ApiRequest) -> Json:
    """Change several sensors."""
    change = _CHANGES[request.body["action"]]

    def one(name: str) -> Json:
        try:
            deployed = deployed_sensor(request.parts.deployment, name)
            status = effective_status(deployed, change(request, name))
        except TreadleError as error:
            return {"sensor": name, "ok": False, "message": str(error)}
        return {"sensor": name, "ok": True, "message": f"It is {status}."}

    names = list(dict.fromkeys(request.body["sensors"]))
    with ThreadPoolExecutor(_WORKERS) as pool:
        return {"results": list(pool.map(one, names))}


def set_cursor(request: ApiRequest) -> Json:
    """Replace a sensor's cursor."""
    cursor, seen = request.body["cursor"], request.body["if_epoch"]

    def change(request: ApiRequest, name: str) -> SensorState:
        return request.parts.sensors.set_cursor(name, cursor, request.caller.name, if_epoch=seen)

    return _changed(request, change)


def graph(request: ApiRequest) -> Json:
    """Return the graph of sensors, jobs and assets."""
    parts = request.parts
    return graph_json(graph_of(parts.deployment, parts.jobs, parts.overview.loads))


def _start(request: ApiRequest, name: str) -> SensorState:
    default = deployed_sensor(request.parts.deployment, name).default_status
    return request.parts.sensors.start(name, default, request.caller.name)


def _stop(request: ApiRequest, name: str) -> SensorState:
    return request.parts.sensors.stop(name, request.caller.name)


def _reset(request: ApiRequest, name: str) -> SensorState:
    default = deployed_sensor(request.parts.deployment, name).default_status
    return request.parts.sensors.reset(name, request.caller.name, default)


_CHANGES: Mapping[str, Callable[[ApiRequest, str], SensorState]] = {
    "start": _start,
    "stop": _stop,
    "reset": _reset,
}


def _changed(request: ApiRequest, change: Callable[[ApiRequest, str], object]) -> Json:
    name = request.path["sensor"]
    with not_found():
        deployed_sensor(request.parts.deployment, name)
    change(request, name)
    return sensor_json(request.parts.overview.sensor(name))


def _change(
    action: str,
    summary: str,
    act: Callable[[ApiRequest], Json],
    refusals: Mapping[HTTPStatus, str] = _MISSING,
) -> Operation:
    path = f"/api/sensors/<sensor>/{action}"
    return Operation("POST", path, summary, act, _VIEW, body=record({}), refusals=refusals)


_RESULT: Schema = record({"sensor": TEXT, "ok": {"type": "boolean"}, "message": TEXT})
_NODE: Schema = record({"id": TEXT, "kind": {"enum": ["sensor", "job", "asset"]}, "name": TEXT})

OPERATIONS = (
    Operation(
        "GET",
        "/api/overview",
        "All sensors with their status, and the caller's role.",
        overview,
        record(
            {
                "stack": TEXT,
                "role": {"enum": [role.value for role in Role]},
                "now": {"type": "integer"},
                "sensors": list_of(_VIEW),
                "dead_letters": {
                    "type": ["integer", "null"],
                    "description": "Approximate number; null if unknown.",
                },
            }
        ),
    ),
    Operation(
        "GET",
        "/api/sensors/<sensor>",
        "One sensor, with operators' last changes.",
        sensor,
        with_properties(_VIEW, edits=list_of(shape(RecordedEdit))),
        refusals=_MISSING,
    ),
    _change("start", "Start a sensor; its cursor is kept.", start),
    _change("stop", "Stop a sensor; its cursor is kept.", stop),
    _change("reset", "Reset a sensor to the status that its code or deployment declares.", reset),
    _change("release-loop", "Release a sensor that is held as a loop.", release_loop, _NOT_HELD),
    Operation(
        "POST",
        "/api/sensors/bulk",
        "Start, stop or reset several sensors; the response has the result of each.",
        bulk,
        record({"results": list_of(_RESULT)}),
        body=record(
            {
                "action": {"enum": sorted(_CHANGES)},
                "sensors": {**list_of(NAMES["sensor"]), "minItems": 1, "maxItems": MOST_AT_ONCE},
            }
        ),
    ),
    Operation(
        "PUT",
        "/api/sensors/<sensor>/cursor",
        "Set or delete a sensor's cursor, unless it has changed since it was read.",
        set_cursor,
        _VIEW,
        body=record(
            {
                "cursor": {**MAYBE_TEXT, "maxLength": MAX_CURSOR_BYTES},
                "if_epoch": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": 2**53 - 1,
                    "description": "The sensor's `cursor_epoch` as it was read.",
                },
            }
        ),
        refusals={
            **_MISSING,
            HTTPStatus.CONFLICT: "A tick or another operator has changed the sensor in the meantime.",
            HTTPStatus.UNPROCESSABLE_ENTITY: "The cursor is too large to be stored.",
        },
    ),
    Operation(
        "GET",
        "/api/graph",
        "The jobs and assets whose events or deadlines sensors receive, and the jobs that they may start.",
        graph,
        record(
            {
                "nodes": list_of(_NODE),
                "edges": list_of(record({"from": TEXT, "to": TEXT})),
                "unknown": list_of(record({"sensor": TEXT, "reason": TEXT})),
            }
        ),
    ),
)
