"""Weakens the protocol in one place at a time, and shows which test turns red. `make mutants` runs it."""

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path("layers/treadle/treadle")
COPIED = ("layers", "tests", "tools", "functions", "events", "template.yaml", "pyproject.toml")
SIDE_BY_SIDE = 2
TIME_LIMIT = 300

SENSORS, TICKS, RUNS = (f"adapters/dynamodb/{name}.py" for name in ("sensors", "ticks", "runs"))
OF_SENSORS, OF_EDITS, OF_TICKS, OF_RUNS = (
    f"tests/contract/test_{name}.py::test_"
    for name in ("sensor_store", "sensor_edits", "tick_store", "run_store")
)
WHOLE_FLOW = "tests/faults/test_every_call.py::test_without_faults_all_invariants_hold"
TELLING = "tests/faults/test_every_call_of_telling.py::test_"
WATCHING = "tests/unit/test_watching.py::test_"
ASSETS = "tests/faults/test_every_call_of_assets.py::test_"
MOVED, MOVED_LAUNCH, MOVED_RECORD = (
    f"tests/unit/test_{name}.py::test_"
    for name in ("moved_jobs", "launch_of_moved_jobs", "record_of_moved_jobs")
)
TAKEOVER = (
    "tests/faults/test_takeover.py::test_a_second_message_starts_nothing_as_long_as_the_first_launch_can_act"
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One weakening.

    Attributes:
        name: what is weakened.
        module: the module of the library.
        old: its text, which occurs there exactly once.
        new: what takes its place.
        tests: the tests of which one must turn red.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "lease condition",
        SENSORS,
        "running & free & due & rested & ready",
        "running & due & rested & ready",
        (f"{OF_SENSORS}while_a_lease_is_live_no_other_is_given[moto]",),
    ),
    Mutant(
        "owner token",
        SENSORS,
        "ours = (Model.lease_owner == lease.owner) & (Model.epoch == lease.epoch)",
        "ours = Model.epoch == lease.epoch",
        (f"{OF_EDITS}lease_given_up_can_commit_nothing[moto]",),
    ),
    Mutant(
        "epoch check",
        SENSORS,
        "ours = (Model.lease_owner == lease.owner) & (Model.epoch == lease.epoch)",
        "ours = Model.lease_owner == lease.owner",
        (f"{OF_EDITS}tick_in_flight_loses_to_an_edit_and_writes_nothing",),
    ),
    Mutant(
        "epoch raised by an edit",
        SENSORS,
        "return [*changes(*values), Model.epoch.add(1)]",
        "return [*changes(*values), Model.epoch.add(0)]",
        (f"{OF_EDITS}each_edit_raises_the_epoch_and_answers_with_the_state_afterwards[moto]",),
    ),
    Mutant(
        "last_nominal, not written",
        SENSORS,
        "            Model.last_nominal.set(request.nominal),\n",
        "",
        (f"{OF_SENSORS}without_an_interval_the_same_nominal_time_is_not_due_again[moto]",),
    ),
    Mutant(
        "last_nominal, not looked at",
        SENSORS,
        "running & free & due & rested & ready",
        "running & free & rested & ready",
        (f"{OF_SENSORS}without_an_interval_the_same_nominal_time_is_not_due_again[moto]",),
    ),
    Mutant(
        "leased tick put without absence",
        SENSORS,
        "item=item, condition=TickModel.tick_id.does_not_exist())",
        "item=item)",
        (f"{OF_SENSORS}a_commit_whose_tick_stands_already_writes_nothing_at_all[moto]",),
    ),
    Mutant(
        "event tick put without absence",
        TICKS,
        "absent = Model.tick_id.does_not_exist() | (Model.status == TickStatus.FAILURE.value)",
        "absent = Model.tick_id.does_not_exist() | Model.tick_id.exists()",
        (f"{OF_TICKS}a_finished_tick_is_not_written_again[moto]",),
    ),
    Mutant(
        "tick and cursor in one transaction",
        SENSORS,
        "failed = self._database.transact([*puts, update], _token(lease, completion))",
        "failed = self._database.transact(puts, _token(lease, completion))\n"
        "            failed = failed or self._database.transact([update], str(uuid4()))",
        (f"{OF_SENSORS}an_expired_lease_is_taken_over_and_its_holder_can_commit_nothing[moto]",),
    ),
    Mutant(
        "the run record's condition, at its creation",
        RUNS,
        "_item(run, run.revision), Model.run_id.does_not_exist()",
        "_item(run, run.revision), Model.run_id.does_not_exist() | Model.run_id.exists()",
        (f"{OF_RUNS}a_second_put_writes_nothing_and_shows_what_stands[moto]",),
    ),
    Mutant(
        "the run record's condition, at later writes",
        RUNS,
        "unchanged = Model.revision == run.revision",
        "unchanged = Model.run_id.exists()",
        (f"{OF_RUNS}a_write_over_another_is_refused_and_shows_what_stands[moto]",),
    ),
    Mutant(
        "sensor left out of the run id",
        "engine/identity.py",
        '["key", sensor, run_key]',
        '["key", run_key]',
        ("tests/unit/test_planning.py::test_run_of_another_sensor_does_not_take_the_key",),
    ),
    Mutant(
        "namespace left out of the run id",
        "engine/identity.py",
        "return cls(uuid5(ROOT, namespace))",
        "return cls(ROOT)",
        ("tests/unit/test_identity.py::test_run_id_differs_where_only_one_part_of_its_name_does",),
    ),
    Mutant(
        "claim before launch, not heeded",
        "engine/launch.py",
        "        if run.claim != claim:\n            return self._not_ours(run, request, now)\n",
        "",
        (TAKEOVER,),
    ),
    Mutant(
        "claim before launch, not guarded",
        RUNS,
        'queued & free, returning="ALL_NEW"',
        'queued, returning="ALL_NEW"',
        ("tests/faults_moto/test_claims.py",),
    ),
    Mutant(
        "takeover time",
        "engine/launch.py",
        "Claim(self._tokens.new(), ends_at + TAKEOVER_MARGIN_MS)",
        "Claim(self._tokens.new(), now)",
        (TAKEOVER,),
    ),
    Mutant(
        "SDK retries off",
        "adapters/clients.py",
        "return _client(service, 1 if once else ATTEMPTS, seconds)",
        "return _client(service, ATTEMPTS, seconds)",
        (
            "tests/unit/targets/test_every_target.py::test_start_that_the_service_failed_on_was_sent_once_and_is_uncertain",
        ),
    ),
    Mutant(
        "second empty listing",
        "engine/launch.py",
        "if run.unseen_at is None or now - run.unseen_at < UNSEEN_FOR_MS:",
        "if run.unseen_at == -1:",
        (f"{WHOLE_FLOW}[listed]",),
    ),
    Mutant(
        "pending index",
        TICKS,
        "pending=str(zlib.crc32(tick.tick_id.encode()) % SHARDS) if pending else None",
        "pending=None",
        ("tests/faults_moto/test_indexes.py::test_a_tick_that_the_stream_has_lost_is_dispatched",),
    ),
    Mutant(
        "keys remembered although the sensor was edited",
        "engine/known_keys.py",
        "if read != self._epoch or now",
        "if now",
        ("tests/unit/test_filter_memory.py",),
    ),
    Mutant(
        "keys remembered that may come free by themselves",
        "engine/known_keys.py",
        "for run_id, state in states.items() if state is KeyState.SETTLED",
        "for run_id in states",
        ("tests/unit/test_filter_memory.py",),
    ),
    Mutant(
        "a released key not told to its sensor",
        "operate/runs.py",
        "if run.may_start_again and run.run_key:",
        "if False:",
        ("tests/unit/test_filter_memory.py",),
    ),
    Mutant(
        "target check in RECORD",
        "engine/record.py",
        "address = self._address(run, change)",
        "address = change.target or None",
        (f"{WHOLE_FLOW}[named]",),
    ),
    Mutant(
        "implied statuses",
        "engine/folding.py",
        "    Status.SUCCESS: _STARTED,\n",
        "",
        ("tests/unit/test_folding.py::test_success_implies_that_it_started",),
    ),
    Mutant(
        "RECONCILE off",
        "engine/reconcile.py",
        "for look in (self._dispatch_late, self._look_at_runs):",
        "for look in ():",
        (f"{WHOLE_FLOW}[named]",),
    ),
    Mutant(
        "looks that move on past what failed",
        "engine/watching.py",
        "done_at = look.done_at if failed else began_at",
        "done_at = began_at",
        (f"{WATCHING}one_execution_that_cannot_be_asked_about_holds_up_none_and_comes_again",),
    ),
    Mutant(
        "told later, what could not be told",
        "entrypoints/publishing.py",
        "_publish_or_defer(parts, of_record)",
        "len(of_record)",
        (f"{TELLING}no_fault_at_any_call_loses_or_doubles_what_is_told[throttled]",),
    ),
    Mutant(
        "ends numbered before they are told",
        "engine/publish.py",
        "numbered = self._events.append([_numbered(each) for each in ends])",
        "numbered = [_numbered(each) for each in ends]",
        (f"{TELLING}without_faults_each_status_is_told_and_acted_on_once",),
    ),
    Mutant(
        "reactions noted on runs",
        "engine/dispatch.py",
        "        self._note_reaction(tick)\n",
        "",
        (f"{TELLING}without_faults_each_status_is_told_and_acted_on_once",),
    ),
    Mutant(
        "assets of a tick told before it is done",
        "engine/dispatch.py",
        "        self._assets.record_tick(tick)\n",
        "",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_told_once",),
    ),
    Mutant(
        "ids of a tick's asset events",
        "engine/materializing.py",
        'f"{tick.sensor}/{tick.tick_id}/{index}"',
        'f"{tick.sensor}/{tick.tick_id}"',
        (f"{ASSETS}without_faults_each_event_is_recorded_and_told_once",),
    ),
    Mutant(
        "assets told as they are kept",
        "engine/materializing.py",
        "told = [materialized(kept) for kept in self._events.append([asset_event(each) for each in made])]",
        "told = [replace(e, storage_id=k.storage_id) for e, k in zip(made, self._events.append([asset_event(e) for e in made]))]",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_told_once",),
    ),
    Mutant(
        "what went through a stack",
        "engine/materializing.py",
        "namespace == self._namespace or told.location != namespace",
        "namespace == self._namespace",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_told_once",),
    ),
    Mutant(
        "former address of a start in doubt",
        "engine/launch.py",
        "return replace(settings, target=kind, arn=tried.target, options=options)",
        "return settings",
        ("tests/faults/test_start_contract.py::test_start_in_doubt_is_settled_where_it_was_tried",),
    ),
    Mutant(
        "denial of a start in doubt taken for one of the first start",
        "engine/launch.py",
        "(DENIED_ENDS_MS if in_doubt else DENIED_FOR_MS)",
        "DENIED_FOR_MS",
        (f"{MOVED_LAUNCH}a_start_in_doubt_whose_address_denies_is_never_called_denied",),
    ),
    Mutant(
        "refusal of a start in doubt taken for one of the first start",
        "engine/launch.py",
        'return tried is not None and tried.target != "" and claim is not None and tried.token != claim.token',
        "return False",
        (f"{MOVED_LAUNCH}a_start_in_doubt_whose_target_is_gone_is_unknown_at_once",),
    ),
    Mutant(
        "start in doubt sent on although its target has a token",
        "engine/launch.py",
        "if has_moved and (not in_doubt or target.contract.is_at_least_once):",
        "if has_moved:",
        (
            "tests/faults/test_moving.py::test_a_move_at_any_call_loses_no_run_and_starts_none_twice[named-taken away]",
        ),
    ),
    Mutant(
        "refused start that has reached nobody, not sent on",
        "engine/launch.py",
        "if has_moved and (not in_doubt or target.contract.is_at_least_once):",
        "if has_moved and in_doubt and target.contract.is_at_least_once:",
        (f"{MOVED_LAUNCH}a_start_that_certainly_reached_nobody_goes_to_the_new_address",),
    ),
    Mutant(
        "start without token, not sent on",
        "engine/launch.py",
        "if has_moved and (not in_doubt or target.contract.is_at_least_once):",
        "if has_moved and not in_doubt:",
        (f"{MOVED_LAUNCH}a_start_in_doubt_at_a_target_without_token_is_sent_to_the_new_address",),
    ),
    Mutant(
        "denial from before the start in doubt",
        "engine/launch.py",
        "            since = None  # That denial was over when the start was tried.",
        "            pass",
        (f"{MOVED_LAUNCH}a_denial_from_before_the_start_in_doubt_does_not_count",),
    ),
    Mutant(
        "try without address kept",
        "engine/launch.py",
        "if run.tried is not None and not run.tried.target and run.tried != tried:",
        "if False:",
        (f"{MOVED_LAUNCH}a_try_from_before_the_job_had_an_address_gives_way_to_the_first_real_one",),
    ),
    Mutant(
        "denied run that never ends",
        "engine/reconcile.py",
        "if now >= end:",
        "if False:",
        (f"{MOVED}a_run_whose_target_denies_for_a_day_ends_as_unknown",),
    ),
    Mutant(
        "first denial forgotten",
        "engine/unanswered.py",
        "since = now if run.unanswered is None else run.unanswered.since",
        "since = now",
        (f"{MOVED}a_run_whose_target_denies_for_a_day_ends_as_unknown",),
    ),
    Mutant(
        "denial remembered after an answer",
        "engine/reconcile.py",
        "return replace(_looked_at(folded, now + OVERDUE_MS), unanswered=None)",
        "return _looked_at(folded, now + OVERDUE_MS)",
        (f"{MOVED}an_answer_ends_the_time_that_a_denial_lasts",),
    ),
    Mutant(
        "silence taken for a denial",
        "engine/unanswered.py",
        "(DENIED_ENDS_MS if is_denied else SILENT_ENDS_MS)",
        "DENIED_ENDS_MS",
        (f"{MOVED}a_run_whose_target_is_out_of_order_is_given_a_week",),
    ),
    Mutant(
        "unknown end of a redriven run",
        "engine/reconcile.py",
        "retry=retry_of(run), failure=failure)",
        "failure=failure)",
        (f"{MOVED}a_redriven_run_ends_as_unknown_too",),
    ),
    Mutant(
        "kind of a run without a try",
        "engine/reconcile.py",
        'kind = kind_of(run.target or "") or (settings.target if settings else "")',
        'kind = settings.target if settings else ""',
        (f"{MOVED}a_run_of_another_kind_than_its_job_is_now_is_asked_about_where_it_runs",),
    ),
    Mutant(
        "a job's new address taken for the run's",
        "engine/record.py",
        "elif settings is not None:\n            own.append",
        "if settings is not None:\n            own.append",
        (f"{MOVED_RECORD}an_execution_at_the_new_address_does_not_end_a_run_at_the_former_one",),
    ),
    Mutant(
        "kind of target in RECORD",
        "engine/record.py",
        "(given for kind, given in own if kind == change.kind)",
        "(given for _, given in own)",
        (f"{MOVED_RECORD}a_name_of_another_kind_of_target_is_not_the_runs_address",),
    ),
    Mutant(
        "former addresses in RECORD",
        "engine/record.py",
        "if self._has_moved_from(change) and not self._is_of_former(change):",
        "if self._has_moved_from(change):",
        (f"{MOVED_RECORD}an_event_without_launch_id_is_looked_into_at_former_addresses_only",),
    ),
    Mutant(
        "reason that is denied since the job has moved",
        "engine/record.py",
        "if isinstance(error, LaunchDeniedError) and self._has_moved_from(change):",
        "if False:",
        (
            f"{MOVED_RECORD}a_failure_whose_reason_is_denied_since_the_job_has_moved_is_recorded_and_no_dead_letter",
        ),
    ),
    Mutant(
        "reports of runs whose target can be asked",
        "engine/record.py",
        "if attempt == run.attempt and is_unknown(run):",
        "if attempt == run.attempt:",
        (f"{MOVED_RECORD}whoever_has_looked_may_report_of_a_run_that_ended_as_unknown",),
    ),
)


class MutationError(Exception):
    """A mutant that says nothing: its text is not there once, or its tests did not run."""


def copy_to(folder: Path) -> None:
    """What the tests need of the project, in a folder of its own."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(source, folder / name)


def mutate(mutant: Mutant, folder: Path) -> None:
    """Weaken the copy.

    Raises:
        MutationError: if the text to change does not occur exactly once.
    """
    module = folder / LIBRARY / mutant.module
    text = module.read_text()
    if text.count(mutant.old) != 1:
        msg = (
            f"{mutant.name}: {mutant.module} has this {text.count(mutant.old)} times, not once: {mutant.old}"
        )
        raise MutationError(msg)
    module.write_text(text.replace(mutant.old, mutant.new))


def red_tests(folder: Path, tests: tuple[str, ...]) -> list[str]:
    """Those of the tests that fail in a copy.

    Raises:
        MutationError: if they could not be run.
    """
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *tests]
    answer = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    if answer.returncode not in {0, 1}:
        msg = f"{' '.join(tests)} did not run: {answer.stdout[-2_000:]}{answer.stderr[-2_000:]}"
        raise MutationError(msg)
    return re.findall(r"^FAILED (\S+?::\S+)", answer.stdout, re.MULTILINE)


def killers(mutant: Mutant) -> list[str]:
    """The tests that a mutant turns red.

    Raises:
        MutationError: if it says nothing.
    """
    with tempfile.TemporaryDirectory(prefix="treadle-mutant-") as name:
        folder = Path(name)
        copy_to(folder)
        mutate(mutant, folder)
        return red_tests(folder, mutant.tests)


def main(names: list[str]) -> int:
    """Print each mutant with a test that it turns red.

    Args:
        names: words of the mutants' names; all mutants if there are none.

    Returns:
        1 if one survives, or the tests are red without any; 0 otherwise.
    """
    chosen = [each for each in MUTANTS if not names or any(name in each.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="treadle-mutant-") as name:
        copy_to(Path(name))
        broken = red_tests(Path(name), tuple({test: None for each in chosen for test in each.tests}))
    if broken:
        print(f"red without any mutant: {', '.join(broken)}")
        return 1
    survivors = 0
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for mutant, red in zip(chosen, pool.map(killers, chosen), strict=True):
            survivors += not red
            verdict = red[0].partition("::")[2] if red else "SURVIVES"
            print(f"{mutant.name:<45} {verdict}", flush=True)
    print(f"mutants: {len(chosen)}, survivors: {survivors}")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
