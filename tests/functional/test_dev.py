"""`treadle dev` over a real project: its functions in processes, its folders as buckets, its jobs as doubles."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.dev_loop import Loop, started_loop
from tests.support.dev_project import FILES, POLLER, POOL, QUICK_JOBS, eventually, write_sensor
from treadle.definitions.errors import InvocationError
from treadle.definitions.payloads import reference_in
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    """Start `treadle dev` in a project."""
    with contextlib.ExitStack() as stack:
        yield lambda dev_toml=QUICK_JOBS: stack.enter_context(started_loop(tmp_path, dev_toml))


def test_a_sensor_ticks_at_once_with_the_environment_of_the_template(loop: Callable[..., Loop]) -> None:
    made = loop()

    made.says("poller", "SKIPPED: hello from the first version")


def test_a_file_in_a_folder_is_an_object_with_a_run_and_the_chain_goes_on(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    made = loop()

    (tmp_path / "inbox" / "in").mkdir()
    (tmp_path / "inbox" / "in" / "orders.csv").write_text("a,b\n")

    run = made.ends("load", Status.SUCCESS)
    assert '"key":"in/orders.csv"' in run.run_config
    assert made.ends("report", Status.SUCCESS).sensor == "chain"
    assert len(made.runs("load")) == 1


def test_a_sensor_of_several_buckets_has_a_folder_for_each(loop: Callable[..., Loop], tmp_path: Path) -> None:
    made = loop()
    template = made.root / "template.yaml"
    several = """'["landing","archive"]'"""
    template.write_text(
        template.read_text().replace("TREADLE_S3_BUCKET: landing", f"TREADLE_S3_BUCKET: {several}")
    )
    folders = made.project.buckets.folders
    eventually(lambda: "archive" in folders, lambda: f"{made.lines}")

    (tmp_path / "inbox" / "a.csv").write_text("a,b\n")
    (folders["archive"] / "b.csv").write_text("a,b\n")

    eventually(lambda: len(made.runs("load", Status.SUCCESS)) == 2, lambda: f"{made.runs('load')}")
    keys = {str(run.run_key).partition("#")[0] for run in made.runs("load")}
    assert keys == {"s3://landing/a.csv", "s3://archive/b.csv"}


def test_a_pool_of_the_template_lets_runs_wait_and_start_in_their_order(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    made = loop("[jobs.load]\nseconds = 1\n")
    template, pools = made.root / "template.yaml", made.project.engine.stores.pools
    template.write_text(template.read_text() + POOL)
    eventually(pools.states, lambda: f"no pool is declared: {made.lines}")

    for number in range(3):
        (tmp_path / "inbox" / f"{number}.csv").write_text("a,b\n")

    eventually(lambda: len(made.runs("load", Status.SUCCESS)) == 3, lambda: f"{made.runs('load')}")
    runs = sorted(made.runs("load"), key=lambda run: run.started_at or 0)
    assert {run.pools for run in runs} == {("slots",)}
    for before, after in itertools.pairwise(runs):
        assert (before.ended_at or 0) <= (after.started_at or 0)
    assert (pools.holders("slots"), pools.waiters("slots", 1)) == ([], [])


def test_an_invalid_pool_of_the_template_is_reported(loop: Callable[..., Loop]) -> None:
    made = loop()
    template = made.root / "template.yaml"

    template.write_text(template.read_text() + POOL.replace('"limit":"1"', '"limit":"many"'))

    made.says("template.yaml", "pools/slots is invalid: its limit is 'many'")


def test_a_failed_job_shows_the_alert_instead_of_sending_it(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    made = loop('[jobs.load]\nseconds = 0\nstatus = "failure"\n')

    (tmp_path / "inbox" / "orders.csv").write_text("a,b\n")

    made.ends("load", Status.FAILURE)
    made.says("failures", "ALERT for SNS (Alerts)", "Run failed: load", "dev.toml says that this job fails")
    made.says("failures", "shown, not sent")
    assert not made.runs("report")


def test_a_job_may_be_a_command_or_a_function_that_receives_the_payload(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "doubles.py").write_text(
        "def load(payload):\n    open('received', 'w').write(payload['run_config']['key'])\n"
    )
    command = """["sh", "-c", "echo no report today >&2; exit 3"]"""
    made = loop(f'[jobs.load]\nfunction = "doubles:load"\n[jobs.report]\ncommand = {command}\n')

    (tmp_path / "inbox" / "orders.csv").write_text("a,b\n")

    made.ends("load", Status.SUCCESS)
    assert (made.root / "received").read_text() == "orders.csv"
    failure = made.ends("report", Status.FAILURE).failure
    assert failure is not None
    assert (failure.error, failure.cause) == ("ExitStatus3", "no report today")


def test_a_saved_file_is_loaded_and_evaluated_at_once(loop: Callable[..., Loop]) -> None:
    made = loop()

    write_sensor(made.root, "poller", POLLER.replace("first version", "second version"))

    made.says("poller", "SKIPPED: hello from the second version")


def test_changed_environment_of_the_template_loads_only_the_functions_that_have_it(
    loop: Callable[..., Loop],
) -> None:
    made = loop()
    template = made.root / "template.yaml"

    template.write_text(template.read_text().replace("GREETING: hello", "GREETING: good evening"))

    made.says("poller", "SKIPPED: good evening from the first version")
    assert not [each for each in made.lines if each.text == "reloaded" and each.subject != "poller"]


def test_a_template_that_cannot_be_used_is_reported_and_the_loop_goes_on(loop: Callable[..., Loop]) -> None:
    made = loop()
    template = made.root / "template.yaml"
    text = template.read_text()

    template.write_text("")
    made.says("treadle dev", "cannot be read as a template", "still apply")
    template.write_text(text.replace("GREETING: hello", "GREETING: !If [Unknown, a, b]"))
    made.says(
        "poller", "does not load: SettingsError: The variable GREETING in template.yaml cannot be resolved"
    )
    template.write_text(text.replace("GREETING: hello", "GREETING: welcome"))

    made.says("poller", "SKIPPED: welcome from the first version")


def test_a_module_that_does_not_import_is_shown_with_its_frames_and_the_others_go_on(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    made = loop()

    write_sensor(made.root, "poller", "import shop_common_that_is_missing\n")

    made.says(
        "poller",
        "does not load: ModuleNotFoundError: No module named 'shop_common_that_is_missing'",
        'functions/sensors/poller/app.py", line 1, in <module>',
    )
    with pytest.raises(InvocationError, match=r"app.py\", line 1"):
        made.deployment.invoke("poller", {"treadle": "describe"})
    (tmp_path / "inbox" / "orders.csv").write_text("a,b\n")
    made.ends("load", Status.SUCCESS)
    write_sensor(made.root, "poller", POLLER.replace("first version", "corrected version"))
    made.says("poller", "SKIPPED: hello from the corrected version")


def test_events_wait_for_a_sensor_that_does_not_load(loop: Callable[..., Loop], tmp_path: Path) -> None:
    made = loop()
    write_sensor(made.root, "files", "def\n")
    made.says("files", "does not load: SyntaxError")

    (tmp_path / "inbox" / "orders.csv").write_text("a,b\n")
    made.says("s3://landing/orders.csv", "stored")
    write_sensor(made.root, "files", FILES)

    made.ends("load", Status.SUCCESS)


def test_a_function_that_kills_its_process_hurts_no_other(loop: Callable[..., Loop]) -> None:
    made = loop()
    code = POLLER.replace('return SkipReason(f"', 'os._exit(3) if os.environ["GREETING"] else SkipReason(f"')

    write_sensor(made.root, "poller", code)

    made.says("poller", "FAILURE: Runtime.ExitError: the process of the function ended")
    write_sensor(made.root, "poller", POLLER.replace("first version", "last version"))
    # It records that the tick before it died.
    made.says("poller", "SKIPPED: hello from the last version")
    [died, *_] = made.project.engine.stores.ticks.latest("poller", 10)
    assert died.status is TickStatus.FAILURE


@pytest.mark.parametrize("place", ["the import", "the evaluation"])
def test_code_that_does_not_end_is_replaced_by_what_is_saved(loop: Callable[..., Loop], place: str) -> None:
    made = loop()
    code = "print('begun')\nwhile True:\n    pass\n"
    if place == "the evaluation":
        code = POLLER.replace("return Skip", "print('begun')\n    while True:\n        pass\n    return Skip")
    write_sensor(made.root, "poller", code)
    made.says("poller", "begun")

    write_sensor(made.root, "poller", POLLER.replace("first version", "last version"))

    made.says("poller", "SKIPPED: hello from the last version")


def test_sensors_appear_and_disappear_with_their_folders(loop: Callable[..., Loop]) -> None:
    made = loop()

    write_sensor(
        made.root, "newcomer", POLLER.replace("def poller", "def newcomer").replace("(poller)", "(newcomer)")
    )
    made.says("newcomer", "loaded")
    (made.root / "functions/sensors/newcomer/app.py").unlink()

    made.says("newcomer", "removed")
    assert list(made.deployment.sensors()) == ["chain", "failures", "files", "poller"]


def test_each_function_has_its_own_environment_and_modules(loop: Callable[..., Loop]) -> None:
    made = loop()
    for name in ("poller", "other"):
        code = POLLER.replace("def poller", f"def {name}").replace("evaluator(poller)", f"evaluator({name})")
        code = code.replace("{os.environ['GREETING']}", "{os.environ.get('GREETING')}, {helper.NAME}")
        write_sensor(made.root, name, f"import helper\n{code}")
        (made.root / f"functions/sensors/{name}/helper.py").write_text(f"NAME = 'helper of {name}'\n")

    made.says("other", "SKIPPED: None, helper of other")
    made.says("poller", "SKIPPED: hello, helper of poller")


def test_a_wrong_dev_toml_is_reported_and_the_former_one_applies(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    made = loop()

    (made.root / "dev.toml").write_text('[jobs.load]\nstatus = "late"\n')

    made.says("dev.toml", "[jobs.load]: status is 'late'; it must be success or failure", "still apply")
    (tmp_path / "inbox" / "orders.csv").write_text("a,b\n")
    made.ends("load", Status.SUCCESS)


def test_a_sensor_is_not_evaluated_outside_its_hours(loop: Callable[..., Loop]) -> None:
    made = loop()
    hours = f"00:00-24:00 {datetime.now(UTC) + timedelta(days=3):%a}".upper()
    template = made.root / "template.yaml"
    template.write_text(
        template.read_text().replace(
            "TREADLE_KIND: schedule", f"TREADLE_KIND: schedule, TREADLE_HOURS: '{hours} UTC'"
        )
    )
    with_hours = POLLER.replace("import DefaultSensorStatus", "import DefaultSensorStatus, Hours")
    write_sensor(
        made.root,
        "poller",
        with_hours.replace("interval_seconds=5", f"interval_seconds=5, active=Hours({hours!r})"),
    )

    made.says("poller", "Outside its hours until ")

    assert made.deployment.sensors()["poller"].settings["TREADLE_HOURS"] == f"{hours} UTC"


def test_a_double_receives_a_run_config_that_is_too_large_to_be_sent(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "doubles.py").write_text(
        "def load(payload):\n    open('received', 'w').write(str(len(payload['run_config']['filling'])))\n"
    )
    made = loop('[jobs.load]\nfunction = "doubles:load"\n')
    write_sensor(made.root, "files", FILES.replace("stored.key}", "stored.key, 'filling': 'x' * 300_000}"))
    made.says("files", "reloaded")

    (tmp_path / "inbox" / "orders.csv").write_text("a,b\n")

    run = made.ends("load", Status.SUCCESS)
    assert (made.root / "received").read_text() == "300000"
    assert reference_in(run.run_config) is not None
