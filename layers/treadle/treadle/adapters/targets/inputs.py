"""Which parts of a start reach a job's arguments, parameters and environment."""

import json
import re
from collections.abc import Callable, Mapping

from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import LaunchRejectedError
from treadle.definitions.jobs import names_in
from treadle.model.targets import JobSettings, Start

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
    """Return the values of options that the target requires.

    Args:
        settings: the job's settings.
        options: the options' names.

    Raises:
        LaunchRejectedError: if any is missing; the message lists all of them.
    """
    missing = [each for each in options if not settings.options.get(each, "").strip()]
    if missing:
        msg = f"Job {settings.job!r} is not configured: {settings.missing(missing)}"
        raise LaunchRejectedError(msg)
    return [settings.options[each].strip() for each in options]


def listed(start: Start, why_not: Callable[[str], str | None]) -> dict[str, str]:
    """Return the top-level values of the run config whose names the deployment lists for the job.

    Strings are used as they are, everything else as JSON; missing and null values are omitted.

    Args:
        start: with run config and settings.
        why_not: returns why a name may not be listed; None if it may.

    Raises:
        LaunchRejectedError: if the deployment lists a name that a run config may not set.
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
    """Return the values, if a command line would not parse any of them as an option.

    Raises:
        LaunchRejectedError: if one begins with a hyphen and is not a number.
    """
    for name, value in values.items():
        if value.startswith("-") and not _NUMBER.fullmatch(value):
            msg = f"The run config's {name!r} begins with a hyphen: the job would read it as an option."
            raise LaunchRejectedError(msg)
    return values


def environment(start: Start) -> dict[str, str]:
    """Return the environment variables of a container."""
    return {
        "TREADLE_LAUNCH_ID": start.launch_id,
        "TREADLE_RUN_CONFIG": start.run_config,
        "TREADLE_RUN_ID": start.run_id,
        "TREADLE_TAGS": canonical_json(dict(start.tags)),
    }


def why_no_variable(name: str) -> str | None:
    """Return why a run config may not set an environment variable; None if it may."""
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
