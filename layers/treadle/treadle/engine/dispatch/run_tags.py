"""The tags that Treadle adds to a run's record: sensor, tick, run key, partition and chain depth."""

from treadle.definitions.runs import DEPTH_TAG, PARTITION_TAG, SENSOR_NAME_TAG
from treadle.model.ticks import PlannedRun


def run_tags(request: PlannedRun, sensor: str, tick_id: str, depth: int) -> dict[str, str]:
    """Return all tags of the run that a request starts; Treadle's own override the author's.

    Args:
        request: with the author's tags.
        sensor: the sensor's name.
        tick_id: the tick that committed the request.
        depth: the chain depth of the run.
    """
    tags = {
        **request.tags,
        SENSOR_NAME_TAG: sensor,
        "dagster/tick": tick_id,
        DEPTH_TAG: str(depth),
    }
    if request.run_key:
        tags["dagster/run_key"] = request.run_key
    if request.partition_key:
        tags[PARTITION_TAG] = request.partition_key
    return tags
