"""What is open to everybody: the page, how to sign in, and the API's description; and every answer's headers."""

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"

TEXTS = ("text/", "application/json", "image/svg+xml")
"""Types that are sent as text; everything else is bytes."""


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent.

    Attributes:
        kind: its content type.
        content: the file.
        is_kept: whether a browser may keep it for ever: its address is another one when it changes.
    """

    kind: str
    content: str | bytes
    is_kept: bool = False


def pages(folder: Path = STATIC) -> Mapping[str, Page]:
    """By address, each file of the page. What is not among them is not there, wherever it leads.

    Args:
        folder: where they are; its index.html is at /, all others are below /static and a digest of them all.
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
    """What every answer bears: nothing inline, nothing from elsewhere, in nobody's frame, and kept nowhere.

    An answer that may be kept says so itself.

    Args:
        origins: where else the page has to connect to sign in.
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
