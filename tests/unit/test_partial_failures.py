"""Batches that AWS takes in part: one entry that is never taken keeps none of the others back."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.stub import ANY

from tests.support.starts import stubbed
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.queues import SqsQueue
from treadle.definitions.errors import StoreError, StoreRejectedError, StoreThrottledError
from treadle.model.messages import BusEvent

URL = "https://sqs.us-east-1.amazonaws.com/123456789012/launch"


def taken(*failed: Mapping[str, Any], of: int = 10) -> dict[str, Any]:
    ids = {each["Id"] for each in failed}
    done = [
        {"Id": str(number), "MessageId": "m", "MD5OfMessageBody": "x"}
        for number in range(of)
        if str(number) not in ids
    ]
    return {"Successful": done, "Failed": list(failed)}


def failure(number: int, code: str, *, ours: bool) -> dict[str, Any]:
    return {"Id": str(number), "Code": code, "SenderFault": ours, "Message": f"{code} of {number}"}


def test_messages_behind_a_rejected_one_are_sent() -> None:
    with stubbed("sqs") as stub:
        rejected = failure(3, "InvalidMessageContents", ours=True)
        stub.add_response("send_message_batch", taken(rejected))
        stub.add_response("send_message_batch", taken(of=5))
        with pytest.raises(StoreRejectedError, match="SQS refused 1 of 15 messages"):
            SqsQueue(URL).send([{"number": number} for number in range(15)])
        stub.assert_no_pending_responses()


def test_messages_that_may_be_taken_later_make_the_whole_come_again() -> None:
    """Even where another one of them never will be."""
    for code, kind in (("InternalError", StoreError), ("RequestThrottled", StoreThrottledError)):
        with stubbed("sqs") as stub:
            answer = taken(failure(1, "InvalidMessageContents", ours=True), failure(2, code, ours=False))
            stub.add_response("send_message_batch", answer)
            with pytest.raises(kind) as caught:
                SqsQueue(URL).send([{"number": number} for number in range(10)])
            assert caught.value.retryable


def test_messages_travel_in_requests_that_sqs_takes() -> None:
    with stubbed("sqs") as stub:
        for of in (2, 2, 1):
            stub.add_response("send_message_batch", taken(of=of))
        SqsQueue(URL).send([{"text": "x" * 400_000} for _ in range(5)])
        stub.assert_no_pending_responses()


EVENTS = [BusEvent("Reported", {"number": number}) for number in range(4)]
TAKEN = {"EventId": "1"}


def answered(*entries: Mapping[str, str]) -> dict[str, Any]:
    return {"Entries": list(entries), "FailedEntryCount": 0}


def test_a_request_refused_for_one_event_is_put_event_by_event() -> None:
    with stubbed("events") as stub:
        for refused in (True, False, True, False, False):
            if refused:
                stub.add_client_error(
                    "put_events", "ValidationException", "Total size of the entries is over the limit"
                )
            else:
                stub.add_response("put_events", answered(TAKEN), {"Entries": ANY})
        with pytest.raises(
            StoreRejectedError, match=r"rejected 1 of 4 events, which cannot be retried: .*over the limit"
        ):
            EventBridgeBus("b").publish(EVENTS)
        stub.assert_no_pending_responses()


def test_an_event_that_is_never_taken_is_not_put_again_and_a_failed_one_is() -> None:
    malformed = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    passing = {"ErrorCode": "InternalFailure", "ErrorMessage": "Try again."}
    with stubbed("events") as stub:
        stub.add_response("put_events", answered(TAKEN, malformed, passing, TAKEN))
        stub.add_response("put_events", answered(TAKEN))
        with pytest.raises(StoreRejectedError, match="Detail is malformed"):
            EventBridgeBus("b").publish(EVENTS)
        stub.assert_no_pending_responses()


def test_what_the_bus_denies_as_a_whole_is_no_fault_of_an_event() -> None:
    with stubbed("events") as stub:
        stub.add_client_error("put_events", "AccessDeniedException", "no")
        with pytest.raises(StoreError) as caught:
            EventBridgeBus("b").publish(EVENTS)
    assert caught.value.retryable
