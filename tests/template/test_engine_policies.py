"""What the engine's managed policies let an evaluator do, together with those that SAM attaches to its role.

The tags of the role say which sensor it is. What AWS's own policies allow is listed here as they are: "AWS managed
policies for Lambda" in the Lambda Developer Guide.
"""

from typing import Any

import pytest

from tests.support.policies import decision
from tests.template.engine_model import POLICY, read_engine, statements
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES

OF_SAM: list[dict[str, Any]] = [
    {
        "Sid": "AWSLambdaSQSQueueExecutionRole",
        "Effect": "Allow",
        "Action": [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
        "Resource": "*",
    }
]
"""With an SQS event; AWSLambdaBasicExecutionRole has the last three of its actions."""

OF_SAM_FOR_STREAMS: list[dict[str, Any]] = [
    {
        "Sid": "AWSLambdaKinesisExecutionRole",
        "Effect": "Allow",
        "Action": [
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
            "kinesis:ListStreams",
            "kinesis:SubscribeToShard",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
        "Resource": "*",
    }
]
"""With an event of a Kinesis stream."""

ACCOUNT = "us-east-1:123456789012"
SENSORS, TICKS, RUNS, EVENTS = (
    f"arn:aws:dynamodb:{ACCOUNT}:table/{each}Table" for each in ("Sensors", "Ticks", "Runs", "Events")
)
KEYED = ("GetItem", "BatchGetItem", "BatchWriteItem", "PutItem", "UpdateItem", "ConditionCheckItem", "Query")


Context = dict[str, list[str]]


def may(action: str, resource: str, *policies: str, reads: str = "", context: Context | None = None) -> str:
    """Return the decision on a call of the evaluator of sensor daily, of project shop."""
    tags = {"sensor": "daily", "project": "shop"} | ({"reads": reads} if reads else {})
    tagged = {f"aws:PrincipalTag/treadle:{name}": [value] for name, value in tags.items()}
    found = [each for policy in ("EvaluatorPolicy", *policies) for each in statements(policy)]
    known = {"aws:PrincipalAccount": ["123456789012"]} | tagged | (context or {})
    return decision([*OF_SAM, *found], action, resource, known)


def keys(*values: str) -> Context:
    return {"dynamodb:LeadingKeys": list(values)}


def on_queue(action: str, sensor: str | None) -> str:
    tag = {} if sensor is None else {"aws:ResourceTag/treadle:sensor": [sensor]}
    return may(action, f"arn:aws:sqs:{ACCOUNT}:some-queue", context=tag)


def test_there_are_three_policies_under_the_engines_path() -> None:
    """A path, and no names, needs no other capability, and serves every Region. None of these is ever changed."""
    policies = read_engine().resources(POLICY)

    assert sorted(policies) == ["AssetReaderPolicy", "EvaluatorPolicy", "RunReaderPolicy"]
    for policy in policies.values():
        assert policy.keys() == {"Description", "Path", "PolicyDocument"}
        assert policy["Path"] == {"Fn::Sub": "/treadle/${EngineName}/${AWS::Region}/"}
    assert [policy["Description"] for policy in policies.values()] == [
        "What each evaluator of an engine of Treadle may do",
        "What evaluators of an engine of Treadle that read runs may do beside the evaluator policy",
        "What evaluators of an engine of Treadle that read assets may do beside the evaluator policy",
    ]


def test_evaluator_touches_its_own_state_and_ticks_only() -> None:
    for action in ("GetItem", "PutItem", "UpdateItem"):
        assert may(f"dynamodb:{action}", SENSORS, context=keys("daily")) == "allowed"
        assert may(f"dynamodb:{action}", SENSORS, context=keys("daily#cursor")) == "allowed"
        assert may(f"dynamodb:{action}", SENSORS, context=keys("daily", "other")) == "implicitDeny"
    for action in ("BatchGetItem", "PutItem", "PartiQLInsert"):
        assert may(f"dynamodb:{action}", TICKS, context=keys("daily")) == "allowed"
        assert may(f"dynamodb:{action}", TICKS, context=keys("other")) == "implicitDeny"
    assert may("dynamodb:PartiQLInsert", TICKS) == "explicitDeny"


def test_evaluator_touches_its_own_batches_only() -> None:
    for action in ("BatchGetItem", "BatchWriteItem", "PutItem", "Query", "UpdateItem"):
        for key in ("daily#batch", "daily#batch/items/0", "daily#batch/waiting/0a/f"):
            assert may(f"dynamodb:{action}", TICKS, context=keys(key)) == "allowed"
        for key in ("other#batch", "daily2#batch", "daily#loop", "daily#fuse", "#batch"):
            assert may(f"dynamodb:{action}", TICKS, context=keys(key)) == "implicitDeny"
        assert may(f"dynamodb:{action}", TICKS, context=keys("daily#batch", "other")) == "implicitDeny"
    assert may("dynamodb:DeleteItem", TICKS, context=keys("daily#batch")) == "implicitDeny"


def test_evaluator_reads_the_engines_id_and_writes_neither_it_nor_the_registry() -> None:
    assert may("dynamodb:GetItem", SENSORS, context=keys("#engine")) == "allowed"
    for key in ("#engine", "#registry", "#late"):
        assert may("dynamodb:PutItem", SENSORS, context=keys(key)) == "implicitDeny"


@pytest.mark.parametrize("action", KEYED)
@pytest.mark.parametrize("table", [SENSORS, TICKS, EVENTS])
def test_call_without_a_key_is_denied(action: str, table: str) -> None:
    """ForAllValues holds for a call that names none."""
    assert may(f"dynamodb:{action}", table, "AssetReaderPolicy", "RunReaderPolicy") == "explicitDeny"


def test_evaluator_learns_of_runs_only_whether_they_can_start_again() -> None:
    exact: Context = {"dynamodb:Attributes": list(CLAIM_ATTRIBUTES)}
    some = {"dynamodb:Select": ["SPECIFIC_ATTRIBUTES"]}
    every = {"dynamodb:Select": ["ALL_ATTRIBUTES"]}

    assert may("dynamodb:BatchGetItem", RUNS, context=exact) == "allowed"
    assert may("dynamodb:BatchGetItem", RUNS, context=exact | some) == "allowed"
    assert may("dynamodb:BatchGetItem", RUNS, context=exact | every) == "implicitDeny"
    assert (
        may("dynamodb:BatchGetItem", RUNS, context={"dynamodb:Attributes": ["run_id", "run_config"]})
        == "implicitDeny"
    )
    assert may("dynamodb:BatchGetItem", RUNS) == "explicitDeny"
    assert may("dynamodb:GetItem", RUNS, context=exact) == "implicitDeny"


def test_only_evaluators_that_say_so_read_whole_runs() -> None:
    assert may("dynamodb:BatchGetItem", RUNS, "RunReaderPolicy") == "explicitDeny"
    assert may("dynamodb:BatchGetItem", RUNS, "RunReaderPolicy", reads="runs") == "allowed"
    assert may("dynamodb:Query", f"{RUNS}/index/by_job", "RunReaderPolicy", reads="runs") == "allowed"
    assert may("dynamodb:Query", f"{RUNS}/index/watched", "RunReaderPolicy", reads="runs") == "implicitDeny"
    assert may("dynamodb:PutItem", RUNS, "RunReaderPolicy", reads="runs") == "implicitDeny"
    assert (
        may("dynamodb:Query", EVENTS, "RunReaderPolicy", reads="runs", context=keys("#ended/load"))
        == "allowed"
    )
    assert (
        may("dynamodb:Query", EVENTS, "RunReaderPolicy", reads="runs", context=keys("summaries"))
        == "implicitDeny"
    )


def test_readers_of_assets_read_all_assets_and_no_ends_of_runs() -> None:
    assert may("dynamodb:Query", EVENTS, context=keys("summaries")) == "implicitDeny"
    assert may("dynamodb:Query", EVENTS, "AssetReaderPolicy", context=keys("summaries")) == "allowed"
    assert may("dynamodb:Query", EVENTS, "AssetReaderPolicy", context=keys("#ended/load")) == "explicitDeny"
    both = ("AssetReaderPolicy", "RunReaderPolicy")
    assert may("dynamodb:Query", EVENTS, *both, reads="runs", context=keys("#ended/load")) == "allowed"
    assert may("dynamodb:PutItem", EVENTS, *both, reads="runs", context=keys("summaries")) == "implicitDeny"


def test_evaluator_writes_payloads_of_its_own_ticks_only() -> None:
    for folder in ("ticks", "large"):
        assert may("s3:PutObject", f"arn:aws:s3:::PayloadBucket/{folder}/daily/1") == "allowed"
        assert may("s3:PutObject", f"arn:aws:s3:::PayloadBucket/{folder}/other/1") == "implicitDeny"
        assert may("s3:PutObject", f"arn:aws:s3:::PayloadBucket/{folder}/other/daily/1") == "implicitDeny"
        assert may("s3:GetObject", f"arn:aws:s3:::PayloadBucket/{folder}/daily/1") == "implicitDeny"


@pytest.mark.parametrize("action", ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"])
def test_evaluator_takes_messages_of_its_own_queue_only(action: str) -> None:
    """SAM's role may take those of every queue of the account: the engine's, other teams', anybody's."""
    assert on_queue(f"sqs:{action}", "daily") == "allowed"
    for other in ("other", "dead-letters", None):
        assert on_queue(f"sqs:{action}", other) == "explicitDeny"


def test_evaluator_sends_to_its_own_queue_and_to_dead_letters_only() -> None:
    assert on_queue("sqs:SendMessage", "daily") == "allowed"
    assert on_queue("sqs:SendMessage", "dead-letters") == "allowed"
    for other in ("other", None):
        assert on_queue("sqs:SendMessage", other) == "explicitDeny"


def test_engines_dead_letters_take_messages_of_evaluators_and_its_other_queues_do_not() -> None:
    tags = {
        name: {each["Key"]: each["Value"] for each in queue["Tags"]}
        for name, queue in read_engine().resources("AWS::SQS::Queue").items()
    }

    assert tags["DeadLetterQueue"]["treadle:sensor"] == "dead-letters"
    assert not [name for name, each in tags.items() if "treadle:sensor" in each and name != "DeadLetterQueue"]


@pytest.mark.parametrize("action", ["CreateLogStream", "PutLogEvents"])
def test_evaluator_writes_to_its_projects_logs_only(action: str) -> None:
    """A line in another's log could forge its metrics."""

    def decided(group: str) -> str:
        return may(f"logs:{action}", f"arn:aws:logs:{ACCOUNT}:log-group:{group}:log-stream:s")

    assert decided("/treadle/main/shop") == "allowed"
    for other in (
        "/treadle/main/engine-1a2b3c4d",
        "/treadle/main/shop2",
        "/treadle/other/shop",
        "/aws/lambda/x",
    ):
        assert decided(other) == "explicitDeny"


def test_evaluator_makes_no_log_groups() -> None:
    """A late invocation of a deleted function would make its group again, without retention."""
    assert (
        may("logs:CreateLogGroup", f"arn:aws:logs:{ACCOUNT}:log-group:/treadle/main/shop") == "explicitDeny"
    )


def test_evaluator_reads_its_own_functions_settings_only() -> None:
    function = f"arn:aws:lambda:{ACCOUNT}:function:shop-Daily-1A2B"
    tag = "aws:ResourceTag/treadle:sensor"

    assert may("lambda:GetFunctionConfiguration", function, context={tag: ["daily"]}) == "allowed"
    assert may("lambda:GetFunctionConfiguration", function, context={tag: ["other"]}) == "explicitDeny"
    assert may("lambda:GetFunctionConfiguration", function) == "explicitDeny"


def test_role_without_tag_can_do_nothing() -> None:
    """What a variable without value stands for matches nothing."""
    found = [*OF_SAM, *statements("EvaluatorPolicy")]
    context = {"aws:PrincipalAccount": ["123456789012"]}

    for action, resource, more in (
        ("dynamodb:PutItem", SENSORS, {"dynamodb:LeadingKeys": ["daily"]}),
        ("dynamodb:PutItem", TICKS, {"dynamodb:LeadingKeys": ["daily"]}),
        ("s3:PutObject", "arn:aws:s3:::PayloadBucket/ticks/daily/1", {}),
        ("s3:PutObject", "arn:aws:s3:::PayloadBucket/large/daily/1", {}),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{ACCOUNT}:q", {"aws:ResourceTag/treadle:sensor": ["daily"]}),
        ("logs:PutLogEvents", f"arn:aws:logs:{ACCOUNT}:log-group:/treadle/main/shop:log-stream:s", {}),
    ):
        assert decision(found, action, resource, context | more) != "allowed"


def test_local_cloud_is_exempt_where_it_fills_in_no_tags() -> None:
    """It plays the account 000000000000, which AWS does not have."""
    found = [*OF_SAM, *statements("EvaluatorPolicy"), *statements("RunReaderPolicy")]
    local = {"aws:PrincipalAccount": ["000000000000"]}

    for action, resource in (
        ("dynamodb:PutItem", SENSORS),
        ("dynamodb:BatchGetItem", RUNS),
        ("s3:PutObject", "arn:aws:s3:::PayloadBucket/ticks/daily/1"),
        ("s3:PutObject", "arn:aws:s3:::PayloadBucket/large/daily/1"),
        ("sqs:SendMessage", f"arn:aws:sqs:{ACCOUNT}:q"),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{ACCOUNT}:q"),
        ("logs:PutLogEvents", f"arn:aws:logs:{ACCOUNT}:log-group:/treadle/main/shop:log-stream:s"),
    ):
        assert decision(found, action, resource, local) == "allowed"
