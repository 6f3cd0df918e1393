"""The layer of what sensors import: wheels for where the functions run, code that they share, nothing ignored."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import stack
from tools.project import ROOT, VENV_BIN, ToolError

LAYER = ROOT / "layers" / "project"
AARCH64, X86_64 = 0xB7, 0x3E
"""Machines in an ELF header: e_machine, in /usr/include/elf.h."""
PIP = pytest.mark.timeout(300)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A copy of the layer's folder, as SAM makes one to build in, with nothing of the project's own."""
    copy = tmp_path / "source"
    shutil.copytree(LAYER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(copy / "python")
    (copy / "python").mkdir()
    (copy / "requirements.txt").write_text("# Nothing yet.\n")
    return copy


def make(
    layer: Path, artifacts: Path, *options: str, started_in: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Return what SAM's makefile build runs."""
    artifacts.mkdir(parents=True)
    path = os.pathsep.join([str(VENV_BIN), os.environ.get("PATH", os.defpath)])
    return subprocess.run(
        ["make", "--silent", "build-ProjectLayer", f"ARTIFACTS_DIR={artifacts}", *options],
        cwd=layer,
        env={**os.environ, "PATH": path, "PWD": str(started_in)},
        capture_output=True,
        text=True,
        check=False,
    )


def tags(artifacts: Path, package: str) -> str:
    """Return the tags of a package's wheel."""
    [path] = (artifacts / "python").glob(f"{package}-*.dist-info/WHEEL")
    return " ".join(re.findall(r"^Tag: (.*)$", path.read_text(), flags=re.MULTILINE))


def machine(library: Path) -> int:
    """Return what a compiled module is for."""
    return int.from_bytes(library.read_bytes()[18:20], "little")


def test_packages_are_of_the_versions_that_the_library_is_deployed_with() -> None:
    assert (LAYER / "constraints.txt").read_text() == (ROOT / "layers/deps/requirements.txt").read_text()


@PIP
@pytest.mark.parametrize(
    ("architecture", "platform", "elf"), [("arm64", "aarch64", AARCH64), ("x86_64", "x86_64", X86_64)]
)
def test_compiled_packages_come_for_the_architecture_of_the_functions(
    layer: Path, tmp_path: Path, architecture: str, platform: str, elf: int
) -> None:
    """With all that they need, and by the runtime's version of Python, whatever builds the layer.

    MarkupSafe comes by Flask's dependence on Jinja; typing-extensions is what Treadle has, too.
    """
    (layer / "requirements.txt").write_text("psycopg[binary]\nmarkupsafe\n")
    artifacts = tmp_path / "artifacts"

    done = make(layer, artifacts, f"ARCHITECTURE={architecture}")

    assert done.returncode == 0, done.stderr
    for package in ("psycopg_binary", "markupsafe"):
        assert re.search(rf"cp313-cp313-manylinux\w*_{platform}", tags(artifacts, package))
    compiled = list((artifacts / "python").rglob("*.cpython-*.so"))
    assert compiled
    assert {machine(path) for path in compiled} == {elf}
    assert {path.name.split(".")[1] for path in compiled} == {f"cpython-313-{platform}-linux-gnu"}
    assert (artifacts / "python" / "psycopg" / "__init__.py").is_file()


@PIP
def test_what_is_needed_there_alone_is_installed_too(layer: Path, tmp_path: Path) -> None:
    """pip decides by the interpreter that it runs under: an older one omits what is required on 3.13 only."""
    (layer / "requirements.txt").write_text(
        "itsdangerous ; python_version >= '3.13'\nblinker ; platform_machine == 'aarch64'\n"
        "wrapt ; sys_platform == 'win32'\n"
    )
    artifacts = tmp_path / "artifacts"

    done = make(layer, artifacts)

    assert done.returncode == 0, done.stderr
    assert {"itsdangerous", "blinker"} <= {path.name for path in (artifacts / "python").iterdir()}
    assert not (artifacts / "python" / "wrapt").exists()


@PIP
def test_the_local_cloud_gets_wheels_of_this_machine(layer: Path, tmp_path: Path) -> None:
    (layer / "requirements.txt").write_text("markupsafe\n")
    artifacts = tmp_path / ".aws-sam" / "local" / "build" / "ProjectLayer"

    done = make(layer, artifacts)

    assert done.returncode == 0, done.stderr
    loaded = subprocess.run(
        [VENV_BIN / "python", "-c", "import markupsafe._speedups as found; print(found.__file__)"],
        env={"PYTHONPATH": str(artifacts / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.startswith(str(artifacts))


def test_an_empty_list_costs_nothing_and_makes_a_layer_that_lambda_takes(layer: Path, tmp_path: Path) -> None:
    """No pip; and not an empty archive."""
    artifacts = tmp_path / "artifacts"
    (layer / "build_layer.py").write_text(
        (layer / "build_layer.py").read_text().replace('"pip"', '"no_such_module"')
    )

    done = make(layer, artifacts)

    assert done.returncode == 0, done.stderr
    assert [path.name for path in artifacts.rglob("*") if path.is_file()] == ["project-requirements.txt"]


def test_shared_code_is_in_the_layer_with_its_bytecode(layer: Path, tmp_path: Path) -> None:
    (layer / "python" / "shop_common.py").write_text("def key(order):\n    return str(order)\n")
    (layer / "python" / "shop").mkdir()
    (layer / "python" / "shop" / "__init__.py").touch()
    artifacts = tmp_path / "artifacts"

    done = make(layer, artifacts)

    assert done.returncode == 0, done.stderr
    assert {"shop_common.py", "shop"} <= {path.name for path in (artifacts / "python").iterdir()}
    assert list((artifacts / "python" / "__pycache__").glob("shop_common.*.pyc"))


@pytest.mark.parametrize("name", ["queue.py", "treadle", "app.py"])
def test_shared_code_that_would_hide_another_module_is_refused(
    layer: Path, tmp_path: Path, name: str
) -> None:
    (layer / "python" / name).mkdir()

    done = make(layer, tmp_path / "artifacts")

    assert done.returncode != 0
    assert f"layers/project/python/{name} would hide another module" in done.stderr


@PIP
def test_a_package_that_cannot_be_installed_is_named(layer: Path, tmp_path: Path) -> None:
    """No wheel for there, or against what Treadle is deployed with."""
    (layer / "requirements.txt").write_text("pynamodb==5.5.1\n")

    done = make(layer, tmp_path / "artifacts")

    assert done.returncode != 0
    assert "pip cannot install layers/project/requirements.txt" in done.stderr
    assert "pynamodb" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_list_in_a_sensor_s_folder_is_refused_with_what_to_do(layer: Path, tmp_path: Path) -> None:
    """By the build, and by whatever builds for the local cloud."""
    (tmp_path / "functions" / "sensors" / "watch").mkdir(parents=True)
    (tmp_path / "functions" / "sensors" / "watch" / "requirements.txt").write_text("requests\n")

    done = make(layer, tmp_path / "artifacts", started_in=tmp_path)

    expected = (
        "functions/sensors/watch/requirements.txt: nothing installs packages listed there. Move the lines to"
    )
    assert done.returncode != 0
    assert expected in done.stderr
    with pytest.raises(ToolError, match=re.escape(expected)):
        stack.build("http://127.0.0.1:1", tmp_path)


def test_copy_of_the_project_begins_with_the_layers_that_are_built_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its own folders, which is how SAM finds them; what it has built itself is left alone."""
    here, copy = tmp_path / "here", tmp_path / "copy"
    (here / stack.LOCAL_CACHE / "1a2b").mkdir(parents=True)
    (here / stack.LOCAL_CACHE / "1a2b" / "built.py").touch()
    (here / ".aws-sam/local/build.toml").write_text(f'codeuri = "{here}/layers/deps"\n')
    monkeypatch.setattr(stack, "ROOT", here)

    stack.copy_built_layers(copy)

    assert (copy / stack.LOCAL_CACHE / "1a2b" / "built.py").exists()
    graph = copy / ".aws-sam/local/build.toml"
    assert graph.read_text() == f'codeuri = "{copy}/layers/deps"\n'
    graph.write_text("own")
    stack.copy_built_layers(copy)
    assert graph.read_text() == "own"
