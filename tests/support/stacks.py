"""Deployed stacks as CloudFormation and Lambda describe them; moto's own CloudFormation needs more than it brings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.model import OperationModel

from treadle.adapters import clients

ACCOUNT = "123456789012"


@dataclass(slots=True)
class Stacks:
    """What the two services answer this process.

    Attributes:
        resources: by stack, the type and the physical id of each resource by its logical id.
        environments: by a function's physical id, its variables.
        page: so many resources are listed in one answer.
    """

    resources: dict[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    page: int = 2

    def answer(self) -> None:
        """From now on, let this process's clients hear of these stacks."""
        for service, operation, handler in (
            ("cloudformation", "DescribeStacks", self._describe),
            ("cloudformation", "ListStackResources", self._list),
            ("lambda", "GetFunctionConfiguration", self._configuration),
        ):
            made: Any = clients.client(service)  # type: ignore[call-overload]
            made.meta.events.register(f"before-call.{service}.{operation}", handler)

    def _describe(self, params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        name = params["body"]["StackName"]
        if name not in self.resources:
            words = f"Stack with id {name} does not exist"
            return _response(400), {"Error": {"Code": "ValidationError", "Message": words}}
        arn = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{name}/0b1c"
        return _response(200), {"Stacks": [{"StackName": name, "StackId": arn}]}

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
        variables = self.environments[params["url_path"].split("/")[3]]
        return _response(200), {"Environment": {"Variables": variables}}


def _response(status: int) -> AWSResponse:
    return AWSResponse("https://aws", status, HTTPHeaders(), None)
