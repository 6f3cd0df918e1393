"""What `make docs` adds to MkDocs: links that lead out of docs/ work in the site as they do in the repository.

Pages at the repository's root, such as CHANGELOG.md, become pages of the site; any other file that a page links to
becomes a page that shows its text. MkDocs calls the functions by their names.
"""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

ROOT_PAGES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages at the repository's root, with their places in the site."""

_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", flags=re.MULTILINE | re.DOTALL)


def repository_path(site_path: str) -> str:
    """Name the file in the repository that a page of the site is made of.

    Args:
        site_path: the page's source, relative to docs/.
    """
    for path, place in ROOT_PAGES.items():
        if place == site_path:
            return path
    return f"docs/{site_path}"


def site_path(path: str) -> str | None:
    """Name the source in the site of a file in the repository; None if there is no such file.

    Args:
        path: relative to the repository's root.
    """
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md" if (ROOT / path).is_file() else None


def links(text: str, of: str) -> list[str]:
    """List the files in the repository that a page links to.

    Args:
        text: the page.
        of: its path in the repository.
    """
    return [
        normpath(str(PurePosixPath(of).parent / found["target"]))
        for found in _LINK.finditer(_FENCE.sub("", text))
    ]


def rewrite(text: str, of: str) -> str:
    """Replace a page's links by links within the site. What leads nowhere stays, and MkDocs reports it.

    Args:
        text: the page.
        of: its path in the repository.
    """
    here = PurePosixPath(site_path(of) or of).parent

    def replaced(found: re.Match[str]) -> str:
        target = site_path(normpath(str(PurePosixPath(of).parent / found["target"])))
        return found[0] if target is None else relpath(target, here) + (found["anchor"] or "")

    pieces, end = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [_LINK.sub(replaced, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(replaced, text[end:])])


def shown(path: str) -> str:
    """Make a page that shows a file of the repository.

    Args:
        path: relative to the repository's root.
    """
    text = (ROOT / path).read_text()
    language = {".py": "python", ".yaml": "yaml", ".toml": "toml"}.get(Path(path).suffix, "text")
    return f"---\nsearch: {{ exclude: true }}\n---\n\n# {path}\n\n````{language}\n{text}````\n"


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages from outside docs/, and what they and the others link to."""
    from mkdocs.structure.files import File

    pages = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    pages |= {path: (ROOT / path).read_text() for path in ROOT_PAGES}
    for path, place in ROOT_PAGES.items():
        files.append(File.generated(config, place, content=pages[path]))
    for path in sorted({path for of, text in pages.items() for path in links(text, of)}):
        target = site_path(path)
        if target is not None and target.startswith("source/"):
            files.append(File.generated(config, target, content=shown(path)))
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Let a page's links lead to pages of the site."""
    del config, files
    uri = page.file.src_uri
    return markdown if uri.startswith("source/") else rewrite(markdown, repository_path(uri))
