"""The templates of `make verify-aws`: what CloudFormation takes, as far as cfn-lint knows."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from tools.verify.account import Account
from tools.verify.checks import ALL, deployment, events, identity
from tools.verify.templates import template

OTHERS: dict[str, Callable[[Account], Any]] = {
    "project": lambda account: deployment.project(f"{account.path}/v1"),
    "failing": deployment.failing,
    "long-names": deployment.long_names,
    "role-of-engine": lambda account: identity.engine(account, identity.engine_path(account)),
    "patterned": lambda account: deployment.patterned(f"{account.path}/v1", "^/treadle-verify/.*$"),
    "entries": deployment.entries,
    "mapping": lambda account: identity.mapping("f", account.arn("sqs", "q")),
    "one-more-rule": lambda _: template({"Rule": events.wildcard_rule("bus")}),
}


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    session = boto3.Session(region_name="eu-central-1")
    account = Account(session, "123456789012", "arn:aws:iam::123456789012:root", "aws", "eu-central-1")
    made = {check.name: check.template for check in ALL if check.template} | OTHERS
    for name, make in made.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(make(account)))

    done = subprocess.run(
        [
            Path(sys.executable).with_name("cfn-lint"),
            "--regions",
            "eu-central-1",
            "--",
            *map(str, tmp_path.glob("*.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    assert len(made) > 25
