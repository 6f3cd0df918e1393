"""Everything that can be asked of the console's API."""

from treadle.console.routes import letters, runs

OPERATIONS = (*runs.OPERATIONS, *letters.OPERATIONS)
