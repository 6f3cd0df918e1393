"""Permissions that no test shows to be needed: role, statement and action, each with the reason."""

POLLED = "Lambda's poller uses it, and the local cloud's own poller asks no role"
BATCHED = "AWS's name for what is shown as SendMessageBatch"
READS_RUNS = "for a function that asks for further runs, which this one does not"
NO_SUCH_CHANNEL = "deployed with such a channel only"
KEPT = "the credentials of a role are kept for an hour: without them nothing starts, as is shown below"
MOVED = "deployed with FormerJobArns only, as test_moved_job.py does"
UNPROVEN = {
    ("NewObjectsRole", "OwnState", "dynamodb:PutItem"): "for a cursor over 1 KB, which this sensor never has",
    ("NewObjectsRole", "OwnQueue", "sqs:SendMessage"): "AWS's name for what SendMessageBatch is here",
    (
        "NewObjectsRole",
        "OwnQueue",
        "sqs:SendMessageBatch",
    ): "for ticks below a minute, which make soak watches",
    ("NewObjectsRole", "SweepBucket", "s3:ListBucketVersions"): "deployed with identity=version only",
    (
        "NewObjectsRole",
        "BucketNotifications",
        "s3:GetBucketNotification",
    ): "without it nothing fails: the sweep only does not say that the bucket sends no events",
    ("NewObjectsRole", "BucketVersioning", "s3:GetBucketVersioning"): "deployed with identity=version only",
    (
        "NewObjectsRole",
        "OwnDeployment",
        "lambda:GetFunctionConfiguration",
    ): "without it nothing fails: objects count from the first sweep, and the tick says so",
    ("NewObjectsRole", "OwnOutcomes", "s3:PutObject"): "for ticks whose requests take over 300 KB compressed",
    ("FailureAlertRole", "OwnState", "dynamodb:PutItem"): "for a cursor, which sensors of runs do not have",
    ("FailureAlertRole", "OwnState", "dynamodb:UpdateItem"): "for failures in a row, which slow it down",
    ("FailureAlertRole", "ReadRuns", "dynamodb:GetItem"): READS_RUNS,
    ("FailureAlertRole", "FindRuns", "dynamodb:Query"): READS_RUNS,
    ("FailureAlertRole", "OwnQueue", "sqs:SendMessage"): "AWS's name for what SendMessageBatch is here",
    (
        "FailureAlertRole",
        "OwnQueue",
        "sqs:SendMessageBatch",
    ): "for a message that met a throttled table, which the local cloud does not have",
    ("FailureAlertRole", "OwnOutcomes", "s3:PutObject"): "for run requests, of which it makes none",
    ("FailureAlertRole", "TellTopic", "sns:Publish"): NO_SUCH_CHANNEL,
    **{
        ("FailureAlertRole", f"{channel}Secret", "secretsmanager:GetSecretValue"): NO_SUCH_CHANNEL
        for channel in ("Slack", "Teams", "PagerDuty", "Webhook")
    },
    ("DispatchRole", "DispatchQueue", "sqs:SendMessage"): BATCHED,
    ("DispatchRole", "LaunchQueue", "sqs:SendMessage"): BATCHED,
    (
        "DispatchRole",
        "Runs",
        "dynamodb:GetItem",
    ): "for a sensor whose hour is full, and RunsPerHour is 0 here",
    ("LaunchRole", "LaunchQueue", "sqs:SendMessage"): BATCHED,
    **{(role, "JobRoles", "sts:AssumeRole"): KEPT for role in ("LaunchRole", "RecordRole", "ReconcileRole")},
    (
        "ProcessFileJobRole",
        "StateMachine",
        "states:DescribeStateMachine",
    ): "tells an Express state machine, and the local cloud's is a Standard one",
    (
        "ProcessFileJobRole",
        "StateMachine",
        "states:ListExecutions",
    ): "deployed where a job is observed only, as test_runs.py does",
    (
        "ProcessFileJobRole",
        "Executions",
        "states:StopExecution",
    ): "for an operator's cancel, as in test_operations.py",
    **{
        ("ProcessFileJobRole", "FormerExecutions", f"states:{action}"): MOVED
        for action in ("DescribeExecution", "GetExecutionHistory", "StopExecution")
    },
    ("ProcessFileJobRole", "SettleFormerStarts", "states:StartExecution"): MOVED,
    **{
        ("ProcessFileJobRole", "FormerJobs", action): MOVED
        for action in (
            "states:DescribeStateMachine",
            "glue:GetJobRun",
            "glue:GetJobRuns",
            "glue:BatchStopJobRun",
        )
    },
    ("RecordRole", "RecordQueue", "sqs:SendMessage"): "AWS's name for what SendMessageBatch is here",
    (
        "RecordRole",
        "RecordQueue",
        "sqs:SendMessageBatch",
    ): "for a message that met a throttled table, which the local cloud does not have",
    ("PublishRole", "PublishQueue", "sqs:SendMessage"): "AWS's name for what SendMessageBatch is here",
    (
        "PublishRole",
        "PublishQueue",
        "sqs:SendMessageBatch",
    ): "for what table or bus did not take, which here they always do",
    ("ReconcileRole", "Runs", "dynamodb:UpdateItem"): "for a record that cannot be read, which is marked",
    ("ReconcileRole", "DispatchQueue", "sqs:SendMessage"): BATCHED,
    ("ReconcileRole", "LaunchQueue", "sqs:SendMessage"): BATCHED,
    ("ReconcileRole", "DeadLetters", "sqs:SendMessage"): "Lambda uses it for an invocation that failed",
    ("SummarizeCsvRole", "ReadWatchedObjects", "s3:GetObjectVersion"): "for runs with identity=version",
    **{
        (role, sid, f"sqs:{action}"): POLLED
        for role, sid in (
            ("NewObjectsRole", "OwnQueue"),
            ("DispatchRole", "DispatchQueue"),
            ("LaunchRole", "LaunchQueue"),
            ("RecordRole", "RecordQueue"),
            ("PublishRole", "PublishQueue"),
            ("FailureAlertRole", "OwnQueue"),
        )
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
    },
    ("DispatchRole", "TicksStream", "dynamodb:DescribeStream"): POLLED,
    ("DispatchRole", "TicksStream", "dynamodb:GetRecords"): POLLED,
    ("DispatchRole", "TicksStream", "dynamodb:GetShardIterator"): POLLED,
    ("DispatchRole", "ListStreams", "dynamodb:ListStreams"): POLLED,
    ("PublishRole", "RunsStream", "dynamodb:DescribeStream"): POLLED,
    ("PublishRole", "RunsStream", "dynamodb:GetRecords"): POLLED,
    ("PublishRole", "RunsStream", "dynamodb:GetShardIterator"): POLLED,
    ("PublishRole", "ListStreams", "dynamodb:ListStreams"): POLLED,
}
UNENFORCED = {"Logs", "Traces"}
"""Statements for what the local cloud does itself."""
