"""A job in another account: the events that engine/job-account.yaml forwards change the run's record.

The local cloud has the other account, and delivers nothing from one account to another. So the stack there delivers to a
queue of its own account, and the test carries the messages to the engine's.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.e2e.deployment import Deployed, eventually, run_record
from tools.project import ENGINE, REGION
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.contract import PARTS
from treadle.model.runs import PendingStart

OTHER = "210987654321"
STACK = "treadle-job-account"
PATIENCE = 120
DONE = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
ASSUMED = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "states.amazonaws.com"}}


@dataclass
class Account:
    """The other account.

    Attributes:
        session: with its root's credentials.
        endpoint: the local cloud's URL.
    """

    session: boto3.Session
    endpoint: str

    def client(self, service: str) -> Any:
        make: Any = self.session.client
        return make(service, endpoint_url=self.endpoint)

    def state_machine(self) -> str:
        """Return a state machine that does nothing."""
        trust = json.dumps({"Version": "2012-10-17", "Statement": [ASSUMED]})
        role = self.client("iam").create_role(RoleName="job", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        made = self.client("stepfunctions").create_state_machine(
            name="elsewhere", definition=json.dumps(DONE), roleArn=role
        )
        return str(made["stateMachineArn"])

    def deploy(self, contract: str) -> None:
        """Deploy engine/job-account.yaml."""
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=STACK,
            TemplateBody=(ENGINE / "job-account.yaml").read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": "Engine", "ParameterValue": contract}],
        )

        def status() -> str | None:
            [found] = formation.describe_stacks(StackName=STACK)["Stacks"]
            return None if found["StackStatus"].endswith("IN_PROGRESS") else str(found["StackStatus"])

        assert eventually(status, "the stack is deployed", seconds=PATIENCE) == "CREATE_COMPLETE"


@pytest.fixture
def account(deployed: Deployed) -> Iterator[Account]:
    session = boto3.Session(aws_access_key_id=OTHER, aws_secret_access_key="test", region_name=REGION)
    made = Account(session, deployed.endpoint)
    assert made.client("sts").get_caller_identity()["Account"] == OTHER
    yield made
    made.client("cloudformation").delete_stack(StackName=STACK)


def test_run_in_another_account_ends_by_the_events_of_that_account(
    deployed: Deployed, account: Account
) -> None:
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="carried")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    contract = [*deployed.contract.values()]
    contract[PARTS.index("record_queue_arn")] = arn
    account.deploy(",".join(contract))
    machine = account.state_machine()
    run = run_record(pending_start=PendingStart("t", 0, machine, "step_functions"))
    deployed.stores.runs.create(run)

    account.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=run.launch_id, input='{"secret":1}'
    )

    def carried() -> str | None:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            assert "secret" not in message["Body"]
            assert json.loads(message["Body"])["account"] == OTHER
            deployed.send("Record", message["Body"])
        found = deployed.stores.runs.get(run.run_id)
        return found.status if found is not None and found.status.is_finished else None

    assert eventually(carried, "the run has ended", seconds=PATIENCE) == Status.SUCCESS
    ended = deployed.stores.runs.get(run.run_id)
    assert ended is not None
    assert (ended.target, ended.next_at) == (machine, None)
