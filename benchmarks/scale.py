"""A simulation, second by second, of the limits that a deployment of a thousand sensors reaches.

`python -m benchmarks.scale` prints it, and `--write` writes docs/scale.md. The writes of a run are counted on the
engine's own code (`key_writes`), the limits are the services' quotas (`limits`); the duration of each step is assumed
below. Queues are simulated as amounts, arrivals are random with a fixed seed. No AWS service is called.
"""

import argparse
import heapq
import math
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from benchmarks import limits
from benchmarks.key_writes import run_of_an_event
from benchmarks.room import fits
from tools.project import ROOT, run_tool

PAGE = ROOT / "docs" / "scale.md"
SENSORS_OF_AN_ENGINE = 40
PENDING_SHARDS, WATCHED_SHARDS = 4, 8
STREAM_SHARDS = 4
"""A new table on demand takes 4,000 write units a second, and so has four partitions."""

JOBS_OF_AN_ENGINE = 15
JOB_SECONDS = 60.0
BUS_EVENTS_OF_A_RUN = 4
RAISED_CONCURRENCY, DEFAULT_CONCURRENCY, LEAST_CONCURRENCY = 1_000, 5, 2
"""The engine's parameter MaxConcurrency, of LAUNCH and of RECORD."""

DEPLOYED_HEADING, LIMITS_HEADING = "## A large project, deployed", "## The limits"
"""`make large` writes the section of the first one."""

_DEPLOYED = """\
`make large` writes a project of 60 polling sensors and 60 jobs on all target types with `treadle new`, lints and builds
it, deploys it with an engine to a local cloud that enforces IAM, waits for each sensor's first tick and run, and examines
it as an operator does. A project of 40 event sensors and 40 jobs is linted and counted.
It takes minutes, so `make test` does not run it. Its exit status is 1 if an expectation is not met;
`make large ARGS=--write` writes its output here. The times are from a machine with two processors, on which the local
cloud runs all functions, too.
"""

SEED = 20_261_128
LONGEST = 6 * 3_600

SECONDS = {"evaluate": 0.05, "dispatch": 0.005, "launch": 0.015, "record": 0.01, "publish": 0.008}
"""The duration of each step for one run: requests of 5 to 10 ms each, and StartExecution of 50 ms.

DISPATCH makes six requests for the runs of 15 ticks of an S3 sensor, the last of which it checks for a loop, and fewer for
those of other sensors. LAUNCH starts five runs of a batch at a time, between three requests for all ten. RECORD makes two
requests for the status changes of ten runs. PUBLISH numbers the ends of 45 runs of a job by sixteen requests one after the
other, and publishes ten statuses by one.
"""

STEPS = tuple(SECONDS)
BY_STREAM = {"dispatch", "publish"}
BY_PARAMETER = {"launch", "record"}
MAX_CONCURRENCY = "the engine's parameter MaxConcurrency"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load.

    Attributes:
        name: its name.
        events: the events of an hour, each of which becomes a run.
        burst: the fraction of them that arrives within the first minute, for one sensor.
        sensors: the number of sensors.
        start_rate: the limit of StartExecution a second, raised or not.
        of_an_engine: the number of sensors of an engine, in any projects.
        concurrency: the MaxConcurrency of each engine.
    """

    name: str
    events: int
    burst: float = 0.0
    sensors: int = 1_000
    start_rate: float = limits.START_RATE.value
    of_an_engine: int = SENSORS_OF_AN_ENGINE
    concurrency: int = RAISED_CONCURRENCY

    @property
    def engines(self) -> int:
        """The number of engines."""
        return math.ceil(self.sensors / self.of_an_engine)


SCENARIOS = (
    Scenario("a million events an hour, evenly", 1_000_000),
    Scenario("the same on one engine", 1_000_000, of_an_engine=1_000),
    Scenario(
        "a fifth of it on one engine with MaxConcurrency of 5",
        200_000,
        of_an_engine=1_000,
        concurrency=DEFAULT_CONCURRENCY,
    ),
    Scenario(
        "half of it on one engine with MaxConcurrency of 2",
        500_000,
        of_an_engine=1_000,
        concurrency=LEAST_CONCURRENCY,
    ),
    Scenario("a million an hour, a tenth of them at once for one sensor", 1_000_000, 0.1),
    Scenario("three million an hour, evenly", 3_000_000),
    Scenario("ten million an hour, with StartExecution raised to 5,000", 10_000_000, start_rate=5_000),
    Scenario("a hundred thousand in one minute for one sensor, and no others", 100_000, 1.0, sensors=1),
)


@dataclass(slots=True)
class Step:
    """One step of one engine: its backlog, and its concurrency."""

    name: str
    cap: float
    cap_name: str
    most_workers: float = 1_250.0
    waiting: float = 0.0
    workers: float = 5.0

    def takes(self) -> tuple[float, str]:
        """Return the maximum of this second, and the limit that causes it."""
        if self.name in BY_STREAM:
            workers, bound = float(STREAM_SHARDS) * limits.SHARD.value, limits.SHARD.name
        else:
            workers, bound = min(self.workers, self.most_workers), limits.POLLERS.name
            if workers >= self.most_workers:
                bound = MAX_CONCURRENCY
        by_workers = workers / SECONDS[self.name]
        return (self.cap, self.cap_name) if self.cap < by_workers else (by_workers, bound)

    def scale(self, is_behind: bool) -> None:
        """Scale the pollers with the backlog."""
        self.workers = (
            min(self.most_workers, self.workers + limits.POLLERS.value)
            if is_behind
            else max(5.0, self.workers - 1)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a scenario.

    Attributes:
        waits: the seconds from event to start: the median, the 99th percentile, the longest.
        most_waiting: the longest backlog of all steps together.
        held: the run-seconds of waiting, by limit.
        used: the fraction of each limit in use in the busiest minute.
        ended: the seconds until all status changes were published.
    """

    waits: tuple[float, float, float]
    most_waiting: float
    held: Mapping[str, float]
    used: Mapping[str, float]
    ended: int

    @property
    def first_limit(self) -> str:
        """The limit with the most waiting."""
        name, seconds = max(self.held.items(), key=lambda each: each[1], default=("", 0.0))
        return name if seconds > 60 else "none"


def caps(writes: Mapping[str, int], hottest: float) -> dict[str, tuple[float, str]]:
    """Return the runs a second of each step that one engine's keys allow.

    Args:
        writes: the writes of a run, by table and index.
        hottest: the fraction of the engine's runs that its busiest sensor, and its job, have.
    """
    key = limits.PARTITION_WRITES.value
    per_key = {
        # The base table's key is the sensor; both writes of a tick fall on it.
        "evaluate": min(
            (key / (writes["ticks"] * hottest), "ticks"),
            (PENDING_SHARDS * key / writes["ticks/pending"], "ticks/pending"),
        ),
        "dispatch": min(
            (key / (writes["runs/by_job"] * max(hottest, 1 / JOBS_OF_AN_ENGINE)), "runs/by_job"),
            (key / (writes["runs/by_sensor"] * hottest), "runs/by_sensor"),
        ),
        "launch": (WATCHED_SHARDS * key / writes["runs/watched"], "runs/watched"),
        "record": (
            key / (writes["runs/by_job_end"] * max(hottest, 1 / JOBS_OF_AN_ENGINE)),
            "runs/by_job_end",
        ),
        "publish": (math.inf, ""),
    }
    return {step: (cap, f"write units of a key of {where}") for step, (cap, where) in per_key.items()}


@dataclass(slots=True)
class Simulation:
    """The simulation of a scenario.

    Args:
        scenario: the load.
        writes: the writes of a run, by table and index.
    """

    scenario: Scenario
    writes: Mapping[str, int]
    held: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    busiest: dict[str, float] = field(default_factory=dict)
    arrived: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    bucket: float = limits.START_BUCKET.value

    def run(self) -> Outcome:
        """Simulate each second, until nothing waits."""
        random_numbers = random.Random(SEED)
        engines = [self._engine(number) for number in range(self.scenario.engines)]
        running: list[tuple[float, int, float]] = []
        most, second = 0.0, 0
        while second < LONGEST:
            self._arrive(engines, second, random_numbers)
            self._second(engines, running, second)
            waiting = sum(step.waiting for engine in engines for step in engine.values())
            most, second = max(most, waiting), second + 1
            if second > 3_600 and waiting < 1 and not running:
                break
        return Outcome(self._waits(), most, dict(self.held), self._used(), second)

    def _engine(self, number: int) -> dict[str, Step]:
        sensors = min(self.scenario.of_an_engine, self.scenario.sensors)
        # The busiest of them by Zipf's law; the burst's engine has one that is all of it.
        hottest = 1.0 if self.scenario.burst and number == 0 else 1 / sum(1 / (n + 1) for n in range(sensors))
        most = {name: float(self.scenario.concurrency) for name in BY_PARAMETER}
        return {
            name: Step(name, *cap, most.get(name, 1_250.0))
            for name, cap in caps(self.writes, hottest).items()
        }

    def _arrive(self, engines: list[dict[str, Step]], second: int, numbers: random.Random) -> None:
        total = 0.0
        if second < 3_600:
            mean = self.scenario.events * (1 - self.scenario.burst) / 3_600 / len(engines)
            for engine in engines:
                came = max(0.0, numbers.gauss(mean, math.sqrt(mean)))
                engine["evaluate"].waiting += came
                total += came
        if second < 60:
            came = self.scenario.events * self.scenario.burst / 60
            engines[0]["evaluate"].waiting += came
            total += came
        self.arrived.append(total)

    def _second(
        self, engines: list[dict[str, Step]], running: list[tuple[float, int, float]], second: int
    ) -> None:
        ended: defaultdict[int, float] = defaultdict(float)
        while running and running[0][0] <= second:
            _, number, amount = heapq.heappop(running)
            ended[number] += amount
        plans = [self._plan(engine) for engine in engines]
        bounds = [{name: step.takes()[1] for name, step in engine.items()} for engine in engines]
        self._share(plans, bounds, "launch", self.bucket + self.scenario.start_rate, limits.START_RATE.name)
        used = sum(amount * SECONDS[name] for plan in plans for name, amount in plan.items())
        if used > limits.LAMBDA.value:
            for name in STEPS:
                wanted = sum(plan[name] for plan in plans)
                self._share(plans, bounds, name, wanted * limits.LAMBDA.value / used, limits.LAMBDA.name)
        done = {name: sum(plan[name] for plan in plans) for name in STEPS}
        self.bucket = min(self.bucket + self.scenario.start_rate - done["launch"], limits.START_BUCKET.value)
        for number, (engine, plan, bound) in enumerate(zip(engines, plans, bounds, strict=True)):
            for name, step in engine.items():
                self.held[bound[name]] += step.waiting - plan[name]
            self._move(engine, plan, ended[number])
            if plan["launch"]:
                heapq.heappush(running, (second + JOB_SECONDS, number, plan["launch"]))
        self.started.append(done["launch"])
        self._note_use(done, used)

    @staticmethod
    def _plan(engine: Mapping[str, Step]) -> dict[str, float]:
        plan = {}
        for name, step in engine.items():
            most, _ = step.takes()
            plan[name] = min(step.waiting, most)
            step.scale(step.waiting > most)
        return plan

    @staticmethod
    def _share(
        plans: list[dict[str, float]], bounds: list[dict[str, str]], step: str, most: float, limit: str
    ) -> None:
        """Reduce all engines' plans proportionally to a limit of the account."""
        wanted = sum(plan[step] for plan in plans)
        if wanted > most:
            for plan, bound in zip(plans, bounds, strict=True):
                plan[step] *= most / wanted
                bound[step] = limit

    @staticmethod
    def _move(engine: Mapping[str, Step], plan: Mapping[str, float], ended: float) -> None:
        for name, amount in plan.items():
            engine[name].waiting -= amount
        engine["dispatch"].waiting += plan["evaluate"]
        engine["launch"].waiting += plan["dispatch"]
        engine["record"].waiting += ended
        engine["publish"].waiting += plan["record"]

    def _note_use(self, done: Mapping[str, float], used: float) -> None:
        deliveries = done["evaluate"] + done["record"] + BUS_EVENTS_OF_A_RUN * done["publish"]
        shares = {
            limits.START_RATE.name: done["launch"] / self.scenario.start_rate,
            limits.LAMBDA.name: used / limits.LAMBDA.value,
            limits.BUS_DELIVERIES.name: deliveries / limits.BUS_DELIVERIES.value,
            limits.PUT_EVENTS.name: done["publish"] * BUS_EVENTS_OF_A_RUN / 10 / limits.PUT_EVENTS.value,
            limits.SCHEDULES.name: self.scenario.sensors / 60 / limits.SCHEDULES.value,
        }
        for name, share in shares.items():
            # A running mean of a minute: what lasts counts, not a second.
            before = self.busiest.get(f"now {name}", 0.0)
            self.busiest[f"now {name}"] = before + (share - before) / 60
            self.busiest[name] = max(self.busiest.get(name, 0.0), self.busiest[f"now {name}"])

    def _used(self) -> dict[str, float]:
        return {name: share for name, share in self.busiest.items() if not name.startswith("now ")}

    def _waits(self) -> tuple[float, float, float]:
        came, left = list(accumulate(self.arrived)), list(accumulate(self.started))
        total = came[-1]

        def wait(part: float) -> float:
            amount = total * part
            return bisect_left(left, amount * (1 - 1e-9)) - bisect_left(came, amount)

        waits = sorted(wait(number / 1_000) for number in range(1, 1_000))
        least = sum(SECONDS[name] for name in ("evaluate", "dispatch", "launch")) + 1.5
        return (waits[499] + least, waits[989] + least, waits[-1] + least)


def span(seconds: float) -> str:
    """Format seconds, or minutes if there are many."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def page(writes: Mapping[str, int]) -> str:
    """Simulate all scenarios, and return the page."""
    results = [(each, Simulation(each, writes).run()) for each in SCENARIOS]
    lines = [
        "# Scale",
        "",
        "`python -m benchmarks.scale --write` runs this simulation, second by second, and writes this page.",
        "Limits are the services' defaults; the writes of a run are counted on the engine's own code;",
        "the duration of each step is assumed. No AWS service was called.",
        "",
        f"A thousand sensors on 25 engines, {SENSORS_OF_AN_ENGINE} with {JOBS_OF_AN_ENGINE} jobs on each, or all on one; in any number of projects;",
        "all engines in one account and Region, with `MaxConcurrency` of 1,000 unless the row says otherwise;",
        f"each event starts a run of a Step Functions job that takes {JOB_SECONDS:.0f} s.",
        "",
        "| load | engines | from event to start: median | 99 % | longest | longest backlog | first bottleneck |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for scenario, found in results:
        median, most, longest = map(span, found.waits)
        lines.append(
            f"| {scenario.name} | {scenario.engines} | {median} | {most} | {longest} | {found.most_waiting:,.0f} | {found.first_limit} |"
        )
    lines += [
        "",
        "Nothing is lost in any of them: waiting work is in a queue, a stream, or a record with `next_at`.",
        "",
    ]
    lines += _use(results)
    lines += _history(writes)
    lines += _room()
    lines += [*deployed_section(PAGE.read_text()), ""]
    lines += [
        LIMITS_HEADING,
        "",
        "| limit | value | source | checked | behavior at the limit |",
    ]
    lines += ["| --- | ---: | --- | --- | --- |"]
    lines += [
        f"| {each.name} | {each.value:,g} | {each.source} | {each.checked} | {each.answer} |"
        for each in limits.LIMITS
    ]
    return "\n".join(lines) + "\n"


def _use(results: list[tuple[Scenario, Outcome]]) -> list[str]:
    names = list(results[0][1].used)
    lines = ["## Use of each limit in the busiest minute", "", f"| load | {' | '.join(names)} |"]
    lines.append("| --- |" + " ---: |" * len(names))
    lines += [
        f"| {scenario.name} | {' | '.join(f'{100 * found.used[name]:.0f} %' for name in names)} |"
        for scenario, found in results
    ]
    return [*lines, ""]


def _history(writes: Mapping[str, int]) -> list[str]:
    """Return the section about a hundred million claimed keys."""
    counted = ", ".join(f"{name} {count}" for name, count in sorted(writes.items()))
    return [
        "## Writes of a run, and the cost of history",
        "",
        f"One object, from its event to the recorded end of its run: {counted}.",
        "So one engine's keys allow, per second:",
        "",
        "| step | runs | bounded by |",
        "| --- | ---: | --- |",
        *(
            f"| {step} | {cap:,.0f} | {where} |"
            for step, (cap, where) in caps(writes, 0.25).items()
            if cap < math.inf
        ),
        "",
        "if one sensor and its job have a quarter of the engine's runs.",
        "",
        "10^8 claimed keys are about 100 GB of run records: ten partitions or more by size alone, so a table with a history takes more writes, not fewer.",
        "No step reads or writes more because of them: a key is read by name, and the indexes that RECONCILE reads contain only unfinished work.",
        "Keeping them costs $25 a month.",
        "",
    ]


def _room() -> list[str]:
    """Return the section about the limits of a project's stack, and of all projects of an engine."""
    return [
        "## What fits into a project's stack",
        "",
        "Counted on the shipped template with further blocks, for names of stack and engine of 32 characters.",
        "`treadle new` measures the same, and refuses to exceed a limit.",
        "",
        "| a sensor over …, and its own job | resources | fit in addition to the shipped ones | first limit reached |",
        "| --- | ---: | ---: | --- |",
        *(f"| {each.what} | {each.resources} | {each.more} | {each.limit} |" for each in fits()),
        "",
        "Any number of projects use one engine, whose stack is the same size whatever they register. They share:",
        "",
        "- 300 rules on the engine's bus, one for each run status or asset sensor;",
        "- 300 rules on the account's default bus, one for each S3 sensor, of which 30 may have wildcards;",
        "- one item of 400 KB with the copy of the registry, compressed: about 2,000 jobs with ARNs of 80 characters.",
        "",
    ]


def deployed_section(text: str) -> list[str]:
    """Return the lines of the page that other programs and people have written.

    Args:
        text: the page.
    """
    _, heading, rest = text.partition(DEPLOYED_HEADING)
    return (heading + rest.partition(LIMITS_HEADING)[0]).rstrip().splitlines()


def with_deployed(text: str, table: str) -> str:
    """Return the page with another output of `make large`.

    Args:
        text: the page.
        table: the output.
    """
    section = f"{DEPLOYED_HEADING}\n\n{_DEPLOYED}\n```text\n{table}\n```\n"
    before, _, rest = text.partition(DEPLOYED_HEADING)
    _, heading, after = rest.partition("\n## ")
    return before + section + heading + after


def main() -> int:
    """Simulate, print, and optionally write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/scale.md")
    text = page(run_of_an_event())
    if parser.parse_args().write:
        PAGE.write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    run_tool(main)
