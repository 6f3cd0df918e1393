"""Paths in this repository, and the error that ends a tool with one clear message."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
RUN = TOOLS / "run"
BUILD = ROOT / ".aws-sam" / "local" / "build"
ENGINE = ROOT / "engine"
ENGINE_BUILD = ENGINE / ".aws-sam" / "engine"
CONSOLE_BUILD = ENGINE / ".aws-sam" / "console"
VENV_BIN = ROOT / ".venv" / "bin"
SAM = TOOLS / "sam" / "bin" / "sam"

REGION = "us-east-1"
# What the local cloud accepts as the account's root; nothing outside this machine does.
LOCAL_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class ToolError(Exception):
    """A tool cannot do its work; the message says what happened and what to do."""


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without variables that name a real AWS account or affect Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    # Files in ~/.aws would still name a profile, a region or an endpoint.
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **nowhere, **extra}


def local_aws(endpoint: str) -> dict[str, str]:
    """Return an environment that points any AWS SDK or command line to the local cloud."""
    settings: Mapping[str, str] = {
        **LOCAL_CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }
    return clean_environment(**settings)


def run_tool(main: Callable[[], int]) -> None:
    """Run a tool's main function; a `ToolError` becomes a message and exit status 1."""
    try:
        sys.exit(main())
    except ToolError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
