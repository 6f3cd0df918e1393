"""What an engine notes beside the states of sensors comes back as it was written."""

from typing import Any

import boto3
import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb.engine_state import DynamoEngineStore, DynamoLateSensorStore
from treadle.definitions.errors import UnreadableRecordError
from treadle.ports.engine_state import EngineRecord, LateSensor

NOON = 1_795_370_400_000
