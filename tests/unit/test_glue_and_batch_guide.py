"""docs/guide/glue-and-batch-jobs.md: its commands write what it shows, and its scripts read what the targets send."""

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.project import run
from tools.project_copy import copy_of_project
from treadle import RunRequest
from treadle.adapters.targets.batch import BatchTarget
from treadle.adapters.targets.glue import GlueTarget
from treadle.definitions.canonical import canonical_json
from treadle.model.targets import JobSettings, Start
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs/guide/glue-and-batch-jobs.md").read_text()
SENSOR, GLUE, BATCH, REQUEST = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
[BLOCK] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
[DEFINITION] = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ treadle (new job .*)\n(.*)$", PAGE, flags=re.MULTILINE)
RUN_ID = "11111111-2222-5333-8444-555555555555"


class Calls:
    """Stands in for the roles' clients: records what would be sent."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}

    def call(
        self, service: str, role: str, method: str, *, once: bool = False, **sent: Any
    ) -> Mapping[str, str]:
        assert once
        self.sent = sent
        return {"JobRunId": "jr_1", "jobArn": "arn:aws:batch:eu-central-1:123456789012:job/1"}


def sent_by(target: Any, options: Mapping[str, str], run_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a target sends for a run with this config."""
    settings = JobSettings("job", "kind", "load-orders", "entry", options)
    config = canonical_json(run_config)
    calls = Calls()
    target(calls).start(Start(settings, f"{RUN_ID}-1", RUN_ID, config, {}, config))
    return calls.sent


def options_of(command: str) -> dict[str, str]:
    """Return the settings that a command gives."""
    words = shlex.split(command)
    given = [value for flag, value in pairwise(words) if flag == "--set"]
    return dict(each.split("=", 1) for each in given)


@pytest.mark.parametrize(("command", "answer"), COMMANDS, ids=["glue", "batch"])
def test_command_answers_as_the_page_shows(command: str, answer: str, tmp_path: Path) -> None:
    done = run(*shlex.split(command), "--root", str(copy_of_project(tmp_path)))

    assert done.stdout.splitlines()[0] == answer


def test_block_is_the_one_that_the_command_writes(tmp_path: Path) -> None:
    root = copy_of_project(tmp_path)

    run(*shlex.split(COMMANDS[0][0]), "--root", str(root))

    assert (root / "template.yaml").read_text().endswith(BLOCK)


def test_glue_script_reads_what_the_sensors_run_sends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("app")
    exec(compile(SENSOR, "glue-and-batch-jobs.md", "exec"), module.__dict__)
    [request] = TreadleInstance([module.daily_orders]).tick("daily_orders").runs
    arguments = sent_by(GlueTarget, options_of(COMMANDS[0][0]), json.loads(request.run_config))["Arguments"]
    monkeypatch.setattr(sys, "argv", ["script", *(word for each in arguments.items() for word in each)])
    utils = SimpleNamespace(getResolvedOptions=_resolved_options)
    monkeypatch.setitem(sys.modules, "awsglue", ModuleType("awsglue"))
    monkeypatch.setitem(sys.modules, "awsglue.utils", utils)

    exec(compile(GLUE, "glue-and-batch-jobs.md", "exec"), {})

    assert capsys.readouterr().out == f"{RUN_ID}-1 loads {request.run_key} from shop-orders.\n"


def _resolved_options(argv: list[str], names: list[str]) -> dict[str, str]:
    """As Glue's own function: `--a-b value` under the name `a_b`."""
    return {name.replace("-", "_"): argv[argv.index(f"--{name}") + 1] for name in names}


def test_batch_script_reads_what_a_run_sends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = eval(REQUEST, {"RunRequest": RunRequest})
    sent = sent_by(BatchTarget, options_of(COMMANDS[1][0]), request.run_config)
    command = json.loads(DEFINITION)["containerProperties"]["command"]
    parameters = {f"Ref::{name}": value for name, value in sent["parameters"].items()}
    monkeypatch.setattr(sys, "argv", [parameters.get(word, word) for word in command[1:]])
    for each in sent["containerOverrides"]["environment"]:
        monkeypatch.setitem(os.environ, each["name"], each["value"])

    exec(compile(BATCH, "glue-and-batch-jobs.md", "exec"), {})

    assert sent["parameters"].keys() == json.loads(DEFINITION)["parameters"].keys()
    assert capsys.readouterr().out == f"{RUN_ID}-1 resizes in/cat.png to 640 pixels.\n"
