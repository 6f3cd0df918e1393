"""The operations of the console's API."""

from treadle.console.routes import assets, dead_letters, diagnostics, invoke, runs, sensors, ticks

OPERATIONS = (
    *sensors.OPERATIONS,
    *invoke.OPERATIONS,
    *ticks.OPERATIONS,
    *runs.OPERATIONS,
    *assets.OPERATIONS,
    *dead_letters.OPERATIONS,
    *diagnostics.OPERATIONS,
)
