"""The files that an installed Treadle contains besides its library: an engine's, and those of a new project."""

import json
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import treadle
from treadle.definitions.errors import ScaffoldError

LIBRARY = Path(treadle.__file__).parent
CARRIED = "distribution"
"""The folder of these files in the wheel; layers/treadle/pyproject.toml lists them."""
PROJECT_TEMPLATES = Path(__file__).parent / "templates" / "project"

ENGINE_FOLDERS = ("functions/engine", "layers/deps", "layers/treadle")
ENGINE_TEMPLATES = (
    "engine/template.yaml",
    "engine/console.yaml",
    "engine/forward.yaml",
    "engine/job-account.yaml",
    "engine/project-pipeline.yaml",
)
ENGINE_SETTINGS = "engine/samconfig.toml"
"""The engine's deployment settings: the operator's own once it is written."""
LEFT_OUT = ("__pycache__", CARRIED, "cli", "dev", "testing", "*.dist-info")
"""Parts of the library that no function imports."""

OWNED = (
    "layers/treadle/Makefile",
    "layers/treadle/requirements.txt",
    "layers/deps/Makefile",
    "layers/deps/requirements.txt",
    "layers/project/Makefile",
    "layers/project/build_layer.py",
    "layers/project/constraints.txt",
)
"""Files of a project that Treadle owns and a new version replaces. All others belong to the project."""
WHEELS = "layers/treadle/wheels"
RENAMED = {"gitignore": ".gitignore"}
"""Files whose real names would take effect in Treadle's repository."""


def installed_version() -> str:
    """Return the version of the installed Treadle.

    Raises:
        ScaffoldError: if it is not installed.
    """
    try:
        return version("treadle")
    except PackageNotFoundError:
        raise ScaffoldError([_NOT_INSTALLED]) from None


def carried() -> Path:
    """Return the folder of these files.

    Raises:
        ScaffoldError: if this Treadle was not installed from a wheel.
    """
    folder = LIBRARY / CARRIED
    if not folder.is_dir():
        raise ScaffoldError([_NOT_INSTALLED])
    return folder


def installed_wheel() -> Path | None:
    """Return the wheel that Treadle was installed from, if it was a local file that still exists.

    pip records it: "Recording the Direct URL Origin of installed distributions", PEP 610.
    """
    text = distribution("treadle").read_text("direct_url.json")
    url = urlsplit(json.loads(text)["url"]) if text else None
    if url is None or url.scheme != "file" or not url.path.endswith(".whl"):
        return None
    path = Path(unquote(url.path))
    return path if path.is_file() else None


def write_project(folder: Path) -> list[str]:
    """Write a new project.

    Args:
        folder: the destination; it is created, and may contain other files.

    Returns:
        The written paths, relative to the folder.

    Raises:
        ScaffoldError: if a file of the project exists already, or this Treadle was not installed from a
            wheel; nothing was written.
    """
    files = dict(_project_files())
    taken = sorted(path for path in files if (folder / path).exists())
    if taken:
        more = f" and {len(taken) - 1} more files exist" if len(taken) > 1 else " exists"
        msg = (
            f"The project cannot be written to {folder}: {taken[0]}{more} already. Choose an empty folder, or use --update to "
            "update an existing project to this version of Treadle."
        )
        raise ScaffoldError([msg])
    _write(folder, files)
    (folder / "layers/project/python").mkdir(parents=True, exist_ok=True)
    return sorted([*files, *_add_wheel(folder)])


def update_project(folder: Path) -> list[str]:
    """Update a project to the installed version of Treadle; changes only the files that Treadle owns.

    Args:
        folder: the project's folder.

    Returns:
        The changed paths.

    Raises:
        ScaffoldError: if the folder is not a project written by `write_project`; nothing was written.
    """
    if not (folder / "layers/treadle/requirements.txt").is_file():
        msg = (
            f"The project in {folder} cannot be updated: it has no layers/treadle/requirements.txt, so `treadle init` "
            "did not create it. Give the folder of a project that it created."
        )
        raise ScaffoldError([msg])
    found = {path: content for path, content in _project_files() if path in OWNED}
    changed = {path: content for path, content in found.items() if _read(folder / path) != content}
    _write(folder, changed)
    return sorted([*changed, *_add_wheel(folder)])


def write_engine(folder: Path) -> list[str]:
    """Write this version's files of an engine, except existing deployment settings.

    Args:
        folder: the destination; it is created.

    Returns:
        The changed paths.

    Raises:
        ScaffoldError: if the folder is a checkout or a project, or this Treadle was not installed from a
            wheel.
    """
    if (folder / "template.yaml").exists():
        msg = f"The engine cannot be written to {folder}: it is a project's folder. Choose a separate folder for the engine."
        raise ScaffoldError([msg])
    source = carried()
    files = {path: (source / path).read_bytes() for path in ENGINE_TEMPLATES}
    if not (folder / ENGINE_SETTINGS).exists():
        files[ENGINE_SETTINGS] = (source / ENGINE_SETTINGS).read_bytes()
    for place in ENGINE_FOLDERS:
        files |= dict(_below(source / place, source))
    changed = {path: content for path, content in files.items() if _read(folder / path) != content}
    _write(folder, changed)
    library = folder / "layers/treadle/treadle"
    shutil.rmtree(library, ignore_errors=True)
    shutil.copytree(LIBRARY, library, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return sorted(changed)


def _project_files() -> Iterator[tuple[str, bytes]]:
    source = carried()
    for path, content in _below(source, source):
        if not path.startswith(("engine/", "functions/engine/", "layers/treadle/")):
            yield path, content
    for path, content in _below(PROJECT_TEMPLATES, PROJECT_TEMPLATES):
        name = RENAMED.get(path, path.removesuffix(".txt") if path.endswith(".py.txt") else path)
        yield name, content.replace(b"{{version}}", installed_version().encode())


def _add_wheel(folder: Path) -> Iterable[str]:
    """Copy the installed wheel into the project, whose builds then do not need a package index for it."""
    wheel = installed_wheel()
    if wheel is None:
        return
    place = folder / WHEELS
    place.mkdir(parents=True, exist_ok=True)
    for other in place.glob("treadle-*.whl"):
        if other.name != wheel.name:
            other.unlink()
    content = wheel.read_bytes()
    if _read(place / wheel.name) != content:
        (place / wheel.name).write_bytes(content)
        yield f"{WHEELS}/{wheel.name}"


def _below(folder: Path, root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


_NOT_INSTALLED = (
    "This installation of Treadle contains no engine and no project, as it was not installed from a wheel. Build one with `make dist`, and "
    "install that: pip install 'dist/treadle-….whl[cli]'."
)
