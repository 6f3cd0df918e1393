"""A small project for `treadle dev`: a poller, a bucket's sensor, a chain, and an alert."""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0
"""Seconds after which something that should happen on a busy machine is given up."""

TEMPLATE = """
Globals:
  Function:
    Timeout: 60
    Environment: { Variables: { TREADLE_PAUSE_AFTER: '10', TREADLE_ENGINE_ID: !Select [2, !Ref Engine] } }
Parameters:
  Engine: { Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: /treadle/main/v1 }
Resources:
  Alerts: { Type: AWS::SNS::Topic }
  Poller:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: functions/sensors/poller, Environment: { Variables: { TREADLE_KIND: schedule, GREETING: hello } } }
  Files:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: functions/sensors/files, Environment: { Variables: { TREADLE_KIND: s3, TREADLE_S3_BUCKET: landing } } }
  Failures:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: functions/sensors/failures, Environment: { Variables: { TREADLE_ALERT_SNS_TOPIC: !Ref Alerts } } }
"""

POOL = """
  LoadJob:
    Type: AWS::SSM::Parameter
    Properties: { Name: !Sub '/treadle/${Engine}/jobs/load',
      Value: !Sub '{"project":"${AWS::StackName}","target":"step_functions","arn":"","pools":"slots"}' }
  Slots:
    Type: AWS::SSM::Parameter
    Properties: { Name: !Sub '/treadle/${Engine}/pools/slots', Value: !Sub '{"project":"${AWS::StackName}","limit":"1"}' }
"""
"""What limits the runs of the job "load" to one at a time, to be added to the template."""

POLLER = """
import os

from treadle import DefaultSensorStatus, SkipReason, evaluator, sensor


@sensor(job_name="load", minimum_interval_seconds=5, default_status=DefaultSensorStatus.RUNNING)
def poller(context):
    return SkipReason(f"{os.environ['GREETING']} from the first version")


handler = evaluator(poller)
"""

FILES = """
from treadle import DefaultSensorStatus, RunRequest, evaluator, s3_sensor


@s3_sensor(job_name="load", default_status=DefaultSensorStatus.RUNNING)
def files(context, stored):
    return RunRequest(run_config={"key": stored.key})


handler = evaluator(files)
"""

CHAIN = """
from treadle import DagsterRunStatus, DefaultSensorStatus, JobDefinition, RunRequest, evaluator, run_status_sensor


@run_status_sensor(
    DagsterRunStatus.SUCCESS,
    monitored_jobs=[JobDefinition("load")],
    request_job=JobDefinition("report"),
    default_status=DefaultSensorStatus.RUNNING,
)
def chain(context):
    return RunRequest(run_key=context.dagster_run.run_id)


handler = evaluator(chain)
"""

FAILURES = """
from treadle import DefaultSensorStatus, alert_from_environment, evaluator

handler = evaluator(alert_from_environment("failures", default_status=DefaultSensorStatus.RUNNING))
"""

QUICK_JOBS = '[jobs."*"]\nseconds = 0\n'


def write_project(root: Path, dev_toml: str = QUICK_JOBS) -> Path:
    """Write the project."""
    for name, code in (("poller", POLLER), ("files", FILES), ("chain", CHAIN), ("failures", FAILURES)):
        write_sensor(root, name, code)
    (root / "template.yaml").write_text(TEMPLATE)
    (root / "dev.toml").write_text(dev_toml)
    return root


def write_sensor(root: Path, name: str, code: str) -> None:
    """Save a sensor's code."""
    folder = root / "functions" / "sensors" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(textwrap.dedent(code))


def eventually(what: Callable[[], object], message: Callable[[], str]) -> None:
    """Wait until something is true."""
    ends_at = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < ends_at, message()
        time.sleep(0.05)
