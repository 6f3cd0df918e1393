"""Behavior that cannot be checked in an hour in one account, with instructions."""

from tools.verify.model import ByHand

LONG = "takes longer than an hour"

BY_HAND = (
    ByHand(
        "age-alarms",
        "Alarms on the age of a queue's oldest message do not count the delays that Treadle itself causes",
        LONG,
        "Set settle_seconds=3600 on a sensor over objects and upload one: no age alarm may go to ALARM within two hours.",
    ),
    ByHand(
        "cost-after-a-day",
        "The bill of an idle stack is what `treadle cost` says",
        LONG,
        "After 24 hours compare Cost Explorer, grouped by usage type and filtered by the stack's tag, with `treadle cost`.",
    ),
    ByHand(
        "throttled-target",
        "A launch that its target throttles for hours starts in the end, and never becomes a dead letter",
        LONG,
        "Start two runs of a Glue job with a concurrency of 1 that takes two hours: the second starts after the first, the "
        "dead-letter queue stays empty, and RecursiveInvocationsDropped has no data.",
    ),
    ByHand(
        "schedule-delays",
        "EventBridge Scheduler invokes within its minute, so a MaximumEventAgeInSeconds of 60 drops nothing",
        LONG,
        "Run a sensor each minute for an hour: AsyncEventsDropped and AsyncEventAge of its function in CloudWatch.",
    ),
    ByHand(
        "low-concurrency",
        "With 10 concurrent executions, ticks come late but nothing becomes a dead letter",
        "changes a setting of the whole account",
        "In an account of its own with a quota of 10, run 20 sensors each minute for an hour: the dead-letter queue stays "
        "empty.",
    ),
    ByHand(
        "loop-in-a-batch",
        "If Lambda ends a chain, the other messages of its batch are delivered again without harm",
        LONG,
        "Without RecursiveLoop: Allow and with a batch size of 10, send nine more messages with the 16th hop of a chain, "
        "and look at their receive counts.",
    ),
    ByHand(
        "other-accounts",
        "Events forwarded to another account or Region carry the account and region of their sender",
        "needs a second account",
        "Deploy a forwarding stack in a second account (docs/guide/join-stacks.md) and read an event's account and region.",
    ),
    ByHand(
        "bus-policy",
        "The bus policy admits other accounts' events of the source treadle only, in mixed batches too",
        "needs a second account",
        "From a joined account, send PutEvents with [treadle], [other] and [treadle, other] in one request each.",
    ),
    ByHand(
        "job-account",
        "EventBridge delivers to a queue in another account by a role there, whose path the queue's policy names",
        "needs a second account",
        "Follow docs/guide/jobs-in-another-account.md for a state machine and a Lambda function: the runs end within seconds, "
        "and the stack's dead-letter queue stays empty. Then empty JobAccounts: the next events are dead letters there.",
    ),
    ByHand(
        "console-sign-in",
        "The console accepts tokens of its issuer and audience only, and reads groups with blanks in their names",
        "needs an identity provider",
        "Deploy the console with Cognito; sign in with an access token and an ID token, and with another app client's.",
    ),
    ByHand(
        "old-tables",
        "A stack rebuilt over its retained tables goes on with all cursors",
        LONG,
        "Follow docs/guide/delete-recreate-move.md on a copy, with sensors over assets and runs.",
    ),
    ByHand(
        "single-stack",
        "A single stack is moved: disabled mappings keep their messages, the processed template is JSON, and schedules "
        "keep their targets",
        "needs a deployment of an earlier version",
        "Deploy tests/e2e/single_stack/single-stack.tar.xz and follow docs/guide/upgrade.md with treadle move.",
    ),
    ByHand(
        "cold-starts",
        "LAUNCH and DISPATCH make no more requests when warm, and one more per job when cold, for roles and the registry",
        "needs a deployed stack under load",
        "Deploy the engine with Monitoring=debug, start 100 runs of one job, and compare the first trace with the others.",
    ),
)
