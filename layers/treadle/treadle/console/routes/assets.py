"""API operations on assets: list, and show one asset's events."""

from treadle.console.api import ApiRequest, Json, Operation
from treadle.console.schemas import KEY, limit, list_of, record
from treadle.console.type_schemas import shape
from treadle.model.assets import AssetEvent
from treadle.operate.views import asset_event_json

MOST = 200
DEFAULT = 50

_EVENT = shape(AssetEvent)


def assets(request: ApiRequest) -> Json:
    """List assets."""
    return {"assets": [asset_event_json(each) for each in request.parts.assets.newest()]}


def asset_events(request: ApiRequest) -> Json:
    """Return a page of an asset's events."""
    query = request.query
    page = request.parts.assets.events(query["key"], before=query.get("before"), limit=query["limit"])
    return {"events": [asset_event_json(each) for each in page.events], "next": page.next}


OPERATIONS = (
    Operation(
        "GET",
        "/api/assets",
        "The newest event of each asset.",
        assets,
        record({"assets": list_of(_EVENT)}),
    ),
    Operation(
        "GET",
        "/api/assets/events",
        "An asset's events.",
        asset_events,
        record({"events": list_of(_EVENT), "next": {"type": ["integer", "null"]}}),
        query={
            "key": KEY,
            "before": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
            "limit": limit(DEFAULT, MOST),
        },
        required=("key",),
    ),
)
