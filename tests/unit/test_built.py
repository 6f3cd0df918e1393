"""What `make invoke` takes from a built template."""

from pathlib import Path

import pytest

from tools import built

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

    assert built.read("WatchFunction", tmp_path).timeout == seconds
