"""Public content: the page, the sign-in settings and the API's description; the headers of all responses."""

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"

TEXTS = ("text/", "application/json", "image/svg+xml")
"""Content types that are sent as text; everything else is bytes."""


@dataclass(frozen=True, slots=True)
class Page:
    """A file of the page.

    Attributes:
        kind: its content type.
        content: its content.
        is_kept: whether browsers may cache it indefinitely: its address changes with its content.
    """

    kind: str
    content: str | bytes
    is_kept: bool = False


def pages(folder: Path = STATIC) -> Mapping[str, Page]:
    """Return the files of the page, by address; no other path exists.

    Args:
        folder: contains the files; index.html is served at /, all others at /static and a digest of all of
            them.
    """
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    contents = {name: path.read_bytes() for name, path in files.items()}
    digest = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:16]
    return dict(_pages(contents, f"static/{digest}/"))


def _pages(contents: Mapping[str, bytes], below: str) -> Iterator[tuple[str, Page]]:
    for name, content in contents.items():
        kind = mimetypes.guess_type(name)[0] or "text/plain"
        if not kind.startswith(TEXTS):
            yield f"/{below}{name}", Page(kind, content, is_kept=True)
            continue
        kind, text = f"{kind}; charset=utf-8", content.decode()
        if name == "index.html":
            yield "/", Page(kind, text.replace('="static/', f'="{below}'))
        else:
            yield f"/{below}{name}", Page(kind, text, is_kept=True)


def security_headers(origins: tuple[str, ...]) -> Mapping[str, str]:
    """Return the headers of every response: no inline scripts, no other origins, no framing, no caching.

    A response that may be cached overrides the last.

    Args:
        origins: other origins that the page connects to for sign-in.
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": " ".join(("'self'", *origins)),
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
