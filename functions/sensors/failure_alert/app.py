"""Sends an alert for each failed run: by SNS, e-mail, Slack, Teams, PagerDuty or a webhook."""

from treadle import DefaultSensorStatus, alert_from_environment, evaluator, unless_retried

failure_alert = alert_from_environment(
    "failure_alert",
    alert_if=unless_retried,
    default_status=DefaultSensorStatus.RUNNING,
)

handler = evaluator(failure_alert)
