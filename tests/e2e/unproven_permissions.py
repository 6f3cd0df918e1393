"""Permissions that no test shows to be needed: role or managed policy, statement and action, each with the reason."""

POLLED = "Lambda's poller uses it, and the local cloud's own poller assumes no role"
SCHEDULED = "Scheduler uses it, and the local cloud's own scheduler assumes no role"
OF_THE_MACHINE = "Step Functions uses it, and the local cloud's own assumes no role"
READS_RUNS = "for a function that requests further runs, which this one does not"
BACKFILL = "for a backfill, as in test_operations.py"
POOL = "for runs of a pool, as in test_operations.py"
READS_PARTITIONS = "for a sensor with dynamic partitions, which the example is not"
READS_ASSETS = "for a sensor that reads more than its event, which the example does not"
THROTTLED = "for a message that met a throttled table, which the local cloud does not have"
KEPT = "the credentials of a role are kept for an hour: without them nothing starts, as is shown below"
OBSERVED = "deployed where a job is observed only, as test_runs.py does"
EXPRESS = "distinguishes an Express state machine, and the local cloud's is a Standard one"
CANCEL = "for an operator's cancel, as in test_operations.py"
NEVER_DEPLOYED = "nothing is where its address says: as it is shipped, the job is a placeholder"
WITH_KEYS = "deployed with KmsKeyArns only, and the local cloud requires no key"
OTHER_ACCOUNTS = "deployed with JobAccounts only, and the local cloud has one account"
UNPROVEN = {
    (
        "EvaluatorPolicy",
        "OwnState",
        "dynamodb:PutItem",
    ): "for a cursor over 400 bytes, which this sensor never has",
    (
        "EvaluatorPolicy",
        "EngineId",
        "dynamodb:GetItem",
    ): "the local cloud fills in no keys, and goes by OwnState",
    (
        "EvaluatorPolicy",
        "OwnPayloads",
        "s3:PutObject",
    ): "the local cloud fills in no tags, and goes by the next statement",
    (
        "EvaluatorPolicy",
        "PayloadsOfLocalClouds",
        "s3:PutObject",
    ): "for ticks whose requests take over 300 KB compressed",
    (
        "EvaluatorPolicy",
        "OwnDeployment",
        "lambda:GetFunctionConfiguration",
    ): "without it nothing fails: objects count from the first sweep, and the tick says so",
    **{(role, "Runs", "dynamodb:BatchGetItem"): BACKFILL for role in ("DispatchRole", "ReconcileRole")},
    ("PublishRole", "DispatchQueue", "sqs:SendMessage"): BACKFILL,
    **{
        (role, "Pools", f"dynamodb:{action}"): POOL
        for role, others in (
            ("DispatchRole", ("GetItem", "Query")),
            ("LaunchRole", ("PutItem",)),
            ("RecordRole", ()),
            ("ReconcileRole", ("GetItem", "Query")),
        )
        for action in ("DeleteItem", *others)
    },
    **{
        ("EvaluatorPolicy", "Partitions", f"dynamodb:{action}"): READS_PARTITIONS
        for action in ("BatchGetItem", "Query")
    },
    ("RunReaderPolicy", "ReadRuns", "dynamodb:GetItem"): READS_RUNS,
    ("RunReaderPolicy", "FindRuns", "dynamodb:Query"): READS_RUNS,
    (
        "RunReaderPolicy",
        "EndedRuns",
        "dynamodb:Query",
    ): "for sensors of several jobs' ends, as in following.py",
    **{
        ("AssetReaderPolicy", "Materializations", f"dynamodb:{action}"): READS_ASSETS
        for action in ("Query", "BatchGetItem")
    },
    ("NewObjectsRole", "", "s3:ListBucketVersions"): "deployed with identity=version only",
    (
        "NewObjectsRole",
        "",
        "s3:GetBucketNotification",
    ): "without it nothing fails: the sweep only does not say that the bucket sends no events",
    ("NewObjectsRole", "", "s3:GetBucketVersioning"): "deployed with identity=version only",
    (
        "FailureAlertRole",
        "Notify",
        "sns:Publish",
    ): "the default policy of a topic lets whoever is of its account publish, on the local cloud",
    (
        "DispatchRole",
        "Runs",
        "dynamodb:GetItem",
    ): "for a sensor whose hour is full, and RunsPerHour is 0 here",
    **{(role, "JobRoles", "sts:AssumeRole"): KEPT for role in ("LaunchRole", "RecordRole", "ReconcileRole")},
    **{
        (role, "JobRolesOfOtherAccounts", "sts:AssumeRole"): OTHER_ACCOUNTS
        for role in ("LaunchRole", "RecordRole", "ReconcileRole")
    },
    ("ProcessFileJobRole", "", "states:DescribeStateMachine"): EXPRESS,
    ("ProcessFileJobRole", "", "states:ListExecutions"): OBSERVED,
    ("ProcessFileJobRole", "", "states:StopExecution"): CANCEL,
    **{
        ("ProcessLargeFileJobRole", "", f"states:{action}"): NEVER_DEPLOYED
        for action in (
            "StartExecution",
            "DescribeStateMachine",
            "ListExecutions",
            "DescribeExecution",
            "StopExecution",
            "GetExecutionHistory",
        )
    },
    ("RecordRole", "RecordQueue", "sqs:SendMessage"): THROTTLED,
    (
        "PublishRole",
        "PublishQueue",
        "sqs:SendMessage",
    ): "for what table or bus did not take, which here they always do",
    (
        "DispatchRole",
        "RunsOfSensors",
        "dynamodb:Query",
    ): "for the look for loops, which a warm function makes after fifteen runs of a sensor",
    (
        "ReconcileRole",
        "RunsOfSensorsAndJobs",
        "dynamodb:Query",
    ): "for a tick of an S3 sensor that DISPATCH has lost, and for a job that joins a pool, which this test has not",
    ("ReconcileRole", "Runs", "dynamodb:UpdateItem"): "for a record that cannot be read, which is marked",
    ("ReconcileRole", "DeadLetters", "sqs:SendMessage"): "Lambda uses it for an invocation that failed",
    ("ScheduleRole", "Reconcile", "lambda:InvokeFunction"): SCHEDULED,
    ("ScheduleRole", "Sensors", "lambda:InvokeFunction"): SCHEDULED,
    ("SummarizeRole", "Summarize", "lambda:InvokeFunction"): OF_THE_MACHINE,
    ("SummarizeRole", "Report", "events:PutEvents"): OF_THE_MACHINE,
    ("SummarizeCsvRole", "", "s3:GetObjectVersion"): "for runs with identity=version",
    **{
        (holder, sid, f"sqs:{action}"): POLLED
        for holder, sid in (
            ("EvaluatorPolicy", "OwnQueueAndDeadLetters"),
            ("DispatchRole", "DispatchQueue"),
            ("LaunchRole", "LaunchQueue"),
            ("RecordRole", "RecordQueue"),
            ("PublishRole", "PublishQueue"),
        )
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
    },
    **{
        (holder, sid, f"dynamodb:{action}"): POLLED
        for holder, sid in (("DispatchRole", "TicksStream"), ("PublishRole", "RunsStream"))
        for action in ("DescribeStream", "GetRecords", "GetShardIterator")
    },
    ("DispatchRole", "ListStreams", "dynamodb:ListStreams"): POLLED,
    ("PublishRole", "ListStreams", "dynamodb:ListStreams"): POLLED,
    **{
        (holder, "Keys", f"kms:{action}"): WITH_KEYS
        for holder in (
            "EvaluatorPolicy",
            "DispatchRole",
            "LaunchRole",
            "RecordRole",
            "PublishRole",
            "ReconcileRole",
        )
        for action in ("Decrypt", "GenerateDataKey")
    },
}
UNENFORCED = {"Logs", "Traces"}
"""Statements for what the local cloud does itself."""
