"""Everything that can be asked of the console's API."""

from treadle.console.routes import asking_why, assets, direct, letters, runs, sensors, ticks

OPERATIONS = (
    *sensors.OPERATIONS,
    *direct.OPERATIONS,
    *ticks.OPERATIONS,
    *runs.OPERATIONS,
    *assets.OPERATIONS,
    *letters.OPERATIONS,
    *asking_why.OPERATIONS,
)
