"""Dataclasses whose methods are made at their first use, compared with the standard library's."""

import copy
import dataclasses
import inspect
import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import KW_ONLY, FrozenInstanceError, asdict, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import pytest

from tools.project import ROOT
from treadle.definitions import lazy_dataclasses

pytestmark = pytest.mark.quick

OPTIONS: tuple[dict[str, bool], ...] = (
    {},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"slots": True, "kw_only": True},
    {"frozen": True, "slots": True, "order": True},
)
STANDARD: Callable[..., Any] = dataclasses.dataclass
LAZY: Callable[..., Any] = lazy_dataclasses.dataclass


def orders(dataclass: Callable[..., Any], options: dict[str, bool]) -> Any:
    @dataclass(**options)
    class Order:
        """An order."""

        number: int
        items: "list[str]" = field(default_factory=list)
        total: float = 0.5
        note: str = field(default="none", repr=False)
        seen: int = field(default=0, compare=False)
        batch: int = field(default=0, hash=False)
        lines: "dict[str, int]" = field(default_factory=dict, init=False, compare=False)
        state: str = field(default="new", init=False)
        set: int = 8
        _: KW_ONLY
        currency: str = "CHF"
        kind: ClassVar[str] = "order"

        def __post_init__(self) -> None:
            if self.number < 0:
                raise ValueError(self.number)

    return Order


@pytest.fixture(params=OPTIONS, ids=str)
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The same class by the module, and by the standard library."""
    return orders(LAZY, request.param), orders(STANDARD, request.param)


def example(cls: Any, **values: object) -> Any:
    return cls(**{"number": 1, "items": ("a", "b"), "total": 2.5, "note": "n", **values})


def test_fields_and_parameters_are_those_of_the_standard_library(both: tuple[Any, Any]) -> None:
    def described(cls: Any) -> list[Any]:
        parameters = inspect.signature(cls).parameters.values()
        required = [(each.name, each.kind, each.default is inspect.Parameter.empty) for each in parameters]
        annotated = cls.__init__.__annotations__, cls.__init__.__qualname__, cls.__match_args__, cls.__doc__
        return [required, [(each.name, each.type, each.kw_only) for each in fields(cls)], annotated]

    lazy, standard = both

    assert described(lazy) == described(standard)


def test_instances_have_the_same_values_and_text(both: tuple[Any, Any]) -> None:
    lazy, standard = both

    for values in ({}, {"items": [], "currency": "EUR"}, {"seen": 4}):
        assert repr(example(lazy, **values)) == repr(example(standard, **values))
        assert asdict(example(lazy, **values)) == asdict(example(standard, **values))
    assert example(lazy).lines is not example(lazy).lines
    assert lazy(number=1).items == []
    with pytest.raises(ValueError, match="-1"):
        lazy(number=-1)
    with pytest.raises(TypeError, match="number"):
        lazy()


def test_instances_are_equal_as_in_the_standard_library(both: tuple[Any, Any]) -> None:
    def compared(cls: Any) -> list[bool]:
        others: tuple[dict[str, object], ...] = (
            {},
            {"seen": 3},
            {"number": 2},
            {"batch": 3},
            {"currency": "EUR"},
        )
        one = example(cls)
        return [*(one == example(cls, **values) for values in others), one == asdict(one)]

    lazy, standard = both

    assert compared(lazy) == compared(standard)
    assert example(lazy) != example(standard)


def test_instances_are_ordered_as_in_the_standard_library(both: tuple[Any, Any]) -> None:
    def compared(cls: Any) -> list[object]:
        found: list[object] = []
        for other in (example(cls), example(cls, number=2), example(cls, number=0), 5):
            for compare in (operator.lt, operator.le, operator.gt, operator.ge):
                try:
                    found.append(compare(example(cls), other))
                except TypeError:
                    found.append("refused")
        return found

    lazy, standard = both

    assert compared(lazy) == compared(standard)


def test_instances_have_a_hash_if_they_are_frozen(both: tuple[Any, Any]) -> None:
    lazy, standard = both

    assert (lazy.__hash__ is None) == (standard.__hash__ is None)
    if lazy.__hash__ is not None:
        assert hash(example(lazy)) == hash(example(lazy, seen=3, batch=3))
        assert hash(example(lazy)) == hash(example(standard))


def test_attributes_can_be_set_as_in_the_standard_library(both: tuple[Any, Any]) -> None:
    def attempts(cls: Any) -> list[str]:
        found = []
        acts: tuple[Callable[[Any], None], ...] = (
            lambda each: setattr(each, "number", 5),
            lambda each: setattr(each, "other", 5),
            lambda each: delattr(each, "number"),
        )
        for act in acts:
            each = example(cls)
            try:
                act(each)
            except (AttributeError, TypeError) as error:
                # With slots, some versions of Python raise TypeError for what is no field, which is a defect.
                found.append("refused" if isinstance(error, FrozenInstanceError | TypeError) else "unknown")
            else:
                found.append(repr(getattr(each, "other", None)))
        return found

    lazy, standard = both

    assert attempts(lazy) == attempts(standard)


def test_a_class_is_frozen_if_and_only_if_those_that_it_extends_are() -> None:
    for decorators in ((LAZY, LAZY), (LAZY, STANDARD), (STANDARD, LAZY)):
        for is_frozen in (True, False):
            base = orders(decorators[0], {"frozen": is_frozen, "slots": True})

            @decorators[1](frozen=is_frozen, slots=True)
            class Extended(base):  # type: ignore[misc,valid-type]
                """With a field more."""

                number: int = 7
                further: int = field(default=0, kw_only=True)

            made = Extended(further=3)
            assert (made.number, made.further, made.state) == (7, 3, "new")
            assert made != base(number=7)
            if is_frozen:
                with pytest.raises(FrozenInstanceError):
                    made.further = 4
                with pytest.raises(TypeError, match="non-frozen"):
                    decorators[1](frozen=False)(type("Thawed", (base,), {}))


def test_a_frozen_class_can_be_extended_by_one_that_is_no_dataclass() -> None:
    class Plain(orders(LAZY, {"frozen": True})):  # type: ignore[misc]
        @cached_property
        def doubled(self) -> int:
            return int(self.number) * 2

    made = Plain(number=2)
    made.other = 3

    assert (made.doubled, made.other) == (4, 3)
    with pytest.raises(FrozenInstanceError):
        made.number = 3
    with pytest.raises(FrozenInstanceError):
        del made.number


def test_methods_that_a_class_defines_are_kept() -> None:
    @lazy_dataclasses.dataclass(frozen=True, slots=True)
    class Named:
        """It has its own methods."""

        name: str

        def __init__(self) -> None:
            object.__setattr__(self, "name", "own")

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named)

        def __hash__(self) -> int:
            return 5

    assert (Named().name, repr(Named()), Named() == Named(), hash(Named())) == ("own", "mine", True, 5)


@lazy_dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """Can be found by its name."""

    number: int
    parts: "tuple[Kept, ...]" = ()


def test_instances_can_be_copied_pickled_replaced_and_matched() -> None:
    kept = Kept(1, (Kept(2),))

    assert pickle.loads(pickle.dumps(kept)) == kept
    assert copy.copy(kept) == copy.deepcopy(kept) == kept
    assert replace(kept, number=3) == Kept(3, (Kept(2),))
    match kept:
        case Kept(number, (Kept(other),)):
            assert (number, other) == (1, 2)
        case _:
            pytest.fail("not matched")


LIBRARY = ROOT / "layers" / "treadle"
ENTRYPOINTS = ("evaluator", "dispatcher", "launcher", "publisher", "recorder", "reconciler")
COMPILED = """
import dataclasses, sys
found, make = [], dataclasses.dataclass
def noted(cls=None, /, **options):
    def decorate(plain):
        if options.get("init", True):
            found.append(f"{plain.__module__}.{plain.__qualname__}")
        return make(plain, **options)
    return decorate if cls is None else decorate(cls)
dataclasses.dataclass = noted
import treadle.entrypoints.NAME
print(*(each for each in found if each.startswith("treadle.")))
"""


def printed(code: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("name", ENTRYPOINTS)
def test_no_function_lets_the_standard_library_compile_methods_at_its_start(name: str) -> None:
    code = COMPILED.replace("NAME", name)

    assert printed(code) == [], "use dataclass of treadle.definitions.lazy_dataclasses"


def test_no_function_loads_powertools_batches_and_with_them_asyncio() -> None:
    names = ", ".join(f"treadle.entrypoints.{name}" for name in ENTRYPOINTS)
    code = f"import sys, {names}\nfrom treadle.entrypoints.handler import process_queue\n"
    code += "process_queue({'Records': []}, print, None)\nprint(*{'asyncio'} & sys.modules.keys())"

    assert printed(code) == []
