"""The built wheel, and what its commands write outside of this repository."""

import os
import signal
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.project import contents, run
from tools.project import ROOT, clean_environment
from tools.wheel import build_wheel
from treadle.cli.distribution import OWNED

VERSION = tomllib.loads((ROOT / "layers/treadle/pyproject.toml").read_text())["project"]["version"]
CARRIED = "treadle/distribution"
SOURCES = ("engine", "functions", "layers/deps", "layers/project")
REPOSITORY_ONLY = ("layers/project/python/.gitkeep",)


@dataclass(frozen=True)
class Installed:
    """An unpacked wheel.

    Attributes:
        wheel: the file.
        folder: where it is unpacked.
    """

    wheel: Path
    folder: Path

    def treadle(
        self, *arguments: str | Path, cwd: Path | None = None, path: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run its command, in which the repository's own library has no part."""
        environment = clean_environment(PYTHONPATH=str(self.folder))
        environment["PATH"] = os.environ["PATH"] if path is None else path
        command = [sys.executable, "-c", "from treadle.cli import main; main()", *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, built for this test."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder / "dist")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return Installed(wheel, folder / "site")


@pytest.fixture
def project(installed: Installed, tmp_path: Path) -> Path:
    """A new project."""
    done = installed.treadle("init", tmp_path / "project")
    assert done.returncode == 0, done.stderr
    return tmp_path / "project"


def sources(*places: str) -> set[str]:
    """Return the repository's own files in these places, without what builds leave there."""
    found = (
        path.relative_to(ROOT) for place in places for path in (ROOT / place).rglob("*") if path.is_file()
    )
    return {path.as_posix() for path in found if not {"__pycache__", ".aws-sam"} & set(path.parts)}


def test_it_carries_the_repository_s_files_as_they_are(installed: Installed) -> None:
    carried = {str(path): content for path, content in contents(installed.folder / CARRIED).items()}

    shipped = {path for path in sources(*SOURCES) if path not in REPOSITORY_ONLY}
    assert shipped <= carried.keys()
    assert {path: (ROOT / path).read_bytes() for path in carried} == carried


def test_the_same_sources_give_the_same_wheel(installed: Installed, tmp_path: Path) -> None:
    assert build_wheel(tmp_path).read_bytes() == installed.wheel.read_bytes()


def test_a_project_has_the_template_and_pins_the_version(project: Path) -> None:
    assert (project / "template.yaml").read_bytes() == (ROOT / "template.yaml").read_bytes()
    pin = (project / "layers/treadle/requirements.txt").read_text().splitlines()[-1]
    assert pin == f"treadle=={VERSION}"
    assert (project / ".gitignore").is_file()
    assert not list(project.rglob("*.txt.txt")) + list((project / "tests").rglob("*.txt"))


def test_a_project_has_every_folder_that_its_template_names(project: Path) -> None:
    class Loader(yaml.SafeLoader):
        """Reads any tag of CloudFormation's as nothing."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    resources = yaml.load((project / "template.yaml").read_text(), Loader)["Resources"]
    named = {
        place
        for each in resources.values()
        for key in ("CodeUri", "ContentUri")
        if (place := (each.get("Properties") or {}).get(key))
    }

    assert len(named) > 5
    assert all((project / place).is_dir() for place in named)


def test_the_files_that_are_treadle_s_are_named_in_the_project_s_readme(project: Path) -> None:
    text = (project / "README.md").read_text()

    assert all((project / path).is_file() for path in OWNED)
    whole = ("layers/treadle", "layers/deps")
    for path in OWNED:
        folder, _, name = path.rpartition("/")
        assert f"`{folder}`" in text if folder in whole else f"`{name}`" in text


def test_a_new_project_runs_on_this_machine_from_the_wheel_alone(
    installed: Installed, project: Path, tmp_path: Path
) -> None:
    (project / "dev.toml").write_text('[jobs."*"]\nseconds = 0\nstatus = "failure"\n')
    (tmp_path / "cities.csv").write_text("name\n")
    environment = clean_environment(PYTHONPATH=str(installed.folder), PYTHONUNBUFFERED="1")
    command = [
        sys.executable,
        "-c",
        "from treadle.cli import main; main()",
        "dev",
        "--no-browser",
        "--port",
        "0",
    ]

    with subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) as loop:
        assert loop.stdout is not None
        for line in loop.stdout:
            if "new_objects SKIPPED: 0 objects listed" in line:
                break
        stored = installed.treadle("dev", "put", tmp_path / "cities.csv", "s3://bucket/in/", cwd=project)
        for line in loop.stdout:
            if "failure_alert ALERT for SNS (Alerts): Run failed: process_file" in line:
                break
        loop.send_signal(signal.SIGINT)
        rest = loop.stdout.read()

    assert (stored.returncode, stored.stderr) == (0, "")
    # A tick that was in progress may print its line last.
    assert (loop.returncode, "Ended." in rest.splitlines()) == (0, True)


def test_a_folder_with_files_of_a_project_is_left_alone(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("mine\n")

    done = installed.treadle("init", tmp_path)

    assert done.returncode == 2
    assert done.stderr == (
        f"treadle: The project cannot be written to {tmp_path}: template.yaml exists already. Choose an empty folder, "
        "or use --update to update an existing project to this version of Treadle.\n"
    )
    assert list(contents(tmp_path)) == [Path("template.yaml")]


def test_an_update_replaces_treadle_s_files_only(installed: Installed, project: Path) -> None:
    new = contents(project)
    for path in (*OWNED, "template.yaml", "samconfig.yaml", "layers/project/requirements.txt", "Makefile"):
        (project / path).write_text("older\n")

    done = installed.treadle("init", "--update", project)

    assert done.returncode == 0, done.stderr
    assert f"{len(OWNED)} files replaced" in done.stdout
    after = {str(path): content for path, content in contents(project).items()}
    assert all(after[path] == new[Path(path)] for path in OWNED)
    assert after["template.yaml"] == after["samconfig.yaml"] == after["Makefile"] == b"older\n"


def test_an_update_needs_a_project(installed: Installed, tmp_path: Path) -> None:
    done = installed.treadle("init", "--update", tmp_path)

    assert done.returncode == 2
    assert "it has no layers/treadle/requirements.txt, so `treadle init` did not create it" in done.stderr
    assert not contents(tmp_path)


def test_an_engine_is_written_with_the_library_that_its_functions_import(
    installed: Installed, tmp_path: Path
) -> None:
    done = installed.treadle("engine", "export", "--directory", tmp_path)

    assert done.returncode == 0, done.stderr
    written = contents(tmp_path)
    assert written[Path("engine/template.yaml")] == (ROOT / "engine/template.yaml").read_bytes()
    assert Path("layers/treadle/treadle/entrypoints/launcher.py") in written
    assert not [path for path in written if {"cli", "dev", "testing", "distribution"} & set(path.parts)]


def test_the_settings_of_an_engine_s_deployment_stay(installed: Installed, tmp_path: Path) -> None:
    settings, template = tmp_path / "engine/samconfig.toml", tmp_path / "engine/template.yaml"
    installed.treadle("engine", "export", "--directory", tmp_path)
    settings.write_text("version = 0.1  # mine\n")
    template.write_text("older\n")

    done = installed.treadle("engine", "export", "--directory", tmp_path)

    assert "files changed: 1." in done.stdout
    assert settings.read_text() == "version = 0.1  # mine\n"
    assert template.read_text() != "older\n"


def test_an_engine_is_not_written_into_a_project(installed: Installed, project: Path) -> None:
    before = contents(project)

    done = installed.treadle("engine", "export", "--directory", project)

    assert done.returncode == 2
    assert "it is a project's folder. Choose a separate folder for the engine." in done.stderr
    assert contents(project) == before


def test_without_sam_nothing_is_deployed(installed: Installed, tmp_path: Path) -> None:
    done = installed.treadle("engine", "deploy", "--directory", tmp_path / "engine", path=str(tmp_path))

    assert done.returncode == 2
    assert "`sam` is not on the PATH. Install the AWS SAM CLI." in done.stderr


def test_deployment_that_sam_refuses_ends_the_command_and_an_unchanged_engine_does_not(
    installed: Installed, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "sam"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ntest "$1" != deploy || exit 3\n')
    program.chmod(0o755)

    done = installed.treadle(
        *("engine", "deploy", "--directory", tmp_path / "engine", "--stack-name", "shop", "--guided"),
        path=f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    )

    assert done.returncode == 2
    assert "sam deploy ended with status 3. Its output above has the reason." in done.stderr
    build, deploy = (tmp_path / "calls").read_text().splitlines()
    assert build.split()[0] == "build"
    assert {"--no-fail-on-empty-changeset", "--guided", "shop"} <= set(deploy.split())


@pytest.mark.parametrize("command", [("init",), ("engine", "export", "--directory")])
def test_a_library_that_no_wheel_brought_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*command, tmp_path / "new")

    assert done.exit_code == 2
    assert "it was not installed from a wheel. Build one with `make dist`" in done.output
    assert not (tmp_path / "new").exists()
