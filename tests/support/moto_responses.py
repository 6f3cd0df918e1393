"""Responses of moto without needless work and waits.

For each member of each value, moto makes six objects that look for the names under which the value may have it, and for
each request it looks for the names of all methods of the service. That was a fifth of the time of tests on moto.
"""

import functools
from typing import Any

import pytest
from moto.core import responses, serialize
from moto.core.serialize import AttributePickerContext, ResponseSerializer, XFormedAttributePicker
from moto.sqs.models import SQSBackend


@functools.cache
def find_names_once() -> None:
    """Let moto in this process find once which names a dictionary may have for a member, and a service's methods."""
    find: Any = ResponseSerializer.get_value

    @functools.cache
    def names(shape: Any, key: str) -> tuple[str, ...]:
        context = AttributePickerContext({}, key, shape)
        return tuple(XFormedAttributePicker().get_possible_keys(context))

    @functools.wraps(find)
    def get_value(self: Any, value: Any, key: str, shape: Any) -> Any:
        picker = self._value_picker
        if (
            type(value) is not dict
            or type(picker) is not XFormedAttributePicker
            or picker.response_transformers
        ):
            return find(self, value, key, shape)
        return next((value[name] for name in names(shape, key) if name in value), None)

    assert XFormedAttributePicker().alias_providers is serialize.DEFAULT_ALIAS_PROVIDERS
    ResponseSerializer.get_value = get_value  # type: ignore[method-assign]
    responses.method_names_from_class = functools.cache(responses.method_names_from_class)  # type: ignore[attr-defined]


def receive_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let empty queues respond at once, as long as nobody else sends: moto waits for a second or two, as requested."""
    receive = SQSBackend.receive_message

    def receive_message(self: SQSBackend, queue: str, count: int, wait: int, *more: Any) -> list[Any]:
        return receive(self, queue, count, 0, *more)

    monkeypatch.setattr(SQSBackend, "receive_message", receive_message)
