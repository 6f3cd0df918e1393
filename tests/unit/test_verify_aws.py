"""`make verify-aws`: its table, its exit status, and what each check says of itself."""

import re

import pytest

from tools.project import ToolError
from tools.verify import __main__ as command
from tools.verify import report
from tools.verify.account import identify
from tools.verify.checks import ALL, BY_HAND
from tools.verify.model import (
    FAILED,
    INTERRUPTED,
    LEFT_BEHIND,
    NOTHING_TRIED,
    SUCCESS,
    ByHand,
    Check,
    Result,
    Verdict,
    exit_status,
)

EVERYTHING: list[Check | ByHand] = [*ALL, *BY_HAND]
HELD, DID_NOT_HOLD, NOT_TRIED = Verdict.HELD, Verdict.DID_NOT_HOLD, Verdict.NOT_TRIED


def a_check(name: str = "some-check") -> Check:
    return Check(name, "a statement", "a step", "https://aws/page", lambda _: "fine")


def result(verdict: Verdict, name: str = "some-check") -> Result:
    return Result(name, "a statement", verdict, "seen", 2)


@pytest.mark.parametrize(
    ("verdicts", "interrupted", "left", "status"),
    [
        ([HELD, NOT_TRIED], False, False, SUCCESS),
        ([HELD, DID_NOT_HOLD], False, False, FAILED),
        ([HELD, DID_NOT_HOLD], True, True, FAILED),
        ([HELD, NOT_TRIED], True, True, INTERRUPTED),
        ([HELD], False, True, LEFT_BEHIND),
        ([NOT_TRIED], False, False, NOTHING_TRIED),
        ([], False, False, NOTHING_TRIED),
    ],
)
def test_exit_status(verdicts: list[Verdict], interrupted: bool, left: bool, status: int) -> None:
    assert exit_status(map(result, verdicts), interrupted=interrupted, left=left) == status


def test_exit_statuses_can_be_distinguished() -> None:
    assert len({SUCCESS, FAILED, NOTHING_TRIED, LEFT_BEHIND, INTERRUPTED}) == 5


def test_table_has_a_line_for_each_check_and_counts() -> None:
    results = [
        Result("first", "", HELD, "two\n  lines", 12.4),
        Result("the-second", "", DID_NOT_HOLD, "no", 0),
        Result("third", "", NOT_TRIED, "why", 0),
    ]

    assert list(report.table(results)) == [
        "held                first         12 s  two lines",
        "did not hold        the-second     0 s  no",
        "could not be tried  third          0 s  why",
        "1 held, 1 did not hold, 1 could not be tried",
    ]


def test_what_did_not_hold_is_reported_with_what_relies_on_it_and_the_source() -> None:
    checks = [a_check(), a_check("other")]

    lines = "\n".join(report.details([result(DID_NOT_HOLD), result(HELD, "other")], checks))

    for message in ("some-check did not hold", "a statement", "seen", "a step", "https://aws/page"):
        assert message in lines
    assert "other" not in lines


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("YES ", True), ("", False), ("n", False)])
def test_only_a_yes_agrees(monkeypatch: pytest.MonkeyPatch, answer: str, agreed: bool) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)

    assert command.confirmed("Go on?", yes=False) is agreed


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_each_check_says_what_it_verifies_and_where_aws_says_so(check: Check) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,23}", check.name)
    assert check.statement
    assert check.relied_on
    assert re.search(r"https://(docs\.aws\.amazon\.com|github\.com)/", check.source)
    assert not check.not_local or check.not_local.startswith("the local cloud")
    assert check.dollars < 0.02  # A shard of a stream is paid by the hour.


def test_names_of_checks_are_unique() -> None:
    names = [item.name for item in EVERYTHING]

    assert len(names) == len(set(names))


def test_what_takes_longer_than_an_hour_says_how_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"age-alarms", "cost-after-a-day"} <= {item.name for item in BY_HAND}
    assert all(item.why and item.how for item in BY_HAND)

    assert command.main(["--list"]) == SUCCESS

    out = capsys.readouterr().out
    assert all(f"{item.name}: " in out for item in EVERYTHING)


def test_unknown_check_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ToolError, match=r"no check is named nonsense\. Choose from alarm-of-one-period, "):
        command.main(["--only", "nonsense"])


def test_missing_region_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)

    with pytest.raises(ToolError, match="the Region cannot be determined"):
        identify()
