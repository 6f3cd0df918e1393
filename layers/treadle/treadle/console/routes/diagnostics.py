"""API operations for diagnosis: why something did or did not run, and what is wrong."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler.exceptions import BadRequestError

from treadle.console.api import NAMES, ApiRequest, Json, Operation
from treadle.console.routes.errors import not_found
from treadle.console.routes.params import TIME_SCHEMA, parsed_time
from treadle.console.schemas import KEY, list_of, record
from treadle.console.type_schemas import shape
from treadle.operate.explain import Subject
from treadle.operate.explanation import Explanation
from treadle.operate.findings import Finding
from treadle.operate.views import plain_json

STORY = shape(Explanation)


def why(request: ApiRequest) -> Json:
    """Explain why something did or did not run."""
    query = request.query
    subjects = [name for name in ("key", "object", "event", "run", "at") if name in query]
    if len(subjects) != 1:
        raise BadRequestError("Give one of key, object, event, run and at.")
    with not_found():
        sensor = query.get("sensor") or _sensor_of(request)
        at = parsed_time(request, query["at"]) if "at" in query else None
        subject = Subject(query.get("key"), query.get("object"), query.get("run"), at, query.get("event"))
        result: Json = plain_json(request.parts.why.explain(sensor, subject))
    return result


def doctor(request: ApiRequest) -> Json:
    """Return the findings."""
    return {"findings": plain_json(request.parts.doctor.examine())}


def _sensor_of(request: ApiRequest) -> str:
    """Return the sensor that requested the run; for other subjects, it must be given."""
    if "run" not in request.query:
        raise BadRequestError("Give the sensor.")
    return request.parts.runs.get(request.query["run"]).sensor


OPERATIONS = (
    Operation(
        "GET",
        "/api/why",
        "Why a run key, an object, an event or a run did or did not run, or what happened at a time; step by step.",
        why,
        STORY,
        query={
            "sensor": NAMES["sensor"],
            "key": KEY,
            "object": {**KEY, "pattern": "^s3://", "description": "Such as s3://bucket/key."},
            "event": {**KEY, "description": "The id of an EventBridge event."},
            "run": NAMES["run_id"],
            "at": TIME_SCHEMA,
        },
        refusals={
            HTTPStatus.NOT_FOUND: "The sensor or run does not exist, or the sensor does not watch a bucket.",
            HTTPStatus.BAD_GATEWAY: "Access to the bucket is denied.",
        },
    ),
    Operation(
        "GET",
        "/api/doctor",
        "What is wrong with the deployment, and what to do about it; also what could not be checked.",
        doctor,
        record({"findings": list_of(shape(Finding))}),
    ),
)
