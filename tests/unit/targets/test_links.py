"""Links to executions and their logs in the AWS console, for every target."""

import pytest

from treadle.adapters.targets.links import console_links
from treadle.adapters.targets.registry import KINDS

HERE = "https://eu-central-1.console.aws.amazon.com"
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:load:0e7a3f36-1"

GROUPS = "/cloudwatch/home?region=eu-central-1#logsV2:log-groups/log-group/"
QUEUES = "/sqs/v3/home?region=eu-central-1#/queues/"


def arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:eu-central-1:123456789012:{name}"


LINKS = {
    "step_functions": (
        EXECUTION,
        [("execution", f"/states/home?region=eu-central-1#/v2/executions/details/{EXECUTION}")],
    ),
    "glue": (
        arn("glue", "job/load it/jr_01"),
        [
            ("execution", "/gluestudio/home?region=eu-central-1#/job/load%20it/run/jr_01"),
            *(
                (
                    "log",
                    f"{GROUPS}$252Faws-glue$252Fjobs$252F{each}/log-events/jr_01",
                )
                for each in ("output", "error")
            ),
        ],
    ),
    "batch": (
        arn("batch", "job/8c2b"),
        [("execution", "/batch/home?region=eu-central-1#jobs/detail/8c2b")],
    ),
    "ecs": (
        arn("ecs", "task/main/8c2b"),
        [
            ("execution", "/ecs/v2/clusters/main/tasks/8c2b/configuration?region=eu-central-1"),
            ("log", "/ecs/v2/clusters/main/tasks/8c2b/logs?region=eu-central-1"),
        ],
    ),
    "lambda": (
        arn("lambda", "function:load:live/8c2b"),
        [
            ("execution", "/lambda/home?region=eu-central-1#/functions/load"),
            (
                "log",
                f"{GROUPS}$252Faws$252Flambda$252Fload/log-events$3FfilterPattern$3D$25228c2b$2522",
            ),
        ],
    ),
    "sqs": (
        arn("sqs", "orders.fifo/8c2b"),
        [
            (
                "execution",
                f"{QUEUES}https%3A%2F%2Fsqs.eu-central-1.amazonaws.com%2F123456789012%2Forders.fifo",
            )
        ],
    ),
    "eventbridge": (
        arn("events", "event-bus/shop/main/8c2b"),
        [("execution", "/events/home?region=eu-central-1#/eventbus/shop%2Fmain")],
    ),
}


def test_every_target_has_its_links() -> None:
    assert LINKS.keys() == KINDS.keys()


@pytest.mark.parametrize(("external_id", "links"), LINKS.values(), ids=LINKS)
def test_execution_is_linked(external_id: str, links: list[tuple[str, str]]) -> None:
    assert [(each.label, each.url) for each in console_links(external_id)] == [
        (label, f"{HERE}{path}") for label, path in links
    ]


def test_host_is_that_of_the_partition() -> None:
    china = EXECUTION.replace("arn:aws:", "arn:aws-cn:").replace("eu-central-1", "cn-north-1")

    [link] = console_links(china)

    assert link.url.startswith("https://console.amazonaws.cn/states/home?region=cn-north-1#")
    assert console_links(EXECUTION.replace("arn:aws:", "arn:aws-iso:")) == ()


@pytest.mark.parametrize(
    "external_id",
    [
        None,
        "",
        "load/jr_01",
        "local:load",
        arn("s3", "bucket"),
        arn("states", "stateMachine:load"),
        arn("ecs", "task/8c2b"),
        EXECUTION.replace("123456789012", "000000000000"),
        f"{EXECUTION}\nx",
        "arn:aws:states:eu-central-1.evil.example/:123456789012:execution:load:1",
    ],
)
def test_what_has_no_address_in_the_console_has_no_link(external_id: str | None) -> None:
    assert console_links(external_id) == ()
