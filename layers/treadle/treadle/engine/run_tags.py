"""The tags that a run's record gets beside the author's: which sensor, tick, run key and partition it is of."""

from treadle.definitions.runs import DEPTH_TAG, PARTITION_TAG
from treadle.ports.ticks import PlannedRun


def run_tags(request: PlannedRun, sensor: str, tick_id: str, depth: int) -> dict[str, str]:
    """All tags of the run that a request starts; the author's lose against those that Treadle sets.

    Args:
        request: with the author's tags.
        sensor: whose request it is.
        tick_id: of the tick that committed it.
        depth: how many runs, one after the other, led to the run, itself included.
    """
    tags = {
        **request.tags,
        "dagster/sensor_name": sensor,
        "dagster/tick": tick_id,
        DEPTH_TAG: str(depth),
    }
    if request.run_key:
        tags["dagster/run_key"] = request.run_key
    if request.partition_key:
        tags[PARTITION_TAG] = request.partition_key
    return tags
