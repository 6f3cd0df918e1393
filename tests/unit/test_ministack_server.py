"""What the local cloud checks a permission on, where MiniStack by itself would check something else than AWS."""

import importlib.util
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tools.project import ROOT

TASK = "arn:aws:ecs:us-east-1:000000000000:task/shop/0123"
BUS = "arn:aws:events:us-east-1:000000000000:event-bus/load"
DEFINITION = "arn:aws:ecs:us-east-1:000000000000:task-definition/load:1"
PATH = "arn:aws:ssm:us-east-1:000000000000:parameter/treadle/shop/jobs"
JOB = "arn:aws:batch:us-east-1:000000000000:job-definition/load:1"


@pytest.fixture(scope="module")
def server() -> ModuleType:
    """The script, which is started by its path and is no module of a package."""
    spec = importlib.util.spec_from_file_location("server", ROOT / "tools" / "ministack_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("service", "path", "request_body", "resource"),
    [
        ("ecs", "/", {"cluster": "shop", "taskDefinition": DEFINITION}, DEFINITION),
        ("ecs", "/", {"cluster": "shop", "tasks": [TASK]}, TASK),
        ("ecs", "/", {"cluster": "shop", "task": TASK}, TASK),
        ("ecs", "/", {"taskDefinition": DEFINITION}, None),
        ("ecs", "/", {"clusterName": "shop"}, None),
        ("batch", "/v1/submitjob", {"jobDefinition": JOB, "jobQueue": "q"}, JOB),
        ("batch", "/v1/listjobs", {"jobQueue": "q"}, None),
        ("glue", "/", {"JobName": "load"}, None),
        ("ssm", "/", {"Path": "/treadle/shop/jobs", "Recursive": False}, PATH),
        ("ssm", "/", {"Name": "/treadle/shop/jobs/load"}, None),
        ("ssm", "/", {"Path": "/treadle/main/"}, "arn:aws:ssm:us-east-1:000000000000:parameter/treadle/main"),
        ("ssm", "/", {"Path": "/"}, "arn:aws:ssm:us-east-1:000000000000:parameter"),
        ("events", "/", {"Name": BUS}, BUS),
        ("events", "/", {"Name": "nightly"}, None),
    ],
)
def test_permission_is_checked_on_what_aws_checks_it_on(
    server: ModuleType, service: str, path: str, request_body: dict[str, Any], resource: str | None
) -> None:
    body = json.dumps(request_body).encode()

    assert server.named_resource(service, path, body, "us-east-1", "000000000000") == resource


def test_stream_of_a_shared_log_group_names_its_function(server: ModuleType) -> None:
    assert (
        server.stream_of("shop-Daily-1X", "2026/11/29/[$LATEST]0a1b")
        == "2026/11/29/shop-Daily-1X[$LATEST]0a1b"
    )


def test_request_that_cannot_be_read_is_left_to_ministack(server: ModuleType) -> None:
    assert server.named_resource("ecs", "/", b"{", "us-east-1", "000000000000") is None
    assert server.named_resource("ecs", "/", b"", "us-east-1", "000000000000") is None


@dataclass
class Parameters:
    """MiniStack's part for Parameter Store, as far as it is read."""

    _parameters: "Parameters | None" = None
    stored: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._parameters = self

    def all_items(self) -> list[tuple[tuple[str, str, str], dict[str, Any]]]:
        return list(self.stored.items())


def test_each_change_of_a_parameter_is_announced_once_in_the_form_of_aws(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in "Amazon EventBridge event examples for Systems Manager"."""
    store, key = Parameters(), ("000000000000", "us-east-1", "/treadle/shop/jobs/load")
    arn = f"arn:aws:ssm:us-east-1:000000000000:parameter{key[2]}"
    monkeypatch.setattr(server, "_service", {"ssm": store}.get)

    def announced(version: int | None) -> list[tuple[str, str, Any]]:
        given = {"ARN": arn, "Type": "String", "Description": "Job load", "LastModifiedDate": 1.5}
        store.stored = {} if version is None else {key: {**given, "Version": version}}
        return list(server._parameter_changes())

    operations = []
    for version in (1, 1, 2, 2, None, None, 1):
        for account, region, change in announced(version):
            assert (account, region, change.resources) == (*key[:2], (arn,))
            assert (change.source, change.detail_type) == ("aws.ssm", "Parameter Store Change")
            assert (
                change.detail.items() >= {"name": key[2], "type": "String", "description": "Job load"}.items()
            )
            operations.append(change.detail["operation"])

    assert operations == ["Create", "Update", "Delete", "Create"]


def test_batch_of_messages_is_allowed_by_the_action_that_iam_has(server: ModuleType) -> None:
    assert server.known_action("sqs:SendMessageBatch") == "sqs:SendMessage"
    assert server.known_action("sqs:DeleteMessageBatch") == "sqs:DeleteMessage"
    assert server.known_action("sqs:ReceiveMessage") == "sqs:ReceiveMessage"
    assert server.known_action("glue:BatchStopJobRun") == "glue:BatchStopJobRun"
    assert server.known_action(None) is None


def test_statements_need_the_permissions_that_iam_has(server: ModuleType) -> None:
    """As in "IAM security policies with PartiQL for DynamoDB"."""
    statements = [
        "INSERT INTO \"runs\" VALUE {'id': ?}",
        'UPDATE "ticks" SET a=? WHERE id=?',
        'DELETE FROM "runs" WHERE id=?',
    ]
    body = json.dumps({"Statements": [{"Statement": each} for each in statements]}).encode()

    assert server.permissions_of_statements("dynamodb:BatchExecuteStatement", body, "arn/{}".format) == [
        ("dynamodb:PartiQLInsert", "arn/runs"),
        ("dynamodb:PartiQLUpdate", "arn/ticks"),
        ("dynamodb:PartiQLDelete", "arn/runs"),
    ]
    assert server.permissions_of_statements("dynamodb:TransactWriteItems", body, str) == []


def test_concurrency_that_a_parameter_gives_is_a_number(server: ModuleType) -> None:
    assert server.numbered({"UUID": "u", "ScalingConfig": {"MaximumConcurrency": "5"}}) == {
        "UUID": "u",
        "ScalingConfig": {"MaximumConcurrency": 5},
    }
    assert server.numbered({"UUID": "u"}) == {"UUID": "u", "ScalingConfig": {}}


@pytest.mark.parametrize(
    ("request_items", "found"),
    [
        (
            {
                "Runs": {
                    "Keys": [],
                    "ProjectionExpression": "#a, job",
                    "ExpressionAttributeNames": {"#a": "run_id"},
                }
            },
            ["run_id", "job"],
        ),
        ({"Runs": {"Keys": [], "AttributesToGet": ["run_id"]}}, ["run_id"]),
        ({"Runs": {"Keys": [], "AttributesToGet": ["run_id"]}, "Ticks": {"Keys": []}}, None),
        ({"Runs": {"Keys": []}}, None),
        ({"Runs": [{"PutRequest": {}}]}, None),
    ],
)
def test_attributes_of_a_batch_are_those_of_its_tables(
    server: ModuleType, request_items: dict[str, Any], found: list[str] | None
) -> None:
    """One that reads all attributes of a table names none."""
    body = json.dumps({"RequestItems": request_items}).encode()

    assert json.loads(server.with_attributes(body)).get("AttributesToGet") == found


def test_a_request_without_a_batch_is_left_as_it_is(server: ModuleType) -> None:
    for body in (b"", b"{", b"[]", b'{"Key": {}}'):
        assert server.with_attributes(body) == body


def test_simulation_of_several_resources_says_of_each_what_holds(server: ModuleType) -> None:
    made = server.of_resources({"sts:AssumeRole": {"arn:1": "allowed", "arn:2": "implicitDeny"}})

    [result] = ET.fromstring(f"<Results>{made}</Results>")
    found = {
        each.findtext("EvalResourceName"): each.findtext("EvalResourceDecision")
        for each in result.iter("member")
        if each is not result
    }
    assert result.findtext("EvalDecision") == "implicitDeny"
    assert found == {"arn:1": "allowed", "arn:2": "implicitDeny"}


def test_changes_of_parameters_are_announced_a_few_at_a_time_and_once_each(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("000000000000", "us-east-1")
    stored = {(*place, f"/treadle/{number:02}"): parameter(number) for number in range(12)}
    ssm = SimpleNamespace(_parameters=SimpleNamespace(all_items=lambda: list(stored.items())))
    monkeypatch.setattr(server, "_service", {"ssm": ssm}.__getitem__)
    monkeypatch.setattr(server, "_parameters", {})

    def passes() -> list[list[str]]:
        made = ([change.key for _, _, change in server._parameter_changes()] for _ in range(4))
        return [[f"{key[0]} {key[3]}" for key in keys] for keys in made]

    created = [f"Create /treadle/{number:02}" for number in range(12)]
    assert passes() == [created[:5], created[5:10], created[10:], []]
    del stored[*place, "/treadle/03"]
    stored[*place, "/treadle/07"] = parameter(7, version=2)
    assert passes() == [["Delete /treadle/03", "Update /treadle/07"], [], [], []]


def parameter(number: int, version: int = 1) -> dict[str, Any]:
    """Return a parameter as MiniStack keeps it."""
    arn = f"arn:aws:ssm:us-east-1:000000000000:parameter/treadle/{number:02}"
    return {"ARN": arn, "Type": "String", "Description": "", "Version": version, "LastModifiedDate": 1}


def archive(**files: str) -> bytes:
    """Return a layer with such modules."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as layer:
        for name, text in files.items():
            layer.writestr(f"python/{name}.py", text)
    return made.getvalue()


def test_layer_is_unpacked_once_for_all_environments(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))
    first, second = archive(shop="A = 1\n"), archive(shop="A = 2\n")

    folder = server.unpacked(first)
    (folder / "kept").touch()

    assert (folder / "python/shop.py").read_text() == "A = 1\n"
    assert (server.unpacked(first), (folder / "kept").exists()) == (folder, True)
    assert (server.unpacked(second) / "python/shop.py").read_text() == "A = 2\n"


def test_environment_of_a_function_is_given_its_layers_in_order(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And MiniStack's own record of the function stays as it is."""

    class Worker:
        def __init__(self, config: dict[str, Any]) -> None:
            self.config = config

        def _spawn(self) -> None:
            spawned.append(self.config)

    spawned: list[dict[str, Any]] = []
    layers = {"deps": archive(deps=""), "library": archive(library=""), "gone": None}
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(server.importlib, "import_module", lambda _: type("Module", (), {"Worker": Worker}))
    service = type("Service", (), {"_resolve_layer_zip": staticmethod(layers.get)})
    monkeypatch.setattr(server, "_service", lambda _: service)
    config = {
        "Runtime": "python3.13",
        "Layers": ["deps", "gone", "library"],
        "Environment": {"Variables": {"A": "1"}},
    }
    worker = Worker(config)

    server.unpack_layers_once()
    worker._spawn()

    folders = f"{server.unpacked(layers['deps'])}:{server.unpacked(layers['library'])}"
    [given] = spawned
    assert given["Layers"] == []
    assert given["Environment"]["Variables"] == {"A": "1", "_LAMBDA_LAYERS_DIRS": folders}
    assert worker.config is config
    assert config["Layers"] == ["deps", "gone", "library"]
