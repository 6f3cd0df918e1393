"""The guarantees of S3 sensors, under any order of puts, deletes, events and sweeps, for each identity.

At most one run for each object's identity, and exactly one for each that a delivered event named or a complete
sweep saw; a changed identity or prefix starts no run for what was there before.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.engine import JOB
from tests.support.objects import InMemoryLister, object_of
from treadle import FileCount, ObjectIdentity, RunRequest, s3_sensor
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom
from treadle.integrations.s3 import sweep as sweeping
from treadle.integrations.s3.sweep import OVERLAP_MS, SweepCursor, sweep
from treadle.testing import TreadleInstance

BUCKET = "watched"
KEYS = st.sampled_from(["in/a", "in/b", "in/c", "in/d", "out/a"])
BODIES = st.sampled_from([b"1", b"2"])
MINUTE = 60
DAY = 86_400_000


def sensor(identity: ObjectIdentity, prefix: str, start_from: str) -> S3SensorDefinition:
    @s3_sensor(
        BUCKET,
        prefix=prefix,
        identity=identity,
        start_from=start_from,
        job_name=JOB,
        minimum_interval_seconds=MINUTE,
    )
    def watch() -> RunRequest:
        return RunRequest()

    return watch


def named(identity: ObjectIdentity, key: str, etag: str, version: str | None) -> tuple[str | None, ...]:
    """Return what the identity distinguishes of an object, by the test's own code."""
    identities = {ObjectIdentity.KEY: (), ObjectIdentity.ETAG: (etag,), ObjectIdentity.VERSION: (version,)}
    return (key, *identities[identity])


class Promise(RuleBasedStateMachine):
    """One sensor over one bucket.

    `due` are the identities that must have exactly one run, `maybe` those that a part of a sweep may have seen.
    """

    identity = ObjectIdentity.ETAG

    def __init__(self) -> None:
        super().__init__()
        self.patched = patch.object(sweeping, "CHUNK_SIZE", 2)
        self.patched.start()

    def teardown(self) -> None:
        """Leave nothing changed."""
        self.patched.stop()

    @initialize(start_from=st.sampled_from(["now", "beginning"]), page_size=st.integers(1, 3))
    def deploy(self, start_from: str, page_size: int) -> None:
        """Deploy a sensor that was never enabled, over a bucket with objects."""
        self.instance = TreadleInstance([sensor(self.identity, "in/", start_from)])
        self.objects = self.instance.objects
        self.objects.page_size = page_size
        self.objects.is_versioned = self.identity is ObjectIdentity.VERSION
        self.since = self.instance.clock.now() if start_from == "now" else 0
        before = self.at(self.instance.clock.now() - 1_000)
        self.objects.put(BUCKET, "in/a", b"old", modified=before)
        self.objects.put(BUCKET, "in/d", b"old", parts=2, modified=before)
        self.instance.clock.advance(MINUTE)
        self.late = set[S3Object]()
        self.underway = list[ObjectCreated]()
        self.due = set[tuple[str | None, ...]]()
        self.maybe = set[tuple[str | None, ...]]()
        self.sweep()

    def name(self, stored: S3Object) -> tuple[str | None, ...]:
        """Return its identity."""
        return named(self.identity, stored.key, stored.etag, stored.version)

    @property
    def swept(self) -> set[tuple[str | None, ...]]:
        """What a sweep sees now, and is not older than the first enable."""
        versioned = self.identity is ObjectIdentity.VERSION
        return {
            self.name(stored)
            for stored in (self.objects.versions if versioned else self.objects.stored.values())
            if stored.key.startswith("in/")
            and (stored in self.late or stored.last_modified.timestamp() * 1000 >= self.since)
        }

    @rule(key=KEYS, body=BODIES)
    def put(self, key: str, body: bytes) -> None:
        """Store an object; its event is under way."""
        self.underway.append(self.objects.put(BUCKET, key, body))

    @rule(key=KEYS, body=BODIES, days=st.sampled_from([0, 1, 6]), is_announced=st.booleans())
    def complete_upload(self, key: str, body: bytes, days: int, is_announced: bool) -> None:
        """Complete an upload in parts that was begun some days ago; its object has that time."""
        begun = self.instance.clock.now() - days * DAY - 1_000
        event = self.objects.put(BUCKET, key, body, parts=2, modified=self.at(begun))
        if is_announced:
            self.underway.append(event)
        if begun < self.since <= self.instance.clock.now():
            self.late.add(event.object)

    @staticmethod
    def at(millis: int) -> datetime:
        """Return a time, as S3 gives it."""
        return datetime.fromtimestamp(millis / 1000, UTC)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        """Delete an object, whatever of it is still under way."""
        self.objects.delete(BUCKET, key)

    @rule(seconds=st.sampled_from([1, 30, 3_600, 8 * 86_400]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.instance.clock.advance(seconds)

    @rule(data=st.data(), times=st.integers(1, 3), stays=st.booleans())
    def deliver(self, data: st.DataObject, times: int, stays: bool) -> None:
        """Deliver any of the events, in any order, some of them twice, some of them once more later."""
        if not self.underway:
            return
        event = data.draw(st.sampled_from(self.underway))
        for _ in range(times):
            self.instance.send(event)
        if event.object.key.startswith("in/"):
            self.due.add(self.name(event.object))
        if not stays:
            self.underway.remove(event)

    @rule()
    def lose(self) -> None:
        """Lose an event."""
        if self.underway:
            self.underway.pop()

    @rule()
    def tick(self) -> None:
        """Run one slice of a sweep, which sees some of the objects."""
        self.maybe |= self.swept
        self.instance.tick("watch")

    @rule()
    def sweep(self) -> None:
        """To the end of the round that is under way, and once more through all of it."""
        for _ in range(2):
            self.tick()
            while json.loads(self.instance.cursor("watch") or "")["position"]:
                self.tick()
        found = self.swept
        if self.since and self.instance.clock.now() >= self.since + 2 * OVERLAP_MS:
            # Two weeks are enough for any sweep, and it does not remember for longer what was there before.
            self.late.clear()
            found &= self.swept
        self.due |= found

    @invariant()
    def each_identity_has_its_one_run(self) -> None:
        """And no other has any."""
        if not hasattr(self, "instance"):
            return
        configs = [json.loads(run.run_config) for run in self.instance.runs()]
        found = [named(self.identity, each["key"], each["etag"], each["version"]) for each in configs]

        assert len(found) == len(set(found)) == len(self.instance.target.starts)
        assert self.due <= set(found) <= self.due | self.maybe


class ByKey(Promise):
    """Each key once, whatever is stored there."""

    identity = ObjectIdentity.KEY


class ByVersion(Promise):
    """Each upload once."""

    identity = ObjectIdentity.VERSION


# A story that fails is shown as it is: to shorten it takes minutes.
Promise.TestCase.settings = ByKey.TestCase.settings = ByVersion.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, phases=(Phase.explicit, Phase.generate)
)
TestByEtag = Promise.TestCase
TestByKey = ByKey.TestCase
TestByVersion = ByVersion.TestCase


SELECTION = S3Selection(BUCKET, "in/", start_from=StartFrom.BEGINNING)


@given(
    st.lists(KEYS, unique=True),
    st.sampled_from(
        [
            {"prefix": ""},
            {"prefix": "in/a"},
            {"suffix": "a"},
            {"identity": ObjectIdentity.KEY},
            {"identity": ObjectIdentity.VERSION},
            {"complete_when": FileCount(1)},
        ]
    ),
    st.booleans(),
)
def test_changed_selection_starts_no_flood_and_continues_with_what_is_new(
    keys: list[str], change: dict[str, Any], has_begun: bool
) -> None:
    """However much lies there, and even within a round, nothing older than the change gets a run."""
    lister = InMemoryLister([object_of(key) for key in keys], page_size=1, seconds_per_page=60)
    cursor = None
    for _ in range(len(keys) // 2 if has_begun else len(keys) + 1):
        context = SensorEvaluationContext("watch", cursor)
        cursor = str(sweep(context, SELECTION, lister, lister.clock.now).cursor)
    changed = replace(SELECTION, **change)
    lister.seconds_per_page = 0
    lister.clock.advance(10)

    def found_after(cursor: str | None) -> tuple[list[str], str]:
        part = sweep(SensorEvaluationContext("watch", cursor), changed, lister, lister.clock.now)
        return [stored.key for stored in part.objects], str(part.cursor)

    flood, cursor = found_after(cursor or str(SweepCursor(tuple(SELECTION.fingerprint), 0)))
    lister.objects = [*lister.objects, object_of("in/aa", modified=lister.clock.now())]
    fresh, _ = found_after(cursor)

    assert (flood, fresh) == ([], ["in/aa"])
