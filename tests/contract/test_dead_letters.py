"""What every `DeadLetters` and the `DeadLetterQueue` on it guarantee: a dead letter is read as written, and by one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from treadle.adapters import clients
from treadle.adapters.queues import SqsDeadLetterQueue, SqsDeadLetters
from treadle.definitions.errors import StoreError
from treadle.model.messages import DeadLetter
from treadle.ports.system import DeadLetterQueue, DeadLetters
from treadle.testing.system import InMemoryDeadLetters


@dataclass(frozen=True)
class Post:
    """Both ends of a dead-letter queue."""

    dead_letters: DeadLetters
    box: DeadLetterQueue

    def all(self) -> list[DeadLetter]:
        """Return every dead letter that can be received, once."""
        found: list[DeadLetter] = []
        while batch := self.box.receive():
            found += batch
        return found


@pytest.fixture(params=["memory", "moto"])
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    if request.param == "memory":
        twin = InMemoryDeadLetters()
        yield Post(twin, twin)
    else:
        with mock_aws():
            clients.forget()
            url = boto3.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
            yield Post(SqsDeadLetters(url), SqsDeadLetterQueue(url))
            clients.forget()


def test_a_dead_letter_is_read_as_it_was_written(post: Post) -> None:
    post.dead_letters.send('{"a":"ä"}', origin="sensor watch", reason="ValueError: no such table")

    [dead_letter] = post.all()

    assert dead_letter.body == '{"a":"ä"}'
    assert dead_letter.attributes == {"origin": "sensor watch", "reason": "ValueError: no such table"}
    assert dead_letter.source is None


def test_more_dead_letters_than_one_answer_holds_are_all_received_once(post: Post) -> None:
    for number in range(23):
        post.dead_letters.send(str(number), origin="launch", reason="x")

    dead_letters = post.all()

    assert sorted(int(dead_letter.body) for dead_letter in dead_letters) == list(range(23))
    assert len({dead_letter.message_id for dead_letter in dead_letters}) == 23
    assert post.all() == []


def test_a_dead_letter_that_is_given_back_can_be_received_again(post: Post) -> None:
    post.dead_letters.send("{}", origin="launch", reason="x")
    [first] = post.all()

    post.box.give_back(first)

    [again] = post.all()
    assert (again.message_id, again.body) == (first.message_id, first.body)


def test_a_deleted_dead_letter_is_gone_and_cannot_be_given_back(post: Post) -> None:
    post.dead_letters.send("{}", origin="launch", reason="x")
    [dead_letter] = post.all()

    post.box.delete(dead_letter)
    post.box.give_back(dead_letter)

    assert post.all() == []


def test_an_empty_queue_gives_no_dead_letters(post: Post) -> None:
    assert post.all() == []


def test_the_queue_that_sqs_took_a_message_from_is_known() -> None:
    """As AWS answers; moto leaves the attribute out."""
    source = "arn:aws:sqs:us-east-1:123456789012:launch"
    answer = {
        "Messages": [
            {
                "MessageId": "m",
                "ReceiptHandle": "h",
                "Body": "{}",
                "Attributes": {"DeadLetterQueueSourceArn": source, "SentTimestamp": "1"},
                "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": b"x"}},
            }
        ]
    }
    clients.forget()
    with Stubber(clients.client("sqs")) as sqs:
        sqs.add_response("receive_message", answer)
        dead_letters = SqsDeadLetterQueue("https://sqs.us-east-1.amazonaws.com/123456789012/dead").receive()
    clients.forget()

    assert dead_letters == [DeadLetter("m", "h", "{}", {}, source)]


@pytest.mark.parametrize("call", ["receive", "delete", "give_back"])
def test_a_missing_queue_is_an_error_that_names_it(call: str) -> None:
    dead_letter = DeadLetter("m", "h", "{}", {})
    with mock_aws():
        clients.forget()
        box = SqsDeadLetterQueue("https://sqs.us-east-1.amazonaws.com/123456789012/none")
        with pytest.raises(StoreError, match="123456789012/none"):
            getattr(box, call)(*([] if call == "receive" else [dead_letter]))
        clients.forget()


def test_reason_and_body_are_written_so_that_sqs_takes_them() -> None:
    """SQS refuses a message with a control character or half a surrogate in it, which a key may hold."""
    clients.forget()
    with Stubber(clients.client("sqs")) as sqs:
        expected = {
            "QueueUrl": "https://dead",
            "MessageBody": "b\\u0000\n",
            "MessageAttributes": {
                "origin": {"DataType": "String", "StringValue": "launch"},
                "reason": {"DataType": "String", "StringValue": "KeyError: \\u0001\\ud800\\uffff😀"},
            },
        }
        sqs.add_response("send_message", {}, expected)
        SqsDeadLetters("https://dead").send("b\0\n", origin="launch", reason="KeyError: \x01\ud800\uffff😀")
    clients.forget()


def test_a_body_is_cut_at_what_a_message_holds_in_bytes() -> None:
    with mock_aws():
        clients.forget()
        url = boto3.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
        SqsDeadLetters(url).send("€" * 400_000, origin="launch", reason="")
        [dead_letter] = SqsDeadLetterQueue(url).receive()
        clients.forget()

    assert dead_letter.body == "€" * 300_000
    assert dead_letter.attributes["reason"] == "unknown"


def test_dead_letters_are_counted_whether_or_not_anybody_was_given_them(post: Post) -> None:
    assert post.box.count() == 0
    for number in range(3):
        post.dead_letters.send(str(number), origin="launch", reason="x")
    assert post.box.count() == 3

    [first, *_] = post.all()
    assert post.box.count() == 3

    post.box.delete(first)
    assert post.box.count() == 2
