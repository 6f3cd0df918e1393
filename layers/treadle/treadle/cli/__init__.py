"""The command `treadle`, for a developer's machine; not part of the Lambda layer."""

import sys


def main() -> None:
    """Run the command line; the exit status is 0, or 2 if the command failed."""
    try:
        from treadle.cli.commands import treadle
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "treadle":
            raise
        sys.exit(f"The command line needs {error.name}: pip install 'treadle[cli]'")
    treadle(prog_name="treadle")
