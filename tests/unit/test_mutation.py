"""What `make mutation` runs is there, and so are the lines of which it leaves out changes."""

import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.mutation import LIBRARY, TESTS, change_of, unit_tests_of
from tools.project import ROOT, ToolError
from tools.warm_pytest import warm_pytest

TABLE: dict[str, Any] = tomllib.loads((ROOT / "tools/mutation.toml").read_text())


@pytest.mark.parametrize("module", TABLE["tests"])
def test_a_modules_tests_are_there(module: str) -> None:
    assert (ROOT / LIBRARY / module).exists()
    assert all((ROOT / test).exists() for test in unit_tests_of(module, TABLE["tests"]))


@pytest.mark.parametrize("change", TABLE["equivalent"], ids=lambda each: each["new"])
def test_an_equivalent_change_is_of_a_line_that_is_there_and_has_its_reason(change: dict[str, str]) -> None:
    modules = [change["module"]] if "module" in change else TABLE["tests"]

    assert any(change["old"] in (ROOT / LIBRARY / each).read_text() for each in modules)
    assert change["reason"].endswith(".")


def test_a_modules_tests_are_those_that_import_it_if_the_table_has_none() -> None:
    assert str(TESTS / "test_chunks.py") in unit_tests_of("engine/dispatch/chunks.py", {})


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("engine/nothing.py", "it is no file in layers/treadle/treadle"),
        ("layers/treadle/treadle/engine/identity.py", "Give a path in there, such as engine/identity.py"),
        ("cli/cost.py", "no test in tests/unit imports it"),
    ],
)
def test_a_module_that_cannot_be_checked_is_refused(module: str, problem: str) -> None:
    """Without tests of its own, pytest would run all tests for each of its changes."""
    with pytest.raises(ToolError, match=problem):
        unit_tests_of(module, {})


def test_a_change_has_the_line_of_the_module_and_its_text_with_single_spaces() -> None:
    diff = "--- mutation diff ---\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n first\n-    return 0\n+    return  1"

    change = change_of({"mutations": [{"start_pos": [2, 11]}]}, {"diff": diff, "test_outcome": "survived"})

    assert (change.line, change.old, change.new, change.killed) == (2, "return 0", "return 1", False)


def test_tests_run_for_each_change_and_end_when_nobody_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    changing, unchanged, tests = (tmp_path / f"{name}.py" for name in ("changing", "unchanged", "limit"))
    changing.write_text("LIMIT = 2\n")
    unchanged.write_text("import changing\n\ndef admits(count):\n    return count <= changing.LIMIT\n")
    tests.write_text(
        "from unchanged import admits\n\ndef test_limit():\n    assert admits(2)\n    while admits(9): pass\n"
    )

    def status_of(command: str, text: str, timeout: float = 60) -> int:
        changing.write_text(text)
        return subprocess.run(
            shlex.split(command), check=False, capture_output=True, timeout=timeout
        ).returncode

    options = ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "--import-mode=prepend"]
    with warm_pytest(tmp_path, "changing", [*options, str(tests)]) as command:
        assert command
        assert status_of(command, "LIMIT = 3 - 1\n") == 0
        assert status_of(command, "LIMIT = 3 - 2\n") == 1
        with pytest.raises(subprocess.TimeoutExpired):
            status_of(command, "LIMIT = 3 * 9\n", timeout=3)
        assert status_of(command, "LIMIT = 3 + 1\n") == 0


def test_tests_that_fail_without_a_change_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    with warm_pytest(tmp_path, "changing", [str(tmp_path / "nothing.py")]) as command:
        assert command is None
