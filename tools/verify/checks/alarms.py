"""CloudWatch: the state of an alarm before there is any data."""

from collections.abc import Callable
from datetime import UTC, datetime

from tools.verify.account import Account
from tools.verify.lab import DidNotHoldError, Lab
from tools.verify.model import Check
from tools.verify.templates import Part, ref, template

MISSING = (
    "Amazon CloudWatch user guide, Configuring how CloudWatch alarms treat missing data: "
    "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html"
)

WATCHED_SECONDS = 420
"""A function's first data point takes up to five minutes; an alarm is evaluated each minute."""


def silent_alarm(periods: int) -> Callable[[Account], Part]:
    """Make the template of an alarm over a metric without data, which treats missing data as breaching.

    Args:
        periods: the number of breaching periods of five minutes.
    """

    def made(_: Account) -> Part:
        alarm: Part = {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "Namespace": "treadle-verify",
                "MetricName": "Errors",
                "Dimensions": [{"Name": "Stack", "Value": ref("AWS::StackName")}],
                "Statistic": "Sum",
                "Period": 300,
                "EvaluationPeriods": periods,
                "DatapointsToAlarm": periods,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "breaching",
            },
        }
        return template({"Alarm": alarm}, {"Alarm": ref("Alarm")})

    return made


def at_birth(lab: Lab) -> str:
    """Observe a new alarm for seven minutes from the creation of its stack."""
    cloudwatch, name = lab.client("cloudwatch"), lab.outputs["Alarm"]
    stack = lab.stacks.find(lab.stack_name)
    created = stack.created if stack and stack.created else datetime.now(UTC)

    def check() -> datetime | None:
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        found: datetime = alarm["StateUpdatedTimestamp"]
        return found if alarm["StateValue"] == "ALARM" else None

    rang = lab.eventually(check, max(WATCHED_SECONDS - (datetime.now(UTC) - created).total_seconds(), 0))
    if rang:
        raise DidNotHoldError(
            f"it was in ALARM {(rang - created).total_seconds():.0f} s after its creation began"
        )
    return f"no ALARM within {WATCHED_SECONDS // 60} minutes of its creation"


def _check(name: str, periods: int) -> Check:
    return Check(
        name,
        f"An alarm with TreatMissingData breaching over {periods} x 5 minutes is not in ALARM when it is created",
        "the alarms on evaluators and on RECONCILE, which also ring when nothing runs",
        MISSING,
        at_birth,
        silent_alarm(periods),
        not_local="the local cloud evaluates alarms only when data arrive",
        dollars=0.001,
    )


CHECKS = (_check("alarm-of-one-period", 1), _check("alarm-of-two-periods", 2))
