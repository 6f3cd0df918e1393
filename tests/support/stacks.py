"""Deployed stacks as CloudFormation and Lambda describe them, as moto's CloudFormation lacks features."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.model import OperationModel

from treadle.adapters import clients
from treadle.adapters.deployment import LONGEST_SECONDS
from treadle.operate.load_checks import CHECK_SECONDS

ACCOUNT = "123456789012"


@dataclass(slots=True)
class Stacks:
    """The two services' responses to this process.

    Attributes:
        resources: by stack, the type and the physical id of each resource by its logical id.
        environments: by a function's physical id, its variables.
        descriptions: by a function's physical id, its description.
        functions: by a function's physical id, the function that is called instead.
        modified: by a function's physical id, when it was deployed, as Lambda writes it.
        roles: by a function's physical id, the ARN of its role.
        failing: by a function's physical id, the code and the status of Lambda's refusal to describe it.
        page: so many resources are listed in one answer.
        parameters: by stack, what CloudFormation says of its parameters.
        outputs: by stack, the values of its outputs.
        statuses: by stack, its status; CREATE_COMPLETE for the others.
        templates: by stack, its template after SAM's transform.
        deleted: the stacks that were deleted, in order.
    """

    resources: dict[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Callable[[dict[str, Any]], object]] = field(default_factory=dict)
    modified: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    failing: dict[str, tuple[str, int]] = field(default_factory=dict)
    page: int = 2
    parameters: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def answer(self) -> None:
        """Install these responses for this process's clients."""
        for service, operation, handler in (
            ("cloudformation", "DescribeStacks", self._describe),
            ("cloudformation", "ListStackResources", self._list),
            ("cloudformation", "GetTemplate", self._template),
            ("cloudformation", "DeleteStack", self._delete),
            ("lambda", "GetFunctionConfiguration", self._configuration),
        ):
            made: Any = clients.client(service)  # type: ignore[call-overload]
            made.meta.events.register(f"before-call.{service}.{operation}", handler)
        for seconds in (LONGEST_SECONDS, CHECK_SECONDS):
            patient: Any = clients.client("lambda", once=True, seconds=seconds)
            patient.meta.events.register("before-call.lambda.Invoke", self._invoke)

    def _describe(self, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        name = params["body"]["StackName"]
        if name not in self.resources:
            message = f"Stack with id {name} does not exist"
            return _response(400), {"Error": {"Code": "ValidationError", "Message": message}}
        arn = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{name}/0b1c"
        outputs = self.outputs.get(name, {}).items()
        stack = {
            "StackName": name,
            "StackId": arn,
            "StackStatus": self.statuses.get(name, "CREATE_COMPLETE"),
            "Parameters": self.parameters.get(name, []),
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs],
        }
        return _response(200), {"Stacks": [stack]}

    def _template(self, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        return _response(200), {"TemplateBody": self.templates[params["body"]["StackName"]]}

    def _delete(self, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        name = params["body"]["StackName"]
        self.deleted.append(name)
        del self.resources[name]
        return _response(200), {}

    def _list(self, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        start = int(params["body"].get("NextToken", "0"))
        found = [
            {"LogicalResourceId": logical_id, "ResourceType": kind, "PhysicalResourceId": physical_id}
            for logical_id, (kind, physical_id) in self.resources[params["body"]["StackName"]].items()
        ]
        following = start + self.page
        more = {"NextToken": str(following)} if following < len(found) else {}
        return _response(200), {"StackResourceSummaries": found[start:following], **more}

    def _configuration(
        self, model: OperationModel, params: dict[str, Any], **_: object
    ) -> tuple[AWSResponse, dict[str, Any]]:
        del model
        function = params["url_path"].split("/")[3]
        failing = self.failing.get(function)
        if function not in self.environments:
            failing = ("ResourceNotFoundException", 404)
        if failing is not None:
            code, status = failing
            return _response(status), {"Error": {"Code": code, "Message": f"Function {function}"}}
        configuration = {
            "Description": self.descriptions.get(function, ""),
            "Role": self.roles.get(function, ""),
        }
        if function in self.modified:
            configuration["LastModified"] = self.modified[function]
        return _response(200), {**configuration, "Environment": {"Variables": self.environments[function]}}

    def _invoke(
        self, model: OperationModel, params: dict[str, Any], **_: object
    ) -> tuple[AWSResponse, dict[str, Any]]:
        """Invoke as Lambda does: an error of a function is a response, too."""
        del model
        function, event = params["url_path"].split("/")[3], json.loads(params["body"])
        try:
            result, failed = self.functions[function](event), {}
        except Exception as error:  # noqa: BLE001 - whatever the function raises
            result = {"errorType": type(error).__name__, "errorMessage": str(error)}
            failed = {"FunctionError": "Unhandled"}
        return _response(200), {
            "StatusCode": 200,
            "Payload": BytesIO(json.dumps(result).encode()),
            **failed,
        }


def _response(status: int) -> AWSResponse:
    return AWSResponse("https://aws", status, HTTPHeaders(), None)
