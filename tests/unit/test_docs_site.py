"""The site's links: what leads out of docs/ in the repository leads to a page of the site."""

import re
from pathlib import Path

import pytest

from tools.docs_site import ROOT, ROOT_PAGES, links, repository_path, rewrite, site_path


@pytest.mark.parametrize(
    ("of", "link", "expected"),
    [
        ("docs/index.md", "operations.md", "operations.md"),
        ("docs/index.md", "../CHANGELOG.md", "changelog.md"),
        ("docs/guide/upgrade.md", "../../CHANGELOG.md#unreleased", "../changelog.md#unreleased"),
        ("docs/guide/upgrade.md", "../operations.md#metrics", "../operations.md#metrics"),
        ("docs/architecture.md", "../engine/template.yaml", "source/engine/template.yaml.md"),
        ("docs/reference/jobs.md", "../../template.yaml", "../source/template.yaml.md"),
        ("CHANGELOG.md", "docs/guide/upgrade.md#notes", "guide/upgrade.md#notes"),
        ("README.md", "LICENSE", "source/LICENSE.md"),
    ],
)
def test_link_leads_to_the_page_of_the_site(of: str, link: str, expected: str) -> None:
    assert rewrite(f"see [it]({link}).", of) == f"see [it]({expected})."


@pytest.mark.parametrize("link", ["https://example.com/a", "#a-heading", "nowhere.txt", "../tests"])
def test_link_that_leads_to_no_file_stays_for_mkdocs_to_judge(link: str) -> None:
    assert rewrite(f"[it]({link})", "docs/index.md") == f"[it]({link})"


def test_blocks_of_code_are_left_alone() -> None:
    text = "[a](../README.md)\n\n```text\n[a](../README.md)\n```\n\n[a](../README.md)\n"

    assert rewrite(text, "docs/index.md") == text.replace("[a](../README.md)", "[a](readme.md)", 1)[
        : -len("[a](../README.md)\n")
    ] + ("[a](readme.md)\n")


def test_links_are_listed_by_their_paths_in_the_repository() -> None:
    assert links("[a](../template.yaml) [b](cost.md#x) [c](https://x.y/z)", "docs/index.md") == [
        "template.yaml",
        "docs/cost.md",
    ]


@pytest.mark.parametrize("path", ROOT_PAGES)
def test_pages_at_the_root_are_there_and_lead_back(path: str) -> None:
    place = site_path(path)

    assert (ROOT / path).is_file()
    assert place is not None
    assert repository_path(place) == path


def test_every_page_is_in_the_navigation_but_decisions() -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    expected = {page for page in pages if not page.startswith("decisions/0")}

    assert listed == expected | set(ROOT_PAGES.values()) - {"readme.md"}


def test_the_makefile_builds_it_strictly() -> None:
    makefile = Path(ROOT / "Makefile").read_text()

    assert "mkdocs build --strict" in makefile
    assert re.search(r"^test: .*\bdocs\b", makefile, flags=re.MULTILINE)
