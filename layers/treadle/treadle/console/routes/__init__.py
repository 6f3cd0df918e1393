"""Everything that can be asked of the console's API."""

from treadle.console.routes import assets, direct, letters, runs, sensors, ticks

OPERATIONS = (
    *sensors.OPERATIONS,
    *direct.OPERATIONS,
    *ticks.OPERATIONS,
    *runs.OPERATIONS,
    *assets.OPERATIONS,
    *letters.OPERATIONS,
)
