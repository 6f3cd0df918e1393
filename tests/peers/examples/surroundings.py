"""What the examples expect around them: packages, modules of their projects, files, resources and events."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock, patch

import boto3
from moto import mock_aws

from treadle import (
    AssetSpec,
    ConfigurableResource,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    JobDefinition,
)

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "ALERT_EMAIL_PASSWORD": "none",
    "MY_DIRECTORY": "data",
    "MY_SLACK_TOKEN": "none",
    "SLACK_DAGSTER_ETL_BOT_TOKEN": "none",
}
FILES = ("a.csv", "data/b.csv")
"""In the folder in which a sensor is evaluated."""

HOURS, WEEK = ("2024-01-09-05:00",), tuple(f"2022-08-{day:02}" for day in range(8, 15))


class _Client(ConfigurableResource):
    """Stands for a resource of a library of Dagster's."""


class _FileSystem(ConfigurableResource):
    def get_mtime(self, _: str) -> float:
        return 5.0


class _Mailman:
    def __init__(self, **_: object) -> None: ...

    def get_contents(self, *, get_all: bool) -> list[dict[str, str]]:
        assert get_all
        return [{"Key": "raw/orgs/2026-01-01/42"}]


class _Users(ConfigurableResource):
    def fetch_users(self) -> list[str]:
        return ["1", "2", "3"]


def _snowflake() -> MagicMock:
    found = MagicMock()
    connection = found.get_connection.return_value.__enter__.return_value
    connection.cursor.return_value.execute.return_value = [("PURINA_CLONE_7",)]
    return found


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What one example expects.

    Attributes:
        modules: what it imports that the port leaves to its author, by the module's name.
        values: what takes the place of variables of its module.
        files: in its project, with their content, relative to the folder of the example.
        resources: of its sensors.
        jobs: beside its sensors, with the assets that they make.
        makes: how it makes its sensors, if it has functions for that.
        partitions: whose materializations its sensors over assets receive.
        assets: whose materializations are recorded before a sensor looks for them.
    """

    modules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    jobs: Sequence[JobDefinition] = ()
    makes: Callable[[ModuleType], Any] | None = None
    partitions: Sequence[str | None] = (None,)
    assets: Sequence[Sequence[str]] = ()


_ETL, _AWS = "dagster_university/dagster_and_etl", "dagster_open_platform.defs.aws"
_REQUEST = '{"borough": "Queens"}'
OF: Mapping[str, Surroundings] = {
    "aws/sensors.py": Surroundings(
        {
            f"{_AWS}.constants": {"BUCKET_NAME": "b", "INPUT_PREFIX": "raw"},
            f"{_AWS}.partitions": {"org_partitions_def": DynamicPartitionsDefinition(name="org")},
            f"{_AWS}.utils": {"S3Mailman": _Mailman},
            "dagster": {"_check": MagicMock()},
            "dagster_aws.s3": {"S3Resource": _Client},
        },
        resources={"s3_resource": MagicMock()},
    ),
    "snowflake/py/sensors.py": Surroundings(
        {"dagster_snowflake": {"SnowflakeResource": _Client}},
        values={"_query_gh_api": lambda *_: []},
        resources={"snowflake": _snowflake()},
    ),
    "files/sensors.py": Surroundings(
        {
            "hooli_data_eng.defs.files.sensor_file_managers": {"FileSystem": _FileSystem},
            "hooli_data_eng.utils": {"get_env": lambda: "LOCAL"},
        },
        resources={"monitor_fs": _FileSystem()},
    ),
    "dagster_and_dbt/defs/sensors.py": Surroundings(
        files={"dagster_university/dagster_and_dbt/data/requests/a.json": _REQUEST}
    ),
    "completed/lesson_9/defs/sensors.py": Surroundings(
        files={"dagster_university/dagster_essentials/src/data/requests/a.json": _REQUEST}
    ),
    "completed/lesson_3/defs/sensors.py": Surroundings(
        {
            "dagster_and_etl.completed.lesson_3.defs.assets": {
                "dynamic_partitions_def": DynamicPartitionsDefinition(name="files")
            }
        },
        files={f"{_ETL}/data/source/2026.csv": ""},
    ),
    "hn_tables_updated_sensor.py": Surroundings(
        makes=lambda module: module.make_hn_tables_updated_sensor(JobDefinition("story")),
        assets=(("snowflake", "core", "comments"), ("snowflake", "core", "stories")),
    ),
    "slack_on_failure_sensor.py": Surroundings(
        makes=lambda module: module.make_slack_on_failure_sensor("https://dagster.example.com")
    ),
    "pythonic_resources.py": Surroundings(resources={"users_api": _Users()}),
    "migration/sensor_partitioned.py": Surroundings(partitions=HOURS),
    "sensors/asset_sensors.py": Surroundings(
        jobs=[
            JobDefinition(
                "upstream",
                assets=[AssetSpec("upstream_daily_asset", partitions_def=DailyPartitionsDefinition(WEEK[0]))],
            )
        ],
        partitions=WEEK,
    ),
    "sensors/sensors.py": Surroundings(assets=(("table_a",),)),
}
"""By the end of the example's path; others expect nothing of their own."""


def of(path: str) -> Surroundings:
    """Return what an example expects."""
    return next((each for end, each in OF.items() if path.endswith(f"/{end}")), Surroundings())


@contextmanager
def world(modules: Mapping[str, Mapping[str, Any]], folder: Path) -> Iterator[None]:
    """Import and evaluate an example: without AWS, Slack, a mail server, or packages that are not installed."""
    before = Path.cwd()
    given: dict[str, Any] = {"slack_sdk": MagicMock()}
    for name, values in modules.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            given.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        given[name].__dict__.update(values)
    for each in FILES:
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).write_text("x")
    with ExitStack() as stack:
        logging.disable()
        stack.callback(logging.disable, logging.NOTSET)
        stack.enter_context(patch.dict(os.environ, ENVIRONMENT))
        sys.modules.update(given)
        for name in given:
            stack.callback(sys.modules.pop, name)
        stack.enter_context(patch("treadle.integrations.alerts.http.Post.send", return_value='{"ok": true}'))
        stack.enter_context(patch("smtplib.SMTP_SSL"))
        stack.enter_context(mock_aws())
        client = boto3.client("s3")
        client.create_bucket(Bucket="my_s3_bucket")
        client.put_object(Bucket="my_s3_bucket", Key="a.csv", Body=b"x")
        os.chdir(folder)
        stack.callback(os.chdir, before)
        yield
