"""The contract between engine and projects: its order never changes."""

import pytest

from treadle.definitions.errors import DeploymentError
from treadle.model import contract, registry
from treadle.model.contract import PARTS, parameter_of, parse_contract
from treadle.model.registry import CONTRACT, SERVED, parse_sensor

FROZEN = {
    1: (
        "version",
        "engine",
        "engine_id",
        "namespace",
        "sensors_table",
        "ticks_table",
        "runs_table",
        "events_table",
        "bus",
        "dead_letter_queue_url",
        "dead_letter_queue_arn",
        "payload_bucket",
        "record_queue_arn",
        "evaluator_policy",
        "run_reader_policy",
        "asset_reader_policy",
        "schedule_role",
        "log_group_prefix",
        "stack",
        "job_role_path",
        "engine_roles",
        "reconcile_function",
    )
}
"""The order of each version as it was released. A change here breaks deployed projects: add a version instead."""


@pytest.mark.parametrize("version", FROZEN)
def test_parts_of_a_released_contract_keep_their_places(version: int) -> None:
    """New parts may follow; projects take the others by their places."""
    assert PARTS[: len(FROZEN[version])] == FROZEN[version]


def test_contract_is_read_by_place() -> None:
    found = parse_contract(",".join(["1", *(f"of {part}" for part in PARTS[1:])]))

    assert found == {"version": "1"} | {part: f"of {part}" for part in PARTS[1:]}


def test_parts_of_a_newer_engine_are_left_alone() -> None:
    assert set(parse_contract(",".join(["1", *PARTS[1:], "added later"]))) == set(PARTS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2,main", "its version is '2'"),
        ("", "its version is ''"),
        ("1,main", "it has 2 parts; engine_id is missing"),
    ],
)
def test_contract_that_does_not_fit_is_refused(text: str, problem: str) -> None:
    with pytest.raises(DeploymentError, match=problem):
        parse_contract(text)


def test_contract_has_a_path_of_its_own_version() -> None:
    """An engine that does not serve a version has no such parameter, and a project of it is not deployed."""
    assert parameter_of("main") == "/treadle/main/v1"
    assert parameter_of("main", 2) == "/treadle/main/v2"


def test_this_version_and_the_one_before_are_served() -> None:
    assert sorted(SERVED) == [each for each in (CONTRACT - 1, CONTRACT) if each >= 1]


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> int:
    """The version that comes after this one, as its code has it."""
    version = CONTRACT + 1
    for module in (contract, registry):
        monkeypatch.setattr(module, "CONTRACT", version)
        monkeypatch.setattr(module, "SERVED", frozenset({CONTRACT, version}))
    monkeypatch.setattr(contract, "PARTS", (*PARTS, "added"))
    return version


def test_operators_of_the_next_version_read_what_a_project_that_is_behind_has(next_version: int) -> None:
    """A project keeps the values of its deployment until it is deployed again."""
    behind = parse_contract(",".join([str(next_version - 1), *PARTS[1:]]))
    present = parse_contract(",".join([str(next_version), *PARTS[1:], "added"]))

    assert behind == {"version": str(CONTRACT)} | {part: part for part in PARTS[1:]}
    assert present["added"] == "added"
    with pytest.raises(DeploymentError, match="it has 22 parts; added is missing"):
        parse_contract(",".join([str(next_version), *PARTS[1:]]))
    with pytest.raises(
        DeploymentError, match=f"is '{next_version + 1}', but this code supports {CONTRACT} and"
    ):
        parse_contract(",".join([str(next_version + 1), *PARTS[1:], "added"]))


def test_engine_of_the_next_version_takes_entries_of_this_one(next_version: int) -> None:
    text = '{"contract":"%s","project":"shop","function":"f","kind":"schedule"}'

    assert parse_sensor("daily", text % (next_version - 1)).contract == CONTRACT
    assert parse_sensor("daily", text % next_version).contract == next_version
