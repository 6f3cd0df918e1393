"""What of a start reaches a job's arguments, parameters and environment, and what never does."""

import json
import re
from collections.abc import Callable, Mapping

from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import LaunchRejectedError
from treadle.definitions.jobs import names_in
from treadle.ports.targets import JobSettings, Start

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_NUMBER = re.compile(r"-[0-9.]+([eE][+-]?[0-9]+)?")
_OPTION = "arguments"

_LOADERS = frozenset(
    {
        "BASH_ENV",
        "CDPATH",
        "CLASSPATH",
        "ENV",
        "GCONV_PATH",
        "GLOBIGNORE",
        "IFS",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PATH",
        "PERL5LIB",
        "PERL5OPT",
        "PROMPT_COMMAND",
        "R_LIBS",
        "R_PROFILE",
        "RUBYLIB",
        "RUBYOPT",
        "SHELL",
        "SHELLOPTS",
        "_JAVA_OPTIONS",
    }
)
_LOADER_PREFIXES = ("DYLD_", "GIT_", "LD_", "PIP_", "PYTHON", "SPARK_", "UV_")


def required(settings: JobSettings, *options: str) -> list[str]:
    """The values of options without which the target cannot start a job.

    Args:
        settings: the deployment's.
        options: their names.

    Raises:
        LaunchRejectedError: if any was left out; names all of them.
    """
    missing = [each for each in options if not settings.options.get(each, "").strip()]
    if missing:
        msg = f"Job {settings.job!r} is not configured: {settings.missing(missing)}"
        raise LaunchRejectedError(msg)
    return [settings.options[each].strip() for each in options]


def listed(start: Start, why_not: Callable[[str], str | None]) -> dict[str, str]:
    """The top-level values of the run config whose names the deployment lists for the job.

    Texts are taken as they are, everything else as JSON; what is missing or null is left out.

    Args:
        start: with run config and settings.
        why_not: why a name may not be listed; None if it may.

    Raises:
        LaunchRejectedError: if the deployment lists a name that no run config may fill.
    """
    settings = start.settings
    config = json.loads(start.run_config)
    values: dict[str, str] = {}
    for name in names_in(settings.options.get(_OPTION, "")):
        reason = (
            why_not(name)
            if NAME.fullmatch(name)
            else "a name must begin with a letter and have only letters, digits, _ and -"
        )
        if reason is not None:
            msg = f"The {_OPTION} of job {settings.job!r} list {name!r}, which run config may not fill: {reason}."
            raise LaunchRejectedError(msg)
        value = config.get(name) if isinstance(config, dict) else None
        if value is not None:
            values[name] = value if isinstance(value, str) else canonical_json(value)
    return values


def no_options(values: Mapping[str, str]) -> Mapping[str, str]:
    """The values themselves, if a command line takes none of them for an option of its own.

    Raises:
        LaunchRejectedError: if one begins with a hyphen and is no number.
    """
    for name, value in values.items():
        if value.startswith("-") and not _NUMBER.fullmatch(value):
            msg = f"The run config's {name!r} begins with a hyphen: the job would read it as an option."
            raise LaunchRejectedError(msg)
    return values


def environment(start: Start) -> dict[str, str]:
    """What a container finds in its environment."""
    return {
        "TREADLE_LAUNCH_ID": start.launch_id,
        "TREADLE_RUN_CONFIG": start.run_config,
        "TREADLE_RUN_ID": start.run_id,
        "TREADLE_TAGS": canonical_json(dict(start.tags)),
    }


def why_no_variable(name: str) -> str | None:
    """Why a run config may not fill an environment variable; None if it may."""
    upper = name.upper()
    if upper.startswith("TREADLE_"):
        return "Treadle sets it itself"
    if upper.startswith(("AWS_", "ECS_")):
        return "it determines the job's credentials and the services that it calls"
    if upper in _LOADERS or upper.startswith(_LOADER_PREFIXES):
        return "it determines which code the job runs"
    if upper.endswith("_PROXY"):
        return "it determines which services the job calls"
    return None
