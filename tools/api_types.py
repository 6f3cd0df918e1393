"""Writes the types of the console's API for its page, from the OpenAPI document: `python -m tools.api_types`."""

import json
import subprocess

from tools.project import ROOT, run_tool

TYPES = ROOT / "tools/javascript/openapi.d.ts"
GENERATOR = ROOT / ".tools/js/node_modules/openapi-typescript/bin/cli.js"


def generated() -> str:
    """Return the types of the API as it is now."""
    from treadle.console.openapi import document
    from treadle.console.routes import OPERATIONS

    described = json.dumps(document(OPERATIONS))
    done = subprocess.run(["node", GENERATOR], input=described, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> int:
    """Write the types."""
    TYPES.write_text(generated())
    return 0


if __name__ == "__main__":
    run_tool(main)
