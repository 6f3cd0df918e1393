"""The queue of `treadle dev`."""

from treadle.dev.queue import VISIBILITY_SECONDS, LocalQueue
from treadle.testing.system import VirtualClock


def bodies(queue: LocalQueue) -> list[str]:
    return [each.body for each in queue.receive()]


def test_messages_arrive_after_their_delay_ten_at_a_time() -> None:
    clock, woken = VirtualClock(), []
    queue = LocalQueue(clock, lambda: woken.append(1))
    queue.send([{"n": 1}, {"n": 2}], delay_seconds=[5, 0])

    assert (bodies(queue), woken) == (['{"n": 2}'], [1])
    clock.advance(5)
    assert bodies(queue) == ['{"n": 1}']
    queue.send([{"n": each} for each in range(11)])
    assert (len(bodies(queue)), len(bodies(queue))) == (10, 1)


def test_a_message_that_failed_is_delivered_again_when_its_function_said_or_later() -> None:
    clock = VirtualClock()
    queue = LocalQueue(clock, int)
    queue.send([{"n": 1}])
    [message] = queue.receive()
    queue.postpone(message.message_id, 7)
    queue.give_back(message)

    assert bodies(queue) == []
    clock.advance(7)
    [again] = queue.receive()
    assert again.record()["attributes"] == {"ApproximateReceiveCount": "2"}
    queue.give_back(again)
    clock.advance(VISIBILITY_SECONDS - 1)
    assert bodies(queue) == []
    clock.advance(1)
    assert len(queue.receive()) == 1


def test_what_failed_is_delivered_at_once_when_its_code_is_loaded_again_and_what_is_delayed_is_not() -> None:
    queue = LocalQueue(VirtualClock(), int)
    queue.send([{"n": 1}])
    queue.give_back(queue.receive()[0])
    queue.send([{"n": 2}], delay_seconds=9)

    queue.redeliver()

    assert bodies(queue) == ['{"n": 1}']
