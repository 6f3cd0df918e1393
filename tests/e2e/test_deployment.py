"""Deployment: invalid parameters are refused."""

import pytest

from tests.e2e.deployment import Deployed
from tools import stack
from tools.project import ToolError


def test_a_malformed_parameter_fails_with_its_constraints_description(deployed: Deployed) -> None:
    arguments = ["--stack-name", "malformed", "--parameter-overrides", "AlertEmail=nonsense"]

    with pytest.raises(ToolError) as refused:
        stack.deploy(deployed.endpoint, arguments=arguments)

    assert "an e-mail address, or empty" in str(refused.value)
