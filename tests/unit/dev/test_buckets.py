"""Folders that are buckets."""

import os
from pathlib import Path

from treadle.adapters.events import parse_sensor_event
from treadle.dev.buckets import FolderBuckets, object_event
from treadle.integrations.s3.selection import S3Selection
from treadle.testing.system import VirtualClock


def buckets(folder: Path) -> FolderBuckets:
    made = FolderBuckets(VirtualClock())
    made.add("landing", folder)
    return made


def keys(made: FolderBuckets) -> list[str]:
    """Return the keys of the events after both polls that a file needs."""
    return [event.object.key for _ in range(2) for event in made.poll()]


def listed(made: FolderBuckets) -> list[str]:
    return [each.key for page in made.objects.pages(S3Selection("landing"), "") for each in page.objects]


def test_files_that_were_there_are_objects_without_an_event(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("a")

    made = buckets(tmp_path)

    assert (keys(made), listed(made)) == ([], ["old.csv"])


def test_a_new_and_a_changed_file_have_one_event_each(tmp_path: Path) -> None:
    made = buckets(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "new.csv").write_text("a")
    assert keys(made) == ["in/new.csv"]
    assert keys(made) == []

    (tmp_path / "in" / "new.csv").write_text("a longer text")

    assert keys(made) == ["in/new.csv"]
    assert listed(made) == ["in/new.csv"]


def test_a_file_that_is_still_being_written_waits(tmp_path: Path) -> None:
    made = buckets(tmp_path)
    path = tmp_path / "large.csv"
    path.write_text("a")
    assert list(made.poll()) == []
    path.write_text("ab")
    assert list(made.poll()) == []

    [event] = made.poll()

    assert event.object.size == 2


def test_hidden_files_are_no_objects_and_deleted_ones_are_gone(tmp_path: Path) -> None:
    made = buckets(tmp_path)
    (tmp_path / ".DS_Store").write_text("a")
    (tmp_path / "new.csv").write_text("a")
    assert keys(made) == ["new.csv"]

    (tmp_path / "new.csv").unlink()

    assert (keys(made), listed(made)) == ([], [])


def test_a_file_that_replaces_another_of_the_same_size_and_time_is_a_new_object(tmp_path: Path) -> None:
    made = buckets(tmp_path)
    (tmp_path / "new.csv").write_text("a")
    assert keys(made) == ["new.csv"]
    other = tmp_path / ".other"
    other.write_text("b")
    stat = (tmp_path / "new.csv").stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    other.replace(tmp_path / "new.csv")

    assert keys(made) == ["new.csv"]


def test_the_event_is_read_as_that_of_the_bucket(tmp_path: Path) -> None:
    made = buckets(tmp_path)
    (tmp_path / "new.csv").write_text("a")
    [event] = [event for _ in range(2) for event in made.poll()]

    parsed = parse_sensor_event(object_event(event))

    assert parsed.identity == event.identity
