"""What is open to everybody: the page, how to sign in, and the API's description; and every answer's headers."""

import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path

STATIC = Path(__file__).parent / "static"

TEXTS = ("text/", "application/json", "image/svg+xml")
"""Types that are sent as text; everything else is bytes."""


def pages(folder: Path = STATIC) -> Mapping[str, tuple[str, str | bytes]]:
    """By address, each file of the page with its type. What is not among them is not there, wherever it leads.

    Args:
        folder: where they are; its index.html is at /, all others are below /static.
    """
    return dict(_pages(folder))


def _pages(folder: Path) -> Iterator[tuple[str, tuple[str, str | bytes]]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        kind = mimetypes.guess_type(path.name)[0] or "text/plain"
        content: str | bytes = path.read_bytes()
        if kind.startswith(TEXTS):
            kind, content = f"{kind}; charset=utf-8", path.read_text(encoding="utf-8")
        name = path.relative_to(folder).as_posix()
        yield ("/" if name == "index.html" else f"/static/{name}"), (kind, content)


def security_headers(origins: tuple[str, ...]) -> Mapping[str, str]:
    """What every answer bears: nothing inline, nothing from elsewhere, in nobody's frame, kept nowhere.

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
