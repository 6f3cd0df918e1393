"""API operations on assets: list, and show the materializations or observations of one."""

from treadle.console.api import ApiRequest, Json, Operation
from treadle.console.schemas import KEY, limit, list_of, record
from treadle.console.type_schemas import shape
from treadle.definitions.assets import ASSET_MATERIALIZATION, ASSET_OBSERVATION
from treadle.model.assets import AssetEvent
from treadle.operate.views import asset_event_json

MOST = 200
DEFAULT = 50

_EVENT = shape(AssetEvent)


def assets(request: ApiRequest) -> Json:
    """List assets."""
    newest = request.parts.assets.newest(observed=_is_observed(request))
    return {"assets": [asset_event_json(each) for each in newest]}


def asset_events(request: ApiRequest) -> Json:
    """Return a page of an asset's events."""
    query = request.query
    page = request.parts.assets.events(
        query["key"],
        before=query.get("before"),
        limit=query["limit"],
        observed=_is_observed(request),
    )
    return {"events": [asset_event_json(each) for each in page.events], "next": page.next}


def _is_observed(request: ApiRequest) -> bool:
    kind: str = request.query["kind"]
    return kind == ASSET_OBSERVATION


_KIND = {
    "enum": [ASSET_MATERIALIZATION, ASSET_OBSERVATION],
    "default": ASSET_MATERIALIZATION,
    "description": "Which events.",
}


OPERATIONS = (
    Operation(
        "GET",
        "/api/assets",
        "The newest materialization or observation of each asset.",
        assets,
        record({"assets": list_of(_EVENT)}),
        query={"kind": _KIND},
    ),
    Operation(
        "GET",
        "/api/assets/events",
        "An asset's materializations or observations.",
        asset_events,
        record({"events": list_of(_EVENT), "next": {"type": ["integer", "null"]}}),
        query={
            "key": KEY,
            "before": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
            "limit": limit(DEFAULT, MOST),
            "kind": _KIND,
        },
        required=("key",),
    ),
)
