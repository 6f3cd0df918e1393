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
from treadle.operate.search import Match
from treadle.operate.views import plain_json

STORY = shape(Explanation)


def why(request: ApiRequest) -> Json:
    """Explain why something did or did not run."""
    query = request.query
    subjects = [name for name in ("key", "object", "event", "run", "at") if name in query]
    if len(subjects) != 1:
        raise BadRequestError("Give one of key, object, event, run and at.")
    sensor, needs_sensor = query.get("sensor"), subjects[0] in {"event", "at"}
    if sensor is None and needs_sensor:
        raise BadRequestError("Give the sensor.")
    with not_found():
        at = parsed_time(request, query["at"]) if "at" in query else None
        subject = Subject(query.get("key"), query.get("object"), query.get("run"), at, query.get("event"))
        if sensor is None:
            sensor, subject = request.parts.search.subject(None, subject)
        result: Json = plain_json(request.parts.why.explain(sensor, subject))
    return result


def search(request: ApiRequest) -> Json:
    """Return what a text names."""
    return {"matches": plain_json(request.parts.search.find(request.query["text"].strip()))}


def doctor(request: ApiRequest) -> Json:
    """Return the findings."""
    return {"findings": plain_json(request.parts.doctor.examine())}


OPERATIONS = (
    Operation(
        "GET",
        "/api/why",
        "Why a run key, an object, an event or a run did or did not run, or what happened at a time; step by step. "
        "A run key that has a run, an object and a run are found without their sensor.",
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
            HTTPStatus.NOT_FOUND: "The sensor or run does not exist, the sensor does not watch a bucket, or nothing was found.",
            HTTPStatus.BAD_GATEWAY: "Access to the bucket is denied.",
        },
    ),
    Operation(
        "GET",
        "/api/search",
        "What a text names, in all sensors: a sensor, a run by its id, the first characters of it, or its run key, or an "
        "object with the sensors that watch it.",
        search,
        record({"matches": list_of(shape(Match))}),
        query={"text": {**KEY, "description": "At least four characters of a run's id."}},
        required=("text",),
        refusals={HTTPStatus.BAD_GATEWAY: "Access to the bucket is denied."},
    ),
    Operation(
        "GET",
        "/api/doctor",
        "What is wrong with the deployment, and what to do about it; also what could not be checked.",
        doctor,
        record({"findings": list_of(shape(Finding))}),
    ),
)
