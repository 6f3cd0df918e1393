"""The console's page as files: nothing inline, nothing from elsewhere, no markup made from what is shown."""

import graphlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from treadle.console.pages import STATIC, pages
from treadle.model.deployment import BATCH_KINDS

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".tools" / "console" / "node_modules"
VENDORED = STATIC / "vendor" / "htm-preact.js"
OURS = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)
STYLES = sorted(STATIC.rglob("*.css"))


def named(path: Path) -> str:
    return path.relative_to(STATIC).as_posix()


class Tags(HTMLParser):
    """Collects the tags of a page, with what is in scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"} and data.strip():
            self.inline.append(data)


@pytest.fixture(scope="module")
def page() -> Tags:
    tags = Tags()
    tags.feed((STATIC / "index.html").read_text())
    return tags


def test_the_library_is_the_one_that_the_lock_names() -> None:
    """`npm ci` has checked what it installed against the lock's digest; the copy is that, byte for byte."""
    assert VENDORED.read_bytes() == (INSTALLED / "htm" / "preact" / "standalone.module.js").read_bytes()
    licence = (INSTALLED / "htm" / "LICENSE").read_bytes()
    assert (VENDORED.parent / "LICENSE-htm").read_bytes() == licence


def test_the_page_has_no_inline_code_and_no_inline_style(page: Tags) -> None:
    assert page.inline == []
    attributes = [(tag, name) for tag, given in page.tags for name in given]
    assert [each for each in attributes if each[1] == "style" or each[1].startswith("on")] == []


def test_the_page_loads_what_is_there_and_nothing_from_elsewhere(page: Tags) -> None:
    addresses = [given[name] for _, given in page.tags for name in ("src", "href") if name in given]

    assert addresses
    for address in addresses:
        assert address is not None
        assert address.startswith("static/")
        assert (STATIC / address.removeprefix("static/")).is_file()


def test_the_page_requests_addresses_that_are_there(tmp_path: Path) -> None:
    """And for others once anything of it has changed: what a browser has kept is never of another version."""
    before = pages()
    copy = shutil.copytree(STATIC, tmp_path / "static")
    (copy / "api.js").write_text("// Another version.")

    after = pages(copy)

    for found in (before, after):
        referenced = {
            f"/{address}" for address in re.findall(r'(?:src|href)="([^"]+)"', str(found["/"].content))
        }
        assert referenced < found.keys()
        assert {page.is_kept for address, page in found.items() if address != "/"} == {True}
        assert not found["/"].is_kept
    assert before.keys() & after.keys() == {"/"}


def test_every_module_is_requested_at_once(page: Tags) -> None:
    """Else the browser learns of each only from the one before, one round trip after the other."""
    preloaded = [given["href"] for tag, given in page.tags if given.get("rel") == "modulepreload"]

    others = [path for path in [*OURS, VENDORED] if path.name != "main.js"]
    assert sorted(map(str, preloaded)) == sorted(f"static/{named(path)}" for path in others)


@pytest.mark.parametrize("path", OURS, ids=named)
def test_a_module_makes_no_markup_and_no_code_from_texts(path: Path) -> None:
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|srcdoc|"
        r"\beval\b|\bFunction\(|setTimeout\(['\"`]|javascript:|DOMParser|createContextualFragment"
    )
    assert re.findall(forbidden, path.read_text()) == []


@pytest.mark.parametrize("path", [*OURS, *STYLES], ids=named)
def test_a_file_of_the_page_names_no_address_elsewhere(path: Path) -> None:
    addresses = re.findall(r"https?:[^\s'\"`)]+|\burl\([^#]|@import", path.read_text())

    assert [each for each in addresses if not each.startswith("http://www.w3.org/")] == []


@pytest.mark.parametrize("path", OURS, ids=named)
def test_a_module_says_what_it_is_for_and_stays_small(path: Path) -> None:
    lines = path.read_text().splitlines()

    assert lines[0].startswith("// ")
    assert len(lines) <= 400


@pytest.mark.parametrize("path", OURS, ids=named)
def test_a_module_has_no_long_lines(path: Path) -> None:
    """Prettier breaks no line of a template."""
    assert [line for line in path.read_text().splitlines() if len(line) > 120] == []


def test_modules_do_not_import_each_other_in_a_cycle() -> None:
    imported = {path: {(path.parent / source).resolve() for source in sources(path)} for path in OURS}

    order = list(graphlib.TopologicalSorter(imported).static_order())

    assert set(order) == {*OURS, VENDORED}


def sources(path: Path) -> list[str]:
    """Return what a module imports from."""
    return re.findall(r"^(?:import .*?|\} )from '([^']+)';$", path.read_text(), flags=re.MULTILINE)


def test_page_shows_the_batches_of_each_kind_that_may_have_them() -> None:
    [kinds] = re.findall(r"const KINDS = \[(.*)\];", (STATIC / "pages" / "batches.js").read_text())

    assert set(re.findall(r"'(\w+)'", kinds)) == BATCH_KINDS
