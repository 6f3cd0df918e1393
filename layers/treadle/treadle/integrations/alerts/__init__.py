"""Alerts: run failure sensors that tell people, by Slack, Teams, e-mail, SNS, PagerDuty or a webhook.

Each module has one way to tell; import from `treadle`, which loads only what is used.
"""
