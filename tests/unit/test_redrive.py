"""Dead letters go back to their destination, whatever their source; the result lists what was done with each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.template.model import samples
from treadle.definitions.errors import CommandRefusedError, StoreError
from treadle.engine.messages import PublishRequest
from treadle.model.messages import DeadLetter
from treadle.operate.redrive import RedriveAction, Redriver, RedriveResult
from treadle.operate.redrive_routes import Destination, subject_of
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue

PREFIX = "arn:aws:sqs:us-east-1:123456789012:treadle-"
ORIGINS = ("dispatch", "launch", "record", "sensor new_objects")
LAUNCH = {"treadle": "launch", "run_id": "r", "attempt": 2, "job": "j"}
CHUNK_SIZE = {"treadle": "dispatch", "sensor": "s", "tick_id": "t", "slice": 0, "of": 2}
TICK = {"treadle": "tick", "nominal_time": "2026-11-22T18:00:00Z"}
OBJECT = {"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": "a.csv"}}}
EXECUTION = {"source": "aws.states", "detail": {"name": "r-1", "status": "FAILED"}}
LAMBDAS = {"requestContext": {"functionArn": "f"}, "version": "1.0"}


@dataclass
class Stack:
    """Queues of a deployment."""

    dead_letters: InMemoryDeadLetters = field(default_factory=InMemoryDeadLetters)
    queues: dict[str, InMemoryQueue] = field(
        default_factory=lambda: {each: InMemoryQueue() for each in ORIGINS}
    )

    @property
    def redriver(self) -> Redriver:
        places = [
            Destination(each, PREFIX + each, queue, f"shop-{each.rpartition(' ')[2]}")
            for each, queue in self.queues.items()
        ]
        return Redriver(self.dead_letters, lambda: places)

    def add(self, body: object, source: str | None = None, **attributes: str) -> None:
        self.dead_letters.add(body if isinstance(body, str) else json.dumps(body), attributes, source)

    def sent(self) -> dict[str, list[Mapping[str, object]]]:
        """Return what was sent, by queue."""
        bodies = {each: [message.body for message in queue.messages] for each, queue in self.queues.items()}
        return {each: found for each, found in bodies.items() if found}

    def only(self) -> RedriveResult:
        """Return what became of the only dead letter."""
        [done] = self.redriver.redrive()
        return done


@pytest.fixture
def stack() -> Stack:
    return Stack()


@pytest.mark.parametrize(
    ("origin", "body"),
    [("dispatch", CHUNK_SIZE), ("launch", LAUNCH), ("record", EXECUTION), ("sensor new_objects", OBJECT)],
)
def test_what_a_step_dead_lettered_goes_back_to_its_queue(
    stack: Stack, origin: str, body: dict[str, object]
) -> None:
    stack.dead_letters.send(json.dumps(body), origin=origin, reason="ValueError: no")

    done = stack.only()

    assert (done.action, done.origin) == (RedriveAction.SENT, origin)
    assert stack.sent() == {origin: [body]}
    assert stack.dead_letters.messages == {}


def test_a_tick_that_the_stream_gave_up_is_dispatched_whole(stack: Stack) -> None:
    stack.add({"treadle": "dispatch", "keys": {"sensor": "s", "tick_id": "t"}}, origin="dispatch", reason="x")

    assert stack.only().action is RedriveAction.SENT
    assert stack.sent() == {"dispatch": [{"treadle": "dispatch", "sensor": "s", "tick_id": "t"}]}


def test_of_a_run_that_the_stream_gave_up_all_is_reported_again(stack: Stack) -> None:
    dead_letter = {"treadle": "publish", "keys": {"run_id": {"S": "r"}}}
    stack.queues["publish"] = InMemoryQueue()
    stack.add(dead_letter, origin="publish", reason="x")

    assert stack.only().action is RedriveAction.SENT
    [sent] = stack.sent()["publish"]
    assert PublishRequest.from_json(sent) == PublishRequest("r")


ENTRY = samples()["reconcile-registry"]
"""That an entry of the registry has changed."""


def test_where_lost_news_of_runs_was_in_their_stream_is_kept(stack: Stack) -> None:
    """Nothing else finds them: of a tick's, RECONCILE does."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:treadle-PublishFunction-1A2B"
    stack.add({"requestContext": {"functionArn": arn}, "DDBStreamBatchInfo": {"shardId": "s"}})

    done = stack.only()

    assert (done.action, len(stack.dead_letters.messages)) == (RedriveAction.LEFT, 1)
    assert "treadle sensor replay" in done.reason


@pytest.mark.parametrize("origin", ORIGINS)
def test_what_sqs_moved_goes_back_to_the_queue_it_came_from(stack: Stack, origin: str) -> None:
    stack.add(LAUNCH, source=PREFIX + origin)

    assert (stack.only().origin, stack.sent()) == (origin, {origin: [LAUNCH]})


def test_an_event_that_a_rule_could_not_deliver_goes_to_its_target(stack: Stack) -> None:
    stack.add(OBJECT, RULE_ARN="rule", TARGET_ARN=PREFIX + "sensor new_objects", ERROR_CODE="NO_PERMISSIONS")

    assert (stack.only().origin, stack.sent()) == ("sensor new_objects", {"sensor new_objects": [OBJECT]})


def test_input_and_output_of_an_execution_stay_out_of_queues(stack: Stack) -> None:
    """The rule's transformer leaves them out; what it could not deliver is the event as it was."""
    secret = {"input": "s", "inputDetails": {}, "output": "s", "outputDetails": {}}
    event = {**EXECUTION, "detail": {"name": "r-1", "status": "FAILED", **secret}}
    stack.add(event, RULE_ARN="rule", TARGET_ARN=PREFIX + "record")

    assert stack.only().action is RedriveAction.SENT
    assert stack.sent() == {"record": [EXECUTION]}


@pytest.mark.parametrize(
    "event", [{**EXECUTION, "detail": {"name": "r-1", "input": "s"}}, ENTRY], ids=["states", "ssm"]
)
def test_an_event_of_a_sensor_that_watches_any_goes_to_it_as_it_was(
    stack: Stack, event: dict[str, object]
) -> None:
    """Whatever the engine does with such events."""
    stack.add(event, RULE_ARN="rule", TARGET_ARN=PREFIX + "sensor new_objects")

    assert (stack.only().origin, stack.sent()) == ("sensor new_objects", {"sensor new_objects": [event]})


@pytest.mark.parametrize(
    ("body", "attributes", "origin"),
    [
        (TICK, {"SCHEDULE_ARN": "s", "ERROR_CODE": "e"}, "schedule"),
        ({"treadle": "reconcile"}, {"SCHEDULE_ARN": "s"}, "schedule"),
        ({**LAMBDAS, "requestPayload": TICK}, {}, "schedule"),
        ({**LAMBDAS, "requestPayload": {"treadle": "reconcile"}}, {}, "schedule"),
        ({**LAMBDAS, "DDBStreamBatchInfo": {"shardId": "s"}}, {}, "stream"),
        (ENTRY, {"RULE_ARN": "rule", "TARGET_ARN": "arn:of:reconcile"}, "reconcile"),
        ({**LAMBDAS, "requestPayload": ENTRY}, {}, "reconcile"),
    ],
    ids=[
        "schedule",
        "schedule of RECONCILE",
        "invocation",
        "invocation of RECONCILE",
        "stream",
        "rule of the registry",
        "invocation of the registry's rule",
    ],
)
def test_what_comes_by_itself_is_dropped(
    stack: Stack, body: dict[str, object], attributes: dict[str, str], origin: str
) -> None:
    stack.add(body, **attributes)

    done = stack.only()

    assert (done.action, done.origin, stack.sent(), stack.dead_letters.messages) == (
        RedriveAction.DROPPED,
        origin,
        {},
        {},
    )


FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:shop-new_objects"
DEADLINE = {"treadle": "deadline", "nominal_time": "2026-11-22T06:00:00Z"}


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        (DEADLINE, {"SCHEDULE_ARN": "s", "TARGET_ARN": FUNCTION, "ERROR_CODE": "e"}),
        ({"requestContext": {"functionArn": f"{FUNCTION}:$LATEST"}, "requestPayload": DEADLINE}, {}),
    ],
    ids=["schedule", "invocation"],
)
def test_a_missed_deadline_goes_to_its_sensor_s_queue(
    stack: Stack, body: dict[str, object], attributes: dict[str, str]
) -> None:
    """No other comes in its place, however late it is."""
    stack.add(body, **attributes)

    assert (stack.only().action, stack.sent()) == (RedriveAction.SENT, {"sensor new_objects": [DEADLINE]})


BY_LAMBDA = {"RequestID": "0b1c", "ErrorCode": "200", "ErrorMessage": "SQS did not answer"}
"""As Lambda writes them beside an event that a function has failed three times."""


def test_a_deadline_that_its_function_failed_three_times_goes_to_its_sensor_s_queue(stack: Stack) -> None:
    deadline = {**DEADLINE, "sensor": "new_objects"}
    stack.add(deadline, **BY_LAMBDA)

    assert (stack.only().action, stack.sent()) == (RedriveAction.SENT, {"sensor new_objects": [deadline]})


@pytest.mark.parametrize(
    ("deadline", "why"),
    [
        (
            DEADLINE,
            'It names no sensor. Invoke its sensor\'s function with it, and add "sensor" to the Input of',
        ),
        ({**DEADLINE, "sensor": "gone"}, "No sensor gone with a queue is registered. Deploy its project."),
        ({**DEADLINE, "sensor": ["new_objects"]}, "No sensor ['new_objects'] with a queue is registered."),
    ],
    ids=["none", "unknown", "malformed"],
)
def test_a_deadline_whose_sensor_is_not_known_is_left_with_the_reason(
    stack: Stack, deadline: dict[str, object], why: str
) -> None:
    stack.add(deadline, **BY_LAMBDA)

    done = stack.only()

    assert (done.action, done.origin) == (RedriveAction.LEFT, "schedule")
    assert done.reason.startswith("Lambda gave it up after three attempts: SQS did not answer. ")
    assert why in done.reason


@pytest.mark.parametrize("arn", [FUNCTION + "_of_another_stack", "arn:aws:sqs:eu-central-1:1:q", ""])
def test_a_deadline_for_no_sensor_of_the_stack_is_left(stack: Stack, arn: str) -> None:
    stack.add(DEADLINE, SCHEDULE_ARN="s", TARGET_ARN=arn)

    done = stack.only()

    assert (done.action, done.reason) == (
        RedriveAction.LEFT,
        f"{arn} is not a function of this stack that receives deadlines.",
    )


@pytest.mark.parametrize(
    ("body", "source", "attributes"),
    [
        (LAUNCH, None, {}),
        (TICK, None, {}),
        ("no JSON", None, {"origin": "launch"}),
        ("[1]", None, {"origin": "launch"}),
        (LAUNCH, None, {"origin": "sensor gone"}),
        ({"treadle": "dispatch", "keys": {"sensor": "s"}}, None, {"origin": "dispatch"}),
        ({"treadle": "dispatch", "keys": None}, None, {"origin": "dispatch"}),
        ({"treadle": "publish", "keys": {"run_id": "r"}}, None, {"origin": "publish"}),
        (OBJECT, None, {"RULE_ARN": "rule", "TARGET_ARN": "arn:aws:sqs:us-east-1:999:foreign"}),
        (LAUNCH, "arn:aws:sqs:us-east-1:999:foreign", {}),
        ({**LAMBDAS, "requestPayload": OBJECT}, None, {}),
    ],
    ids=str,
)
def test_what_nobody_knows_is_left_and_may_be_received_again(
    stack: Stack, body: object, source: str | None, attributes: dict[str, str]
) -> None:
    stack.add(body, source, **attributes)

    assert stack.only().action is RedriveAction.LEFT
    assert stack.sent() == {}
    assert (len(stack.dead_letters.messages), stack.dead_letters.held) == (1, set())


def test_a_dry_run_reports_all_and_does_nothing(stack: Stack) -> None:
    stack.add(LAUNCH, origin="launch", reason="x")
    stack.add({**LAMBDAS, "requestPayload": TICK})
    stack.add("no JSON")

    actions = [done.action for done in stack.redriver.redrive(dry_run=True)]

    assert actions == [RedriveAction.SENT, RedriveAction.DROPPED, RedriveAction.LEFT]
    assert (stack.sent(), len(stack.dead_letters.messages), stack.dead_letters.held) == ({}, 3, set())


def test_only_dead_letters_of_the_origin_requested_are_touched(stack: Stack) -> None:
    stack.add(LAUNCH, origin="launch", reason="x")
    stack.add(EXECUTION, origin="record", reason="x")
    stack.add(LAUNCH, source=PREFIX + "launch")

    done = list(stack.redriver.redrive(origin="launch"))

    assert stack.sent() == {"launch": [LAUNCH, LAUNCH]}
    assert ([each.origin for each in done], len(stack.dead_letters.messages)) == (["launch", "launch"], 1)
    assert stack.dead_letters.held == set()


def test_no_more_dead_letters_than_requested_are_sent_and_the_others_are_given_back(stack: Stack) -> None:
    for number in range(25):
        stack.add({**LAUNCH, "attempt": number + 1}, origin="launch", reason="x")

    assert len(list(stack.redriver.redrive(limit=12))) == 12

    assert (len(stack.sent()["launch"]), len(stack.dead_letters.messages)) == (12, 13)
    assert stack.dead_letters.held == set()


class BuriesAtOnce(InMemoryQueue):
    """Of a step that gives up whatever comes."""

    dead_letters: InMemoryDeadLetters

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        super().send(bodies)
        for body in bodies:
            self.dead_letters.send(json.dumps(body), origin="launch", reason="again")


def test_what_is_given_up_again_meanwhile_is_not_met_again(stack: Stack) -> None:
    queue = BuriesAtOnce()
    queue.dead_letters = stack.dead_letters
    stack.queues["launch"] = queue
    stack.add(LAUNCH, origin="launch", reason="x")

    assert stack.only().action is RedriveAction.SENT
    assert (len(queue.messages), len(stack.dead_letters.messages)) == (1, 1)


class Denied(InMemoryQueue):
    """Takes nothing."""

    def send(self, bodies: object, *, delay_seconds: object = 0) -> None:
        raise StoreError("access denied")


def test_a_dead_letter_that_could_not_be_sent_stays_and_those_behind_it_continue(stack: Stack) -> None:
    stack.queues["launch"] = Denied()
    stack.add(LAUNCH, origin="launch", reason="x")
    stack.add(EXECUTION, origin="record", reason="x")

    done = list(stack.redriver.redrive())

    assert [(each.action, "access denied" in each.reason) for each in done] == [
        (RedriveAction.FAILED, True),
        (RedriveAction.SENT, False),
    ]
    assert [dead_letter.body for dead_letter in stack.dead_letters.messages.values()] == [json.dumps(LAUNCH)]
    assert stack.dead_letters.held == set()


class Undying(InMemoryDeadLetters):
    """Deletes nothing."""

    def delete(self, dead_letter: DeadLetter) -> None:
        raise StoreError("no answer")


def test_a_dead_letter_is_deleted_only_after_it_was_sent(stack: Stack) -> None:
    """A crash in between sends it twice, which every step tolerates."""
    stack.dead_letters = Undying()
    stack.add(LAUNCH, origin="launch", reason="x")

    assert [stack.only().action, stack.only().action] == [RedriveAction.FAILED, RedriveAction.FAILED]

    assert stack.sent() == {"launch": [LAUNCH, LAUNCH]}


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        (LAUNCH, "r 2"),
        (CHUNK_SIZE, "s t 0"),
        ({"treadle": "dispatch", "keys": {"sensor": "s", "tick_id": "t"}}, "s t"),
        (OBJECT, "a.csv"),
        (EXECUTION, "r-1"),
        ({"detail": {"asset_key": "tables/orders"}}, "tables/orders"),
        ({"detail": {"asset_key": ["tables", 3]}}, "tables/3"),
        (TICK, "2026-11-22T18:00:00Z"),
        ([], ""),
    ],
)
def test_a_dead_letter_is_named_by_what_it_is_about(body: object, subject: str) -> None:
    assert subject_of(DeadLetter("id", "handle", json.dumps(body), {})) == subject


# ---- Several projects


@pytest.fixture
def boxes(stack: Stack) -> dict[str, InMemoryDeadLetters]:
    """The queues of two projects beside the engine's, with a dead letter in each of the three."""
    made = {"billing": InMemoryDeadLetters(), "shop": InMemoryDeadLetters()}
    for box in (stack.dead_letters, *made.values()):
        box.add(json.dumps(LAUNCH), {"origin": "launch", "reason": "no"}, None)
    return made


def of_projects(stack: Stack, boxes: Mapping[str, InMemoryDeadLetters]) -> Redriver:
    return Redriver(
        stack.dead_letters,
        lambda: [Destination("launch", "arn", stack.queues["launch"])],
        lambda: dict(boxes),
    )


def test_dead_letters_of_the_engine_and_of_every_project_are_sent_again(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters]
) -> None:
    redriver = of_projects(stack, boxes)
    assert redriver.count() == 3

    done = list(redriver.redrive())

    assert [each.dead_letter.project for each in done] == ["", "billing", "shop"]
    assert {each.action for each in done} == {RedriveAction.SENT}
    assert len(stack.sent()["launch"]) == 3
    assert redriver.count() == 0


@pytest.mark.parametrize("project", ["", "shop"])
def test_dead_letters_of_one_project_leave_those_of_others_alone(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters], project: str
) -> None:
    redriver = of_projects(stack, boxes)

    [done] = redriver.redrive(project=project)

    assert done.dead_letter.project == project
    assert redriver.count() == 2
    assert [len(box.receive()) for name, box in boxes.items() if name != project] == [1] * (2 - bool(project))


def test_checking_gives_each_dead_letter_back_to_its_own_queue(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters]
) -> None:
    redriver = of_projects(stack, boxes)

    assert len(list(redriver.redrive(dry_run=True))) == 3
    assert [len(box.receive()) for box in (stack.dead_letters, *boxes.values())] == [1, 1, 1]


def test_project_without_a_queue_is_refused_with_those_that_have_one(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters]
) -> None:
    with pytest.raises(
        CommandRefusedError, match="'shpo' has no dead-letter queue; these have: billing, shop"
    ):
        list(of_projects(stack, boxes).redrive(project="shpo"))


def test_most_dead_letters_are_counted_over_all_queues(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters]
) -> None:
    assert len(list(of_projects(stack, boxes).redrive(limit=2))) == 2
    assert len(list(of_projects(stack, boxes).redrive(limit=2))) == 1


def test_project_whose_queue_does_not_answer_stops_a_redrive_before_anything_is_done(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters]
) -> None:
    class Silent(InMemoryDeadLetters):
        def receive(self) -> list[DeadLetter]:
            raise StoreError("denied")

        def count(self) -> int:
            raise StoreError("denied")

    redriver = of_projects(stack, {**boxes, "shop": Silent()})

    with pytest.raises(StoreError):
        list(redriver.redrive())
    assert redriver.count() is None
    assert stack.sent() == {}
    assert len(list(redriver.redrive(project="billing"))) == 1


def test_dead_letters_are_deleted_by_their_ids_and_no_others(
    stack: Stack, boxes: dict[str, InMemoryDeadLetters]
) -> None:
    redriver = of_projects(stack, boxes)
    stack.add("{}", origin="launch", reason="y")
    ids = [each.dead_letter.message_id for each in redriver.redrive(project="", dry_run=True)]
    [of_shop] = redriver.redrive(project="shop", dry_run=True)

    [done] = redriver.delete({ids[1], "unknown"})

    assert (done.action, done.dead_letter.message_id) == (RedriveAction.DELETED, ids[1])
    assert list(stack.dead_letters.messages) == ids[:1]
    assert stack.sent() == {}
    assert stack.dead_letters.held == boxes["shop"].held == set()
    assert len(boxes["shop"].messages) == 1
    assert of_shop.dead_letter.project == "shop"


class Kept(InMemoryDeadLetters):
    """Deletes nothing."""

    def delete(self, dead_letter: DeadLetter) -> None:
        raise StoreError("access denied")


def test_a_dead_letter_that_could_not_be_deleted_stays_visible() -> None:
    stack = Stack(Kept())
    stack.add("{}", origin="launch", reason="x")

    [done] = stack.redriver.delete(list(stack.dead_letters.messages))

    assert (done.action, done.reason) == (
        RedriveAction.FAILED,
        "It stays in the queue: access denied",
    )
    assert (len(stack.dead_letters.messages), stack.dead_letters.held) == (1, set())
