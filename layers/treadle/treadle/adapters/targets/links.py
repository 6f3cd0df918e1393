"""Links to executions and their logs in the AWS console."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?P<service>[a-z0-9]+):(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>.+)"
)
_CONSOLES = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
_QUEUES = {"aws-cn": "amazonaws.com.cn"}
_LOCAL_CLOUD = "000000000000"


@dataclass(frozen=True, slots=True)
class ConsoleLink:
    """A link into the AWS console.

    Attributes:
        label: what it leads to: "execution" or "log".
        url: the address.
    """

    label: str
    url: str


def console_links(external_id: str | None) -> tuple[ConsoleLink, ...]:
    """Return links to an execution and, where its address is known, to its log; none if the id has no ARN.

    A state machine's history, and the log of a Batch job, are on the page of the execution. A message, an event and an
    asynchronous invocation have no page: the link leads to the queue, the bus or the function.

    Args:
        external_id: the target's id of the execution, which begins with an ARN.
    """
    found = _ARN.fullmatch(external_id or "")
    if found is None or found["partition"] not in _CONSOLES or found["account"] == _LOCAL_CLOUD:
        return ()
    host = _CONSOLES[found["partition"]].format(region=found["region"])
    paths = _PATHS.get(found["service"])
    return (
        tuple(ConsoleLink(label, f"https://{host}/{path}") for label, path in paths(found)) if paths else ()
    )


_Paths = Iterator[tuple[str, str]]


def _of_step_functions(found: re.Match[str]) -> _Paths:
    if found["name"].startswith("execution:"):
        yield (
            "execution",
            f"states/home?region={found['region']}#/v2/executions/details/{quote(found[0], safe=':/')}",
        )


def _of_glue(found: re.Match[str]) -> _Paths:
    job, _, run_id = found["name"].removeprefix("job/").rpartition("/")
    region = found["region"]
    yield "execution", f"gluestudio/home?region={region}#/job/{quote(job, safe='')}/run/{run_id}"
    yield "log", _log(region, "/aws-glue/jobs/output", f"/log-events/{run_id}")
    yield "log", _log(region, "/aws-glue/jobs/error", f"/log-events/{run_id}")


def _of_batch(found: re.Match[str]) -> _Paths:
    yield "execution", f"batch/home?region={found['region']}#jobs/detail/{found['name'].removeprefix('job/')}"


def _of_ecs(found: re.Match[str]) -> _Paths:
    cluster, _, task = found["name"].removeprefix("task/").rpartition("/")
    if cluster:
        place = f"ecs/v2/clusters/{quote(cluster, safe='')}/tasks/{task}"
        yield "execution", f"{place}/configuration?region={found['region']}"
        yield "log", f"{place}/logs?region={found['region']}"


def _of_lambda(found: re.Match[str]) -> _Paths:
    function, _, request_id = found["name"].removeprefix("function:").rpartition("/")
    name, region = function.partition(":")[0], found["region"]
    yield "execution", f"lambda/home?region={region}#/functions/{name}"
    pattern = _escaped(quote(f'"{request_id}"', safe=""))
    yield "log", _log(region, f"/aws/lambda/{name}", f"/log-events$3FfilterPattern$3D{pattern}")


def _of_sqs(found: re.Match[str]) -> _Paths:
    region, suffix = found["region"], _QUEUES.get(found["partition"], "amazonaws.com")
    url = f"https://sqs.{region}.{suffix}/{found['account']}/{found['name'].partition('/')[0]}"
    yield "execution", f"sqs/v3/home?region={region}#/queues/{quote(url, safe='')}"


def _of_event_bus(found: re.Match[str]) -> _Paths:
    bus = found["name"].removeprefix("event-bus/").rpartition("/")[0]
    yield "execution", f"events/home?region={found['region']}#/eventbus/{quote(bus, safe='')}"


def _log(region: str, group: str, below: str) -> str:
    """Return the path of a log group, as the console writes it: quoted twice, with $ in place of %."""
    named = _escaped(quote(group, safe=""))
    return f"cloudwatch/home?region={region}#logsV2:log-groups/log-group/{named}{below}"


def _escaped(quoted: str) -> str:
    return quote(quoted, safe="").replace("%", "$")


_PATHS: dict[str, Callable[[re.Match[str]], _Paths]] = {
    "states": _of_step_functions,
    "glue": _of_glue,
    "batch": _of_batch,
    "ecs": _of_ecs,
    "lambda": _of_lambda,
    "sqs": _of_sqs,
    "events": _of_event_bus,
}
