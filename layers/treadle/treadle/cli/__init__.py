"""The command `treadle`, for a developer's machine; the Lambda layer goes without it."""

import sys


def main() -> None:
    """Run the command line; it ends with 0, or with 2 if the command could not be carried out."""
    try:
        from treadle.cli.commands import treadle
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "treadle":
            raise
        sys.exit(f"The command line needs {error.name}: pip install 'treadle[cli]'")
    treadle(prog_name="treadle")
