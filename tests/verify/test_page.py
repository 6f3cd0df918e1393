"""docs/guide/verify-on-aws.md: its output is really printed, its options and variables exist, its policy is enough."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tools.project import REGION, ROOT
from tools.verify import __main__ as command
from tools.verify.account import LOCAL_ACCOUNT, Account, identify, pointing_at
from tools.verify.checks import ALL, starts
from tools.verify.model import SUCCESS, Verdict
from tools.verify.start_contracts import PREFIX, ROWS, variable_of

pytestmark = pytest.mark.timeout(300)

PAGE = (ROOT / "docs" / "guide" / "verify-on-aws.md").read_text()
SCRATCH = f"treadle-verify-user-{Path(__file__).stem}"


def test_variables_of_the_page_are_those_of_the_rows() -> None:
    expected = {
        name
        for kind, (variable, options) in ROWS.items()
        for name in (PREFIX + variable, *(variable_of(kind, option) for option in options))
    }

    assert set(re.findall(rf"`({PREFIX}[A-Z_]+)`", PAGE)) == expected


def test_options_of_the_page_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])

    options = set(re.findall(r"^  (--[a-z]+)", capsys.readouterr().out, re.MULTILINE))
    assert set(re.findall(r"^\| `(--[a-z]+)", PAGE, re.MULTILINE)) == options
    assert set(starts.OWN) == {"step_functions", "lambda", "sqs", "eventbridge"}


def test_cost_of_the_page_is_the_sum_of_the_checks() -> None:
    cents = math.ceil(100 * sum(check.dollars for check in ALL))

    assert f"it costs {cents} cents at most" in PAGE


def table(text: str) -> list[str]:
    """Return the lines of a table, without what differs from run to run."""
    lines = re.findall(rf"^(?:{'|'.join(Verdict)}) .*  \d+ s  .*$|^\d+ held, .*$", text, re.MULTILINE)
    return [
        re.sub(r" +\d+ s |\b[0-9a-f]{6}\b|[0-9A-F]{13}|[0-9a-f]{8}-[0-9a-f-]+", " … ", line) for line in lines
    ]


@pytest.fixture
def operator(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """A user who has the page's policy and nothing else."""
    [policy] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    text = policy.replace("REGION", REGION).replace("ACCOUNT", LOCAL_ACCOUNT)
    with pointing_at(endpoint):
        iam: Any = boto3.client("iam")
        iam.create_user(UserName=SCRATCH)
        iam.put_user_policy(
            UserName=SCRATCH, PolicyName="verify", PolicyDocument=json.dumps(json.loads(text))
        )
        key = iam.create_access_key(UserName=SCRATCH)["AccessKey"]
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
            patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
            yield identify()
        iam.delete_access_key(UserName=SCRATCH, AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName=SCRATCH, PolicyName="verify")
        iam.delete_user(UserName=SCRATCH)


def test_policy_of_the_page_is_enough_and_the_output_is_what_is_printed(
    operator: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert operator.caller.endswith(f":user/{SCRATCH}")

    status = command.verify(operator, ALL, yes=True)

    printed = capsys.readouterr().out
    assert "not deleted" not in printed
    assert table(printed) == table(PAGE)
    assert status == SUCCESS
