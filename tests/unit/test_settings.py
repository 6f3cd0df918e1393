"""Settings: whatever is wrong with a function's environment is said at once."""

import os
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pytest

from tests.support.engine import keyless, sensor_of
from treadle.bootstrap.settings import Settings
from treadle.definitions.errors import SettingsError
from treadle.entrypoints.dispatcher import dispatcher_parts
from treadle.entrypoints.evaluator import evaluator_parts
from treadle.entrypoints.launcher import launcher_parts
from treadle.entrypoints.reconciler import reconciler_parts
from treadle.entrypoints.recorder import recorder_parts
from treadle.integrations.s3 import s3_sensor


def test_complete_environment_has_no_problems() -> None:
    settings = Settings({"A": "text", "B": "90", "E": ""})

    assert (settings.text("A"), settings.number("B", "seconds", 5)) == ("text", 90)
    assert (settings.text("D", "default"), settings.text("E", "default")) == ("default", "")
    assert (
        settings.number("D", "seconds", 5),
        settings.number("E", "seconds", 5),
        settings.number("D", "seconds", None),
    ) == (5, 5, None)
    settings.check()


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "60s", " 60", "²"])
def test_seconds_that_are_no_whole_number_are_a_problem(value: str) -> None:
    settings = Settings({"A": value})

    assert settings.number("A", "seconds", 5) == 5
    assert settings.problems == [f"A is {value!r}; it must be a whole number of seconds"]


def test_a_time_zone_is_known_where_the_system_has_no_zones() -> None:
    """As on a runtime without them: the package tzdata is in the layer."""
    layers = Path(__file__).parents[2] / "layers"
    code = (
        'from treadle.bootstrap.settings import Settings; print(Settings({"Z": "Europe/Berlin"}).zone("Z"))'
    )
    environment = {**os.environ, "PYTHONTZPATH": "", "PYTHONPATH": str(layers / "treadle")}

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)

    assert done.stdout.decode().strip() == "Europe/Berlin"
    assert "tzdata==" in (layers / "deps/requirements.txt").read_text()


def test_value_that_is_none_of_the_choices_is_a_problem() -> None:
    settings = Settings({"A": "ends", "B": "END", "E": ""})

    assert [settings.choice(name, ("all", "ends")) for name in "ABCE"] == ["ends", "END", "all", "all"]
    assert settings.problems == ["B is 'END'; it must be one of: all, ends"]


@pytest.mark.parametrize("value", ["Mars/Olympus", "Europe", "../UTC", "a" * 300])
def test_time_zone_that_does_not_exist_is_a_problem(value: str) -> None:
    settings = Settings({"Z": value})

    assert settings.zone("Z") is UTC
    assert settings.problems == [f"Z is {value!r}; it must be a time zone such as Europe/Berlin"]


def test_all_problems_are_reported_at_once() -> None:
    settings = Settings({"B": "soon", "C": "Nowhere"})
    settings.text("A")
    settings.number("B", "seconds", None)
    settings.zone("C")

    with pytest.raises(SettingsError) as refused:
        settings.check()

    assert str(refused.value) == (
        "The function's environment does not fit: A is not set; B is 'soon'; it must be a whole "
        "number of seconds; C is 'Nowhere'; it must be a time zone such as Europe/Berlin. See "
        "template.yaml."
    )


TABLES = [f"TREADLE_{table}_TABLE" for table in ("SENSORS", "TICKS", "RUNS", "EVENTS")]
DEAD_LETTERS = "TREADLE_DEAD_LETTER_QUEUE_URL"


def test_evaluator_names_everything_that_is_missing() -> None:
    with pytest.raises(SettingsError) as refused:
        evaluator_parts(sensor_of(keyless), {}, {})

    assert all(
        f"{name} is not set" in str(refused.value) for name in [*TABLES, "TREADLE_NAMESPACE", DEAD_LETTERS]
    )


def test_evaluator_reports_its_sensors_selectors_together_with_the_rest() -> None:
    environment = {
        "TREADLE_DEFAULT_STATUS": "ON",
        "TREADLE_INTERVAL_SECONDS": "soon",
        "TREADLE_S3_IDENTITY": "name",
    }

    with pytest.raises(SettingsError) as refused:
        evaluator_parts(s3_sensor(job_name="load")(keyless), {}, environment)

    for message in (
        "TREADLE_NAMESPACE is not set",
        "TREADLE_DEFAULT_STATUS is 'ON': use RUNNING or STOPPED",
        "TREADLE_INTERVAL_SECONDS is 'soon'",
        "no bucket is given",
        "TREADLE_S3_IDENTITY is 'name'",
    ):
        assert message in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (
            dispatcher_parts,
            [
                *TABLES,
                "TREADLE_LAUNCH_QUEUE_URL",
                "TREADLE_DISPATCH_QUEUE_URL",
                "TREADLE_OUTCOMES_BUCKET",
                DEAD_LETTERS,
                "TREADLE_BUS_NAME",
                "TREADLE_NAMESPACE",
            ],
        ),
        (
            launcher_parts,
            [
                *TABLES,
                "TREADLE_NAMESPACE",
                "TREADLE_LAUNCH_QUEUE_URL",
                "TREADLE_OUTCOMES_BUCKET",
                DEAD_LETTERS,
            ],
        ),
        (
            recorder_parts,
            [
                *TABLES,
                "TREADLE_NAMESPACE",
                "TREADLE_RECORD_QUEUE_URL",
                "TREADLE_BUS_NAME",
                DEAD_LETTERS,
            ],
        ),
        (
            reconciler_parts,
            [
                *TABLES,
                "TREADLE_LAUNCH_QUEUE_URL",
                "TREADLE_DISPATCH_QUEUE_URL",
                "TREADLE_OUTCOMES_BUCKET",
                "TREADLE_ENGINE",
                "TREADLE_ENGINE_ID",
                "TREADLE_NAMESPACE",
                "TREADLE_BUS_NAME",
                DEAD_LETTERS,
            ],
        ),
    ],
    ids=["dispatch", "launch", "record", "reconcile"],
)
def test_each_step_names_everything_that_is_missing_once(parts: object, names: list[str]) -> None:
    assert callable(parts)

    with pytest.raises(SettingsError) as refused:
        parts({})

    assert str(refused.value).count("is not set") == len(names)
    assert all(f"{name} is not set" in str(refused.value) for name in names)


def test_kind_that_the_code_is_not_is_a_problem() -> None:
    """What operators are shown is what the code is."""
    with pytest.raises(
        SettingsError, match="TREADLE_KIND is 'asset', but the code defines a sensor of kind 's3'"
    ):
        evaluator_parts(s3_sensor(job_name="load")(keyless), {}, {"TREADLE_KIND": "asset"})


@pytest.mark.parametrize(
    ("interval", "problem"),
    [
        ("60", None),
        ("300", None),
        (None, None),
        ("15", "the interval is 15 seconds, but without TREADLE_QUEUE_URL"),
    ],
)
def test_sensor_without_a_queue_ticks_each_minute_at_most(interval: str | None, problem: str | None) -> None:
    """Its further slots would come through the queue; without one they would be left out in silence."""
    environment = {"TREADLE_INTERVAL_SECONDS": interval} if interval else {}

    with pytest.raises(SettingsError) as refused:
        evaluator_parts(sensor_of(keyless), {}, environment)

    assert "TREADLE_QUEUE_URL is not set" not in str(refused.value)
    assert ("the interval is" in str(refused.value)) is (problem is not None)
    assert (problem or "") in str(refused.value)


def test_interval_of_the_code_counts_like_one_of_the_deployment() -> None:
    with pytest.raises(SettingsError, match="the interval is 15 seconds"):
        evaluator_parts(sensor_of(keyless, minimum_interval_seconds=15), {}, {})


def test_sensor_with_a_queue_ticks_as_often_as_it_likes() -> None:
    environment = {"TREADLE_INTERVAL_SECONDS": "15", "TREADLE_QUEUE_URL": "https://sqs/queue"}

    with pytest.raises(SettingsError) as refused:
        evaluator_parts(sensor_of(keyless), {}, environment)

    assert "the interval is" not in str(refused.value)


def test_sensor_that_takes_events_needs_its_queue() -> None:
    with pytest.raises(SettingsError, match="TREADLE_QUEUE_URL is not set"):
        evaluator_parts(s3_sensor(job_name="load")(keyless), {}, {})
