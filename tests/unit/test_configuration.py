"""Values live in one file: those of the project, what the pages say of them, and what SAM reads."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.template.engine_model import template_at
from tools import stack
from tools.project import ROOT, SAM, ToolError

EXAMPLE, TRACKED = ROOT / "samconfig.example.toml", ROOT / "samconfig.yaml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEMPLATES = (ROOT / "template.yaml", *sorted((ROOT / "engine").glob("*.yaml")))
PARAMETERS = {
    name: parameter
    for path in TEMPLATES
    for name, parameter in template_at(path).section("Parameters").items()
}
NEW = re.compile(r"(Nightly|Shop|UnpaidOrders|SendReminder)[A-Z]")
"""Parameters of sensors that the pages write."""
needs_sam = pytest.mark.skipif(not SAM.exists(), reason="make setup brings SAM")


def tracked() -> dict[str, Any]:
    """Return what SAM reads on a fresh checkout."""
    found: dict[str, Any] = yaml.safe_load(TRACKED.read_text())
    return found


def examples() -> list[tuple[str, str]]:
    """Return each value that a page puts into the file, with the page's name."""
    return [
        (page.name, given)
        for page in [*PAGES, EXAMPLE]
        for given in re.findall(r"""^ *(?:# +)?['"](\w+=.*)['"],$""", page.read_text(), flags=re.MULTILINE)
    ]


def by_sam(program: str, folder: Path) -> Any:
    """Return the JSON output of a program that is run by SAM's interpreter."""
    python = SAM.with_name("python")
    done = subprocess.run([python, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_example_is_what_a_fresh_checkout_is_deployed_with() -> None:
    """Copying it changes nothing, until a value is given."""
    example = tomllib.loads(EXAMPLE.read_text())

    assert example["default"]["deploy"]["parameters"].pop("parameter_overrides") == []
    assert example["default"] == tracked()["default"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_gives_values_on_the_command_line(page: Path) -> None:
    """The next plain `sam deploy` would undo them."""
    assert re.search(r"sam deploy [^`\n]*--parameter-overrides", page.read_text()) is None


@pytest.mark.parametrize(("page", "given"), examples())
def test_every_value_on_the_pages_is_one_that_a_template_takes(page: str, given: str) -> None:
    name, _, value = given.partition("=")
    assert page
    if NEW.match(name):
        return
    parameter, value = PARAMETERS[name], value.strip('"')

    if "AllowedValues" in parameter:
        assert value in map(str, parameter["AllowedValues"])
    elif parameter["Type"] == "Number":
        assert parameter["MinValue"] <= float(value) <= parameter["MaxValue"]
    elif parameter["Type"] == "String":
        assert re.fullmatch(parameter["AllowedPattern"], value)


@needs_sam
def test_sam_reads_the_projects_own_file_as_soon_as_there_is_one(tmp_path: Path) -> None:
    """And `--guided` writes that one: nothing that comes with Treadle is rewritten."""
    program = (
        "import json; from samcli.lib.config.samconfig import DEFAULT_CONFIG_FILE_NAME, SamConfig;"
        "print(json.dumps([SamConfig.get_default_file('.'), DEFAULT_CONFIG_FILE_NAME]))"
    )
    (tmp_path / "samconfig.yaml").touch()
    before = by_sam(program, tmp_path)
    (tmp_path / "samconfig.toml").touch()

    assert before == ["samconfig.yaml", "samconfig.toml"]
    assert by_sam(program, tmp_path) == ["samconfig.toml", "samconfig.toml"]


@needs_sam
def test_sam_takes_values_as_the_page_quotes_them(tmp_path: Path) -> None:
    given = ['AlertEmail=""', 'ShopGreeting="Good morning"', "Jobs=a,b"]
    program = (
        "import json; from samcli.cli.types import CfnParameterOverridesType;"
        f"print(json.dumps(CfnParameterOverridesType().convert({given!r}, None, None)))"
    )

    assert by_sam(program, tmp_path) == {
        "AlertEmail": "",
        "ShopGreeting": "Good morning",
        "Jobs": "a,b",
    }


def test_builds_for_this_machine_and_for_lambda_are_apart() -> None:
    """In folders and in caches: the one has this machine's wheels."""
    local = tracked()["local"]

    assert local["build"]["parameters"]["build_dir"] == stack.LOCAL_BUILD
    assert local["build"]["parameters"]["cache_dir"] == stack.LOCAL_CACHE
    assert local["deploy"]["parameters"]["template_file"] == f"{stack.LOCAL_BUILD}/template.yaml"
    assert not {"build_dir", "cache_dir"} & tracked()["default"]["build"]["parameters"].keys()
    assert f"/{Path(stack.LOCAL_BUILD).parent}/" in (ROOT / "layers" / "project" / "Makefile").read_text()
    # SAM keeps what it has built of what beside the folder of the build, whatever the cache's.
    assert Path(stack.LOCAL_BUILD).parent != Path(".aws-sam")


def test_local_cloud_takes_its_values_from_the_projects_file_if_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"there is no .*samconfig\.yaml"):
        stack.stack_name(tmp_path)
    (tmp_path / "samconfig.yaml").write_text(TRACKED.read_text())
    assert stack.stack_name(tmp_path) == "treadle-local"
    (tmp_path / "samconfig.toml").write_text('[default.deploy.parameters]\nstack_name = "shop"\n')
    assert stack.stack_name(tmp_path) == "treadle-local"
    (tmp_path / "samconfig.toml").write_text('[local.deploy.parameters]\nstack_name = "shop-local"\n')
    assert stack.stack_name(tmp_path) == "shop-local"
