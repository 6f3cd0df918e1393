"""Scenarios of concurrency pools, each with what makes it difficult."""

from tests.faults.injection import LISTED, TOKEN_FOR_AN_HOUR
from tests.faults.pool_simulation import PoolScenario, requested
from tests.faults.simulated_aws import TargetFaults
from treadle.testing.pools import Pool

ONE = (Pool("p", 2, jobs=["load"]),)

ORDERED = PoolScenario(
    ONE,
    (
        (0, requested("a b") + requested("low", dagster__priority="-1") + requested("c")),
        (1, requested("high", dagster__priority="5") + requested("outside", "clean")),
    ),
)
"""Runs with priorities wait for a pool, beside one that is in no pool."""

RETRIED = PoolScenario(
    ONE,
    ((0, requested("flaky", dagster__max_retries="2") + requested("a b failing canceled")),),
    ((3, ("cancel", "canceled")), (30, ("rerun", "failing"))),
    TargetFaults(failing=frozenset({"failing"}), flaky=frozenset({"flaky"})),
)
"""A run fails twice and is retried, a run that waits is canceled, and a run that failed is rerun."""

SEVERAL = PoolScenario(
    (
        Pool("big", 2, jobs=["load", "clean"]),
        Pool("small", 1, jobs=["clean"]),
        Pool("customer", 1, tag="customer", per_value=True),
    ),
    (
        (0, requested("c1 c2", "clean") + requested("l1", customer="acme")),
        (1, requested("l2", customer="acme", dagster__priority="9") + requested("c3", "clean", customer="b")),
        (2, requested("l3") + requested("l4", customer="b")),
    ),
)
"""Each run needs slots of several pools, with limits of their own."""

LIMITED = PoolScenario(
    (Pool("p", 3, jobs=["load"]), Pool("q", 1, jobs=["clean"])),
    ((0, requested("a b c d e") + requested("x y z", "clean")), (7, requested("f"))),
    (
        (1, ("limit", "p", 1)),
        (6, ("limit", "p", 0)),
        (12, ("limit", "p", 2)),
        (13, ("declare", (Pool("p", 3, jobs=["load"]),), ())),
        (14, ("limit", "p", None)),
    ),
)
"""An operator lowers a limit below the number of runs in progress, to none, raises and removes it; a pool is removed."""

JOINED = PoolScenario(
    (Pool("p", 2, jobs=["load"]),),
    ((0, requested("a") + requested("x y z", "clean")), (1, requested("w", "clean")), (3, requested("b c"))),
    ((1, ("declare", (Pool("p", 2, jobs=["load", "clean"]),), ("p",))), (9, ("limit", "p", 3))),
)
"""A job joins a pool while more of its runs are in progress than the pool has slots."""

REDRIVEN = PoolScenario(
    ONE,
    ((0, requested("failing")), (6, requested("a b c d"))),
    ((8, ("redrive", "failing")),),
    TargetFaults(failing=frozenset({"failing"})),
)
"""A run that has ended goes on, without a slot, after an operator has redriven it at the target."""

UNREPORTED = PoolScenario(
    ONE,
    ((0, requested("silent late a b c d")),),
    target_faults=TargetFaults(
        silent=frozenset({"silent"}),
        late=frozenset({"late"}),
        unanswered=frozenset({"a"}),
        busy=frozenset({"b"}),
    ),
)
"""The end of a run is not reported, another one's start is reported after its end, and starts are not answered."""

LOST = PoolScenario(ONE, ((0, requested("a b c")), (4, requested("d"))), loses=frozenset({"launch", "grant"}))
"""The first message of each run and of each pool is lost."""

UNSURE = PoolScenario(
    ONE,
    ((0, requested("unsure a b")), (80, requested("c d e"))),
    contract=TOKEN_FOR_AN_HOUR,
    unsure=frozenset({"unsure"}),
)
"""It is never known whether a run was started, which it was: its slot is in doubt until its end is reported."""

DOUBTED = PoolScenario(
    (Pool("p", 1, jobs=["load"]),),
    ((0, requested("unsure", "clean")), (90, requested("a b", "clean") + requested("c"))),
    ((80, ("declare", (Pool("p", 1, jobs=["load", "clean"]),), ("p",))),),
    contract=TOKEN_FOR_AN_HOUR,
    unsure=frozenset({"unsure"}),
)
"""A job joins a pool after it was concluded that a run of it has ended, which is in progress."""

UNFOUND = PoolScenario(
    ONE,
    ((0, requested("lost found a b")),),
    target_faults=TargetFaults(swallowed=frozenset({"lost"}), unanswered=frozenset({"found"})),
    contract=LISTED,
)
"""The target has no tokens, and only lists what it was asked to start."""

RATED = PoolScenario(
    (Pool("rate", jobs=["load"], starts_per_minute=2), Pool("p", 3, jobs=["load", "clean"])),
    (
        (0, requested("flaky", dagster__max_retries="1") + requested("a b c d")),
        (1, requested("high", dagster__priority="5") + requested("x", "clean")),
        (9, requested("e f")),
    ),
    ((2, ("limit", "starts:rate", 1)), (6, ("limit", "starts:rate", 0)), (8, ("limit", "starts:rate", None))),
    TargetFaults(flaky=frozenset({"flaky"}), busy=frozenset({"b"})),
)
"""Two runs may start per minute, of a pool that limits the runs in progress as well; the number is lowered and reset."""

_OTHER = Pool("q", 1, jobs=["clean"])
TURNS = PoolScenario(
    (Pool("p", 3, jobs=["load", "clean"]), _OTHER),
    (
        (0, requested("a1 a2 a3 a4", customer="acme") + requested("b1 b2", customer="b")),
        (3, requested("a5 a6", customer="acme") + requested("c1", customer="c") + requested("none")),
        (
            4,
            requested("high", customer="acme", dagster__priority="5") + requested("x", "clean", customer="b"),
        ),
    ),
    (
        (2, ("declare", (Pool("p", 3, jobs=["load", "clean"], turns_by="customer"), _OTHER), ())),
        (12, ("declare", (Pool("p", 3, jobs=["load", "clean"]), _OTHER), ())),
    ),
)
"""Runs of several customers take turns, beside runs that have waited since before that, and a pool without turns."""

STEADY = PoolScenario(
    (Pool("rate", jobs=["load"], starts_per_minute=2),), ((0, requested("a b c d e f g h")),)
)
"""Two runs may start per minute, and nothing else limits them."""

PAIRED = PoolScenario((Pool("p", 1, jobs=["load"]),), ((0, requested("a b")),))
"""One of two runs waits: small enough for two faults."""

OVERLAPPED = ((0, requested("a b")), (3, requested("c")), (4, requested("d e")), (20, requested("f")))

SKIPPED = PoolScenario((Pool("job:load", 1, overlap="SKIP"),), OVERLAPPED)
"""Runs are requested while another one is in progress, and end at once."""

LATEST = PoolScenario(
    (Pool("job:load", 1, overlap="LATEST"),),
    ((0, requested("failing", dagster__max_retries="1")), (4, requested("a b")), (6, requested("c"))),
    ((7, ("rerun", "a")),),
    TargetFaults(failing=frozenset({"failing"})),
)
"""Runs are requested while another one is in progress, which fails and is retried; the one that waits is replaced twice."""

CANCELED = PoolScenario((Pool("job:load", 1, overlap="CANCEL"), Pool("all", 1, all_jobs=True)), OVERLAPPED)
"""Runs are requested while another one is in progress, which is canceled; they are in another pool too."""

SCENARIOS = {
    "ordered": ORDERED,
    "retried": RETRIED,
    "several": SEVERAL,
    "limited": LIMITED,
    "joined": JOINED,
    "redriven": REDRIVEN,
    "unreported": UNREPORTED,
    "lost": LOST,
    "unsure": UNSURE,
    "doubted": DOUBTED,
    "unfound": UNFOUND,
    "rated": RATED,
    "turns": TURNS,
    "skipped": SKIPPED,
    "latest": LATEST,
    "canceled": CANCELED,
}
