"""Treadle in memory: in-memory stores, a virtual clock, and controllable targets."""

from treadle.definitions.contexts import build_sensor_context
from treadle.definitions.resources import build_resources
from treadle.definitions.run_config_schema import validate_run_config
from treadle.model.pools import Overlap
from treadle.testing.instance import TickResult, TreadleInstance, WebhookResult, instance_for_test
from treadle.testing.pools import Pool
from treadle.testing.system import VirtualClock

__all__ = [
    "Overlap",
    "Pool",
    "TickResult",
    "TreadleInstance",
    "VirtualClock",
    "WebhookResult",
    "build_resources",
    "build_sensor_context",
    "instance_for_test",
    "validate_run_config",
]
