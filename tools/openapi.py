"""Prints the OpenAPI document of the console's API: `python -m tools.openapi`."""

import json

from treadle.console.openapi import document
from treadle.console.routes import OPERATIONS

if __name__ == "__main__":
    print(json.dumps(document(OPERATIONS)))
