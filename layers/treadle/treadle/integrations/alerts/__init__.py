"""Alerts: run failure sensors that notify people, by Slack, Teams, e-mail, SNS, PagerDuty or a webhook.

Each module has one channel; import from `treadle`, which loads only what is used.
"""
