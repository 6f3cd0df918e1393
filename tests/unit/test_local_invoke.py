"""What `make invoke` takes from a built template."""

from pathlib import Path

import pytest

from tools.built import Build, read
from tools.project import ToolError

TEMPLATE = """
Parameters:
  WatchTimeout: { Type: Number, Default: 60 }
Resources:
  Layer: { Type: AWS::Serverless::LayerVersion, Properties: { ContentUri: Layer } }
  WatchFunction:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: Watch, Handler: app.handler, Layers: [!Ref Layer], Timeout: TIMEOUT }
"""


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("20", 20), ("!Ref WatchTimeout", 60), ("!FindInMap [Timeouts, watch, Seconds]", 3)],
)
def test_a_function_may_take_as_long_as_it_is_deployed_with_by_default(
    tmp_path: Path, timeout: str, seconds: int
) -> None:
    """What only a deployment knows is Lambda's own default."""
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace("TIMEOUT", timeout))

    assert read("WatchFunction", [Build(tmp_path, tmp_path, "local")]).timeout == seconds


GLOBALS = """
Globals:
  Function:
    Layers: [!Ref Layer]
    Environment: { Variables: { TREADLE_TABLE: !Ref Table } }
"""


def test_a_function_is_found_in_whichever_template_has_it(tmp_path: Path) -> None:
    """Without what it ignores of the globals."""
    for name, text in (("project", TEMPLATE), ("engine", f"{GLOBALS}{TEMPLATE}".replace("Watch", "Launch"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "template.yaml").write_text(text.replace("TIMEOUT", "20"))
    builds = [Build(tmp_path / name, Path(name), "local") for name in ("project", "engine")]

    found = read("LaunchFunction", builds)

    assert (found.build.folder, found.code) == (Path("engine"), tmp_path / "engine" / "Launch")
    assert (found.unresolved, len(found.layers)) == (("TREADLE_TABLE",), 2)
    with pytest.raises(ToolError, match="FUNCTION can be: LaunchFunction, WatchFunction"):
        read("Launch", builds)

    path = tmp_path / "engine" / "template.yaml"
    path.write_text(
        path.read_text().replace(
            "    Properties:", "    IgnoreGlobals: [Layers, Environment]\n    Properties:"
        )
    )
    found = read("LaunchFunction", builds)
    assert (found.unresolved, len(found.layers)) == ((), 1)
