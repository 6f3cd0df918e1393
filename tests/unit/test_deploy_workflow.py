"""docs/guide/deploy-and-configure.md: the workflow parses, and runs what exists."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from treadle.cli.commands import treadle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guide/deploy-and-configure.md").read_text()
[TEXT] = re.findall(r"^```yaml\n(name: deploy\n.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
JOBS = yaml.safe_load(TEXT)["jobs"]
COMMANDS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]


def test_main_branch_is_deployed_only_after_the_checks() -> None:
    assert (JOBS["deploy"]["needs"], JOBS["deploy"]["if"]) == ("check", "github.ref == 'refs/heads/main'")
    assert [each.split()[:2] for each in COMMANDS] == [
        *(["make", "check"], ["sam", "build"], ["sam", "deploy"]),
        ["pip", "install"],
    ]


@pytest.mark.parametrize("makefile", ["Makefile", "layers/treadle/treadle/cli/templates/project/Makefile"])
def test_its_target_is_one_of_each_projects_makefile(makefile: str) -> None:
    assert re.search(r"^check:", (ROOT / makefile).read_text(), flags=re.MULTILINE)


def test_its_last_command_exists() -> None:
    command = COMMANDS[-1].rpartition("&& treadle ")[2]

    assert CliRunner().invoke(treadle, [command, "--help"]).exit_code == 0
