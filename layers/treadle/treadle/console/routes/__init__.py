"""Everything that can be asked of the console's API."""

from treadle.console.routes import assets, letters, runs, sensors, ticks

OPERATIONS = (
    *sensors.OPERATIONS,
    *ticks.OPERATIONS,
    *runs.OPERATIONS,
    *assets.OPERATIONS,
    *letters.OPERATIONS,
)
