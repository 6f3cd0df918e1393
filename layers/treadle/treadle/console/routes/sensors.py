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
from treadle.operate.graph import graph_of
from treadle.operate.overview import SensorView, deployed_sensor, effective_status
from treadle.operate.views import edit_json, graph_json, sensor_json
from treadle.ports.sensors import RecordedEdit, SensorState

MOST_AT_ONCE = 100
"""Maximum number of sensors that one request may change."""

EDITS = 20
"""Number of a sensor's last edits that are shown."""

_WORKERS = 8
_VIEW = with_properties(shape(SensorView), last_tick={"anyOf": [OUTLINE_OF_TICK, {"type": "null"}]})
_MISSING = {HTTPStatus.NOT_FOUND: "There is no such sensor."}


def overview(asked: ApiRequest) -> Json:
    """Return the overview of all sensors."""
    parts = asked.parts
    return {
        "stack": parts.deployment.name,
        "role": asked.caller.role.value,
        "now": asked.now,
        "sensors": [sensor_json(view) for view in parts.overview.sensors()],
        "dead_letters": parts.redriver.count(),
    }


def sensor(asked: ApiRequest) -> Json:
    """Return one sensor."""
    name = asked.path["sensor"]
    with not_found():
        view = asked.parts.overview.sensor(name)
    edits = asked.parts.sensors.edits(name, EDITS)
    return {**sensor_json(view), "edits": [edit_json(each) for each in edits]}


def start(asked: ApiRequest) -> Json:
    """Start a sensor."""
    return _changed(asked, _start)


def stop(asked: ApiRequest) -> Json:
    """Stop a sensor."""
    return _changed(asked, _stop)


def reset(asked: ApiRequest) -> Json:
    """Return a sensor to its declared status."""
    return _changed(asked, _reset)


def bulk(asked: ApiRequest) -> Json:
    """Change several sensors."""
    change = _CHANGES[asked.body["action"]]

    def one(name: str) -> Json:
        try:
            deployed = deployed_sensor(asked.parts.deployment, name)
            status = effective_status(deployed, change(asked, name))
        except TreadleError as error:
            return {"sensor": name, "ok": False, "says": str(error)}
        return {"sensor": name, "ok": True, "says": f"It is {status}."}

    names = list(dict.fromkeys(asked.body["sensors"]))
    with ThreadPoolExecutor(_WORKERS) as pool:
        return {"results": list(pool.map(one, names))}


def set_cursor(asked: ApiRequest) -> Json:
    """Replace a sensor's cursor."""
    cursor, seen = asked.body["cursor"], asked.body["if_epoch"]

    def change(asked: ApiRequest, name: str) -> SensorState:
        return asked.parts.sensors.set_cursor(name, cursor, asked.caller.name, if_epoch=seen)

    return _changed(asked, change)


def graph(asked: ApiRequest) -> Json:
    """Return the graph of sensors, jobs and assets."""
    return graph_json(graph_of(asked.parts.deployment, asked.parts.jobs))


def _start(asked: ApiRequest, name: str) -> SensorState:
    default = deployed_sensor(asked.parts.deployment, name).default_status
    return asked.parts.sensors.start(name, default, asked.caller.name)


def _stop(asked: ApiRequest, name: str) -> SensorState:
    return asked.parts.sensors.stop(name, asked.caller.name)


def _reset(asked: ApiRequest, name: str) -> SensorState:
    return asked.parts.sensors.reset(name, asked.caller.name)


_CHANGES: Mapping[str, Callable[[ApiRequest, str], SensorState]] = {
    "start": _start,
    "stop": _stop,
    "reset": _reset,
}


def _changed(asked: ApiRequest, change: Callable[[ApiRequest, str], object]) -> Json:
    name = asked.path["sensor"]
    with not_found():
        deployed_sensor(asked.parts.deployment, name)
    change(asked, name)
    return sensor_json(asked.parts.overview.sensor(name))


def _change(action: str, summary: str, act: Callable[[ApiRequest], Json]) -> Operation:
    path = f"/api/sensors/<sensor>/{action}"
    return Operation("POST", path, summary, act, _VIEW, body=record({}), refusals=_MISSING)


_RESULT: Schema = record({"sensor": TEXT, "ok": {"type": "boolean"}, "says": TEXT})
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
        "The jobs and assets whose events sensors receive, and the jobs that they may start.",
        graph,
        record({"nodes": list_of(_NODE), "edges": list_of(record({"from": TEXT, "to": TEXT}))}),
    ),
)
