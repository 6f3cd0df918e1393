"""The page's pure modules, called in the browser: formatted values, differences, the layout, the timeline's marks."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.console import MemoryStack, console_of, served
from treadle.console.pages import pages
from treadle.testing.instance import TreadleInstance

[MARK] = [address for address in pages() if address.endswith("/mark.svg")]
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """A page of the console's origin, which may import its modules."""
    with served(console_of(MemoryStack(TreadleInstance([])))) as server:
        page = browser.new_page(locale="en-GB")
        page.goto(server.address.rstrip("/") + MARK)
        yield page
        page.close()


def call(page: Page, module: str, function: str, *given: Any) -> Any:
    """Return the result of a module's function."""
    return page.evaluate(
        "async ([module, name, given]) => (await import(new URL(`${module}.js`, location.href)))[name](...given)",
        [module, function, list(given)],
    )


@pytest.mark.parametrize(
    ("ms", "message"),
    [
        (None, "\N{EN DASH}"),
        (-5, "0 ms"),
        (850, "850 ms"),
        (4 * SECOND, "4 s"),
        (4_200, "4.2 s"),
        (59_900, "59 s"),
        (3 * MINUTE + 20 * SECOND, "3 min 20 s"),
        (20 * MINUTE + 20 * SECOND, "20 min"),
        (2 * HOUR + 5 * MINUTE, "2 h 5 min"),
        (3 * DAY, "3 d"),
    ],
)
def test_a_length_of_time_is_short_and_rounded_down(modules: Page, ms: int | None, message: str) -> None:
    assert call(modules, "format", "duration", ms) == message


@pytest.mark.parametrize(
    ("cursor", "shown"),
    [
        (None, "none"),
        ("", "(empty text)"),
        ("plain text", "plain text"),
        ("2026-11-28", "2026-11-28"),
        (
            '{"__class__": "C", "record_id": 1234, "update_timestamp": "x", "offset": 0, "etag": null}',
            "record_id=1234, update_timestamp=x",
        ),
        ('{"nested": {"a": [1]}}', 'nested={"a":[1]}'),
        ('{"offset": 0}', '{"offset": 0}'),
        ("[1, 2]", "[1, 2]"),
        ('{"broken', '{"broken'),
    ],
)
def test_a_cursor_is_shown_by_what_says_something(modules: Page, cursor: str | None, shown: str) -> None:
    assert call(modules, "format", "minimalCursor", cursor) == shown


def test_a_difference_holds_both_texts(modules: Page) -> None:
    chance = random.Random(4)
    for _ in range(50):
        before, after = ("\n".join(chance.choices("abcd", k=chance.randrange(1, 12))) for _ in range(2))
        lines = call(modules, "format", "difference", before, after)
        assert "\n".join(line["text"] for line in lines if line["sign"] != "+") == before
        assert "\n".join(line["text"] for line in lines if line["sign"] != "-") == after


def test_a_difference_of_equal_texts_is_none(modules: Page) -> None:
    assert {line["sign"] for line in call(modules, "format", "difference", "a\nb", "a\nb")} == {" "}


@pytest.mark.parametrize(
    "text", ["/", "a/b?c=d#e", "%2F", "<img src=x onerror=alert(1)>", "ä\u2028😀", "=&", ".."]
)
def test_an_address_gives_back_what_it_was_made_of(modules: Page, text: str) -> None:
    made = call(modules, "router", "address", ["sensors", text], {"key": text})

    assert call(modules, "router", "route", made) == {"parts": ["sensors", text], "query": {"key": text}}


def test_a_broken_address_is_taken_as_it_is(modules: Page) -> None:
    assert call(modules, "router", "route", "#/runs/%E0%A4%A")["parts"] == ["runs", "%E0%A4%A"]


def graph(chance: random.Random) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return any graph, circles and unknown nodes among it."""
    names = [f"n{number}" for number in range(chance.randrange(1, 15))]
    ends = [*names, "nobody"]
    edges = [{"from": chance.choice(ends), "to": chance.choice(ends)} for _ in range(chance.randrange(25))]
    unique = {(edge["from"], edge["to"]): edge for edge in edges}
    return [{"id": name} for name in names], list(unique.values())


LAYOUT = """async ([nodes, edges]) => {
  const {layered} = await import(new URL('layout.js', location.href));
  const {place, paths, layers, rows} = layered(nodes, edges);
  return {layers, rows, place: nodes.map(({id}) => [id, place.get(id)]), paths};
}"""


def test_a_map_has_a_place_of_its_own_for_each_node_and_leads_to_the_right(modules: Page) -> None:
    chance = random.Random(7)
    for _ in range(60):
        nodes, edges = graph(chance)
        found = modules.evaluate(LAYOUT, [nodes, edges])
        place = dict(found["place"])
        assert len({(at["layer"], at["row"]) for at in place.values()}) == len(nodes)
        assert all(0 <= at["layer"] < found["layers"] for at in place.values())
        assert all(0 <= at["row"] <= found["rows"] - 1 for at in place.values())
        known = [e for e in edges if {e["from"], e["to"]} <= place.keys() and e["from"] != e["to"]]
        assert [path["edge"] for path in found["paths"]] == known
        ahead = [place[e["from"]]["layer"] < place[e["to"]]["layer"] for e in known]
        if not all(ahead):
            assert has_circle(known)


def has_circle(edges: list[dict[str, str]]) -> bool:
    """Return whether the graph has a cycle."""
    left = list(edges)
    while left:
        entered = {edge["to"] for edge in left}
        kept = [edge for edge in left if edge["from"] in entered]
        if len(kept) == len(left):
            return True
        left = kept
    return False


def test_an_edge_over_several_layers_passes_no_node(modules: Page) -> None:
    nodes = [{"id": name} for name in "abcd"]
    edges = [{"from": a, "to": b} for a, b in ("ab", "bc", "ac", "ad")]

    found = modules.evaluate(LAYOUT, [nodes, edges])

    [bends] = [path["bends"] for path in found["paths"] if path["edge"] == {"from": "a", "to": "c"}]
    places = [at for _, at in found["place"]]
    assert len(bends) == 1
    assert bends[0] not in places


def tick(number: int, status: str, time: int, last: int | None = None) -> dict[str, Any]:
    return {"tick_id": f"t{number}", "status": status, "time": time, "last_time": last, "skips": 1}


def test_every_tick_of_the_time_shown_is_in_one_mark(modules: Page) -> None:
    chance = random.Random(9)
    for _ in range(30):
        statuses = chance.choices(["SUCCESS", "SKIPPED", "FAILURE"], k=chance.randrange(200))
        ticks = [tick(n, status, chance.randrange(HOUR)) for n, status in enumerate(statuses)]
        marks = call(modules, "timeline", "marksOf", ticks, [0, HOUR], 900)
        assert sorted(each["tick_id"] for mark in marks for each in mark["ticks"]) == sorted(
            each["tick_id"] for each in ticks
        )
        assert all({each["status"] for each in mark["ticks"]} == {mark["status"]} for mark in marks)


def test_marks_of_one_lane_overlap_by_no_pixel(modules: Page) -> None:
    ticks = [tick(n, "SUCCESS", n * MINUTE) for n in range(60)]

    marks = call(modules, "timeline", "marksOf", ticks, [0, HOUR], 700)

    assert len(marks) > 5
    for before, after in itertools.pairwise(marks):
        assert before["right"] <= after["left"]


def test_a_streak_of_skips_is_a_bar_from_its_first_to_its_last(modules: Page) -> None:
    [mark] = call(
        modules, "timeline", "marksOf", [tick(0, "SKIPPED", 10 * MINUTE, 40 * MINUTE)], [0, HOUR], 900
    )

    assert mark["end"] - mark["x"] == pytest.approx((900 - 78 - 14) / 2, abs=1)


def test_ticks_of_another_time_are_not_shown(modules: Page) -> None:
    ticks = [tick(0, "SUCCESS", -1), tick(1, "SUCCESS", HOUR + 1), tick(2, "SKIPPED", -MINUTE, MINUTE)]

    [mark] = call(modules, "timeline", "marksOf", ticks, [0, HOUR], 900)

    assert mark["ticks"][0]["tick_id"] == "t2"


@pytest.mark.parametrize(
    ("text", "is_moment"),
    [
        ("s3://bucket/key", False),
        ("0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11", False),
        ("2026-11-28T03:00:00Z", True),
        ("2026-11-28 03:00", True),
        ("2h", True),
        ("order-7", False),
        ("bucket/2026-11-28T03:00:00Z.csv", False),
    ],
)
def test_a_time_is_found_out_from_its_form(modules: Page, text: str, is_moment: bool) -> None:
    assert call(modules, "pages/search", "isMoment", text) is is_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-28T03:00:00Z", "2026-11-28T03:00:00Z"),
        ("2026-11-28T03:00:00+05:30", "2026-11-28T03:00:00+05:30"),
        ("2h", "2h"),
        ("2026-11-28 03:00", "2026-11-27T21:30:00.000Z"),
    ],
)
def test_a_time_without_a_zone_is_the_viewers_own(browser: Browser, text: str, moment: str) -> None:
    with served(console_of(MemoryStack(TreadleInstance([])))) as server:
        page = browser.new_page(timezone_id="Asia/Kolkata")
        page.goto(server.address.rstrip("/") + MARK)
        assert call(page, "pages/why", "momentOf", text) == moment
        page.close()
