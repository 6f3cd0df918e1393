"""The inspection of one key by a sensor's own selection: watched or not, its run key, how far the sweep is."""

from dataclasses import replace

import pytest

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.objects import ObjectIdentity
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.s3 import FileCount, Marker, S3Selection, StartFrom, s3_sensor
from treadle.integrations.s3.inspection import SelectedObjects, selections_of
from treadle.integrations.s3.patterns import KeyPattern
from treadle.integrations.s3.sweep import SweepCursor
from treadle.model.deployment import DeployedSensor
from treadle.model.objects import ObjectInspection
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.objects import InMemoryObjects
from treadle.testing.system import VirtualClock

SELECTION = S3Selection("landing", "in/", ".csv")
CURSOR = SweepCursor(
    tuple(SELECTION.fingerprint), since=5_000, position="in/m", round_started=9, complete_round=7
)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def objects(clock: VirtualClock) -> InMemoryObjects:
    return InMemoryObjects(clock)


def inspected(
    objects: InMemoryObjects,
    key: str = "in/a.csv",
    *,
    selection: S3Selection | None = SELECTION,
    cursor: str | None = None,
    bucket: str = "landing",
) -> ObjectInspection | None:
    lookup = SelectedObjects(lambda sensor: selection, objects)
    return lookup.inspect("files", bucket, key, cursor, objects.clock.now())


def seen(objects: InMemoryObjects, **options: object) -> ObjectInspection:
    found = inspected(objects, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("identity", ObjectIdentity)
def test_object_has_the_run_key_that_its_event_would_have(
    clock: VirtualClock, objects: InMemoryObjects, identity: ObjectIdentity
) -> None:
    objects.is_versioned = True
    selection = replace(SELECTION, identity=identity)
    objects.put("landing", "in/a.csv", b"1")
    clock.advance(1)
    event = objects.put("landing", "in/a.csv", b"2")
    objects.put("landing", "in/a.csv.csv", b"3")

    assert seen(objects, selection=selection).run_key == selection.run_key(event.object)


@pytest.mark.parametrize(
    ("selection", "key"),
    [
        (SELECTION, None),
        (replace(SELECTION, identity=ObjectIdentity.KEY), "s3://landing/in/a.csv"),
        (replace(SELECTION, complete_when=FileCount(2)), "s3://landing/in/#2 files"),
    ],
)
def test_object_that_is_gone_has_a_run_key_only_where_that_needs_no_object(
    objects: InMemoryObjects, selection: S3Selection, key: str | None
) -> None:
    found = seen(objects, selection=selection)

    assert (found.modified_at, found.run_key) == (None, key)


@pytest.mark.parametrize(
    ("bucket", "key"), [("landing", "in/a.txt"), ("landing", "a.csv"), ("other", "in/a.csv")]
)
def test_key_outside_the_selection_is_not_watched_and_not_checked(
    objects: InMemoryObjects, bucket: str, key: str
) -> None:
    objects.put(bucket, key)

    assert seen(objects, key=key, bucket=bucket) == ObjectInspection(
        "s3://landing/in/*.csv", is_watched=False
    )


def test_key_that_does_not_match_the_pattern_is_not_watched(objects: InMemoryObjects) -> None:
    selection = replace(SELECTION, pattern=KeyPattern("in/{day:%Y%m%d}.csv"))
    watched = "s3://landing/in/*.csv matching in/{day:%Y%m%d}.csv"

    assert seen(objects, selection=selection) == ObjectInspection(watched, is_watched=False)
    assert seen(objects, selection=selection, key="in/20261122.csv").is_watched


def test_marker_of_a_folder_is_not_watched(objects: InMemoryObjects) -> None:
    selection = replace(SELECTION, suffix="")
    objects.put("landing", "in/", b"")
    objects.put("landing", "in/full/", b"1")

    assert seen(objects, selection=selection, key="in/") == ObjectInspection(
        "s3://landing/in/* without the empty objects that mark folders", is_watched=False
    )
    assert seen(objects, selection=selection, key="in/full/").is_watched


def test_sensor_that_watches_no_bucket_makes_nothing_of_it(objects: InMemoryObjects) -> None:
    assert inspected(objects, selection=None) is None


@pytest.mark.parametrize(("key", "is_passed"), [("in/a.csv", True), ("in/z.csv", False)])
def test_how_far_the_sweep_has_come_is_read_from_the_cursor(
    objects: InMemoryObjects, key: str, is_passed: bool
) -> None:
    found = seen(objects, key=key, cursor=str(CURSOR))

    assert (found.counts_since, found.round_started, found.complete_round) == (5_000, 9, 7)
    assert found.is_passed is is_passed


@pytest.mark.parametrize("cursor", [None, "no sweep's", str(replace(CURSOR, made_with=("another",)))])
def test_sweep_that_was_never_begun_for_the_selection_has_come_nowhere(
    objects: InMemoryObjects, cursor: str | None
) -> None:
    found = seen(objects, cursor=cursor)

    assert (found.counts_since, found.round_started, found.is_passed, found.complete_round) == (
        None,
        None,
        False,
        None,
    )


@pytest.mark.parametrize("counts", [None, Marker("_DONE"), FileCount(3)])
def test_selection_that_a_function_reports_is_the_one_it_has(counts: Marker | FileCount | None) -> None:
    selection = S3Selection("b", "p/", "", ObjectIdentity.KEY, StartFrom.BEGINNING, 7, counts)

    assert S3Selection.of_description(selection.described()) == selection


def test_text_that_reports_no_selection_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="This is no selection of objects"):
        S3Selection.of_description({"bucket": "b", "marker": None, "files": None, "identity": "colour"})


SETTINGS = {"TREADLE_S3_BUCKET": "configured", "TREADLE_S3_SUFFIX": ".txt"}


@s3_sensor("coded", prefix="x/", complete_when=Marker("_OK"), job_name="load")
def coded() -> None:
    """Watches."""


@pytest.mark.parametrize(
    ("answers", "settings", "expected"),
    [
        (True, SETTINGS, coded.selection),
        (False, SETTINGS, S3Selection("configured", "", ".txt")),
        (False, {}, None),
    ],
    ids=["as the function says", "as configured", "not at all"],
)
def test_what_a_sensor_watches_is_queried_from_its_function(
    answers: bool, settings: dict[str, str], expected: S3Selection | None
) -> None:
    sensor = DeployedSensor("coded", "s3", "", ("load",), DefaultSensorStatus.RUNNING, settings=settings)
    deployment = InMemoryDeployment([sensor])
    if answers:
        deployment.functions["coded"] = lambda event: coded.described()

    assert selections_of(deployment)("coded") == expected
