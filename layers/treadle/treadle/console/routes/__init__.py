"""The operations of the console's API."""

from treadle.console.routes import (
    assets,
    backfills,
    dead_letters,
    diagnostics,
    invoke,
    pools,
    runs,
    sensors,
    ticks,
)

OPERATIONS = (
    *sensors.OPERATIONS,
    *invoke.OPERATIONS,
    *ticks.OPERATIONS,
    *runs.OPERATIONS,
    *backfills.OPERATIONS,
    *pools.OPERATIONS,
    *assets.OPERATIONS,
    *dead_letters.OPERATIONS,
    *diagnostics.OPERATIONS,
)
