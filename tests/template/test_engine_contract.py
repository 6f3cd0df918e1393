"""The contract that the engine writes is the one that the library reads."""

from typing import Any

import pytest

from tests.template.engine_model import deployed, read_engine
from treadle.model.contract import PARTS, parameter_of, parse_contract

template = read_engine()
CONTRACT = template.resources("AWS::SSM::Parameter")["Contract"]
ENGINE = deployed(EngineName="prod", Namespace="old")

NAMESPACE = {
    "Fn::Sub": [
        "${AWS::AccountId}/${AWS::Region}/${Name}",
        {"Name": {"Fn::If": ["HasNamespace", {"Ref": "Namespace"}, {"Ref": "EngineName"}]}},
    ]
}
EXPECTED: dict[str, Any] = {
    "version": "1",
    "engine": {"Ref": "EngineName"},
    "engine_id": {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]},
    "namespace": NAMESPACE,
    "sensors_table": {"Fn::GetAtt": ["SensorsTableName", "Value"]},
    "ticks_table": {"Fn::GetAtt": ["TicksTableName", "Value"]},
    "runs_table": {"Fn::GetAtt": ["RunsTableName", "Value"]},
    "events_table": {"Fn::GetAtt": ["EventsTableName", "Value"]},
    "bus": {"Ref": "Bus"},
    "dead_letter_queue_url": {"Ref": "DeadLetterQueue"},
    "dead_letter_queue_arn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]},
    "payload_bucket": {"Fn::GetAtt": ["PayloadBucketName", "Value"]},
    "record_queue_arn": {"Fn::GetAtt": ["RecordQueue", "Arn"]},
    "evaluator_policy": {"Ref": "EvaluatorPolicy"},
    "run_reader_policy": {"Ref": "RunReaderPolicy"},
    "asset_reader_policy": {"Ref": "AssetReaderPolicy"},
    "schedule_role": {"Fn::GetAtt": ["ScheduleRole", "Arn"]},
    "log_group_prefix": {"Fn::Sub": "/treadle/${EngineName}/"},
    "stack": {"Ref": "AWS::StackName"},
    "job_role_path": {"Fn::Sub": "/treadle/${EngineName}/${AWS::Region}/job/"},
    "engine_roles": {
        "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/treadle/${EngineName}/${AWS::Region}/engine/*"
    },
    "reconcile_function": {"Fn::GetAtt": ["ReconcileFunction", "Arn"]},
}


def test_contract_is_one_list_under_the_path_of_its_version() -> None:
    """One parameter is read at once, and a project cannot end up with parts of two engines."""
    assert ENGINE.value(CONTRACT["Name"]) == parameter_of("prod")
    assert CONTRACT["Type"] == "StringList"
    assert CONTRACT["Value"]["Fn::Join"][0] == ","


@pytest.mark.parametrize("part", PARTS)
def test_part_is_at_its_place(part: str) -> None:
    values = CONTRACT["Value"]["Fn::Join"][1]

    assert len(values) == len(PARTS)
    assert values[PARTS.index(part)] == EXPECTED[part]


def test_library_reads_what_the_engine_writes() -> None:
    found = parse_contract(str(ENGINE.value(CONTRACT["Value"])))

    assert found["engine"] == "prod"
    assert found["namespace"].endswith("/old")
    assert all(found.values())


def test_namespace_is_the_engines_own_in_every_function() -> None:
    """Run ids are made of it, by evaluators that have it from the contract and by the engine's functions."""
    variables = template.section("Globals")["Function"]["Environment"]["Variables"]

    assert variables["TREADLE_NAMESPACE"] == NAMESPACE


def test_contract_says_nothing_that_could_be_taken_for_two_parts() -> None:
    """A comma within a part would move all that follow."""
    assert str(ENGINE.value(CONTRACT["Value"])).count(",") == len(PARTS) - 1
