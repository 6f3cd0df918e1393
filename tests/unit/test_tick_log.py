"""A sensor's log is stored with its tick, also when the tick fails, within limits."""

import logging

import pytest

from treadle import JobDefinition, RunRequest, SensorEvaluationContext, build_sensor_context, sensor
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.tick.tick_log import MAX_CHARACTERS, MAX_LINES, capture
from treadle.model.ticks import Tick
from treadle.testing import TreadleInstance

job = JobDefinition("load")


def record(definition: SensorDefinition) -> Tick:
    """Return the record of the sensor's next tick."""
    tick = TreadleInstance([definition]).tick(definition.name).tick
    assert tick is not None
    return tick


def test_lines_are_kept_with_the_tick_with_level_and_arguments_filled_in() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        context.log.info("found %s in %d pages", "a.csv", 3)
        context.log.warning("old %(name)s", {"name": "b.csv"})
        return RunRequest()

    assert record(watch).log == ("INFO found a.csv in 3 pages", "WARNING old b.csv")


def test_lines_are_readable_when_the_tick_failed() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> None:
        context.log.info("about to fail")
        raise ValueError

    tick = record(watch)

    assert tick.error is not None
    assert tick.log == ("INFO about to fail",)


def test_exception_is_logged_with_its_traceback() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        try:
            _ = dict[str, str]()["missing"]
        except KeyError:
            context.log.exception("went on without")
        return RunRequest()

    (line,) = record(watch).log

    assert line.startswith("ERROR went on without\nTraceback (most recent call last):")
    assert line.endswith("KeyError: 'missing'")
    assert __file__ in line


def test_lines_are_at_most_so_many() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        for index in range(MAX_LINES + 5):
            context.log.info("%d", index)
        return RunRequest()

    assert record(watch).log == tuple(f"INFO {index}" for index in range(MAX_LINES))


def test_characters_are_at_most_so_many() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        for _ in range(3):
            context.log.info("x" * (MAX_CHARACTERS - 100))
        return RunRequest()

    log = record(watch).log

    assert sum(map(len, log)) == MAX_CHARACTERS
    assert len(log) == 2


def test_line_that_cannot_be_formatted_fails_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        context.log.info("%d files", "many")
        context.log.info("after it")
        return RunRequest()

    monkeypatch.setattr(logging, "raiseExceptions", False)  # Else each handler prints what is wrong.
    # pytest's own handler, alone of all, raises what logging swallows.
    monkeypatch.setattr(logging.getLogger("treadle.sensor.watch"), "propagate", False)

    tick = record(watch)

    assert tick.error is None
    assert tick.log == ("INFO after it",)


def test_debug_lines_are_kept_where_someone_requested_them() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        context.log.debug("detail")
        return RunRequest()

    assert record(watch).log == ()

    logger = logging.getLogger("treadle.sensor.watch")
    logger.setLevel(logging.DEBUG)
    try:
        assert record(watch).log == ("DEBUG detail",)
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(logging.NOTSET)


def test_handler_of_the_author_gets_the_lines_with_sensor_and_tick(caplog: pytest.LogCaptureFixture) -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        context.log.info("seen", extra={"key": "a.csv"})
        return RunRequest()

    with caplog.at_level(logging.INFO):
        tick = record(watch)

    (line,) = [each for each in caplog.records if each.name == "treadle.sensor.watch"]
    fields = vars(line)
    assert (fields["sensor"], fields["tick_id"], fields["key"]) == ("watch", tick.tick_id, "a.csv")


def test_each_tick_keeps_its_own_lines() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        context.log.info("cursor %s", context.cursor)
        context.update_cursor("x")
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.tick("watch")
    instance.tick("watch")

    assert [tick.log for tick in instance.ticks("watch")] == [("INFO cursor x",), ("INFO cursor None",)]


def test_logger_is_left_as_it_was() -> None:
    @sensor(job=job)
    def seen_by_no_other_test(context: SensorEvaluationContext) -> RunRequest:
        context.log.info("one")
        return RunRequest()

    logger = logging.getLogger("treadle.sensor.seen_by_no_other_test")

    assert record(seen_by_no_other_test).log == ("INFO one",)
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])


def test_log_is_a_logger_with_handlers_at_a_tick_and_in_a_test_alike() -> None:
    received: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            received.append(record.getMessage())

    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        assert isinstance(context.log, logging.Logger)
        context.log.addHandler(Recorder())
        context.log.setLevel(logging.DEBUG)
        context.log.debug("seen %s", "a.csv")
        return RunRequest(type(context.log).__name__)

    in_a_test = watch(build_sensor_context())
    tick = record(watch)

    assert received == ["seen a.csv", "seen a.csv"]
    assert tick.log == ("DEBUG seen a.csv",)
    assert tick.requests[0].run_key == in_a_test.run_key


def test_overlapping_captures_leave_the_logger_as_it_was() -> None:
    logger = logging.getLogger("treadle.sensor.captured_twice")
    first, second = capture(logger.name), capture(logger.name)

    first.__enter__()
    with second as lines:
        first.__exit__(None, None, None)
        logger.info("one")

    assert lines == ["INFO one"]
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])


def test_ticks_of_a_warm_function_leave_no_handler_no_level_and_no_logger() -> None:
    @sensor(job=job)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        context.log.addHandler(logging.NullHandler())
        context.log.setLevel(logging.DEBUG)
        context.log.debug("seen")
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.tick("watch")
    logger = logging.getLogger("treadle.sensor.watch")
    known = set(logging.Logger.manager.loggerDict)
    for _ in range(3):
        instance.clock.advance(1_000_000)
        tick = instance.tick("watch").tick
        assert tick is not None
        assert tick.log == ("DEBUG seen",)

    assert set(logging.Logger.manager.loggerDict) == known
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)
