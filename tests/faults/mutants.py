"""Mutation tests: each mutant weakens the protocol at one place, and a test must kill it. Run by `make mutants`."""

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
COPIED = ("layers", "tests", "tools", "functions", "events", "template.yaml", "engine", "pyproject.toml")
PARALLEL = 2
TIME_LIMIT = 300
"""How long up to twenty tests may take, in seconds."""

SENSORS, TICKS, RUNS = (f"adapters/dynamodb/{name}.py" for name in ("sensors", "ticks", "runs"))
OF_SENSORS, OF_EDITS, OF_TICKS, OF_RUNS, OF_REGISTRY = (
    f"tests/contract/test_{name}.py::test_"
    for name in ("sensor_store", "sensor_edits", "tick_store", "run_store", "registry_store")
)
PARTIAL = "tests/contract/test_partial_batches.py::test_"
UNSTORABLE = "tests/contract/test_unstorable_ticks.py::test_"
WHOLE_FLOW = "tests/faults/test_every_call.py::test_without_faults_all_invariants_hold"
PUBLISHING = "tests/faults/test_every_call_of_publish.py::test_"
WATCHING = "tests/unit/test_external_run_poller.py::test_"
TOGETHER = "tests/unit/test_event_tick_batches.py::test_"
EVENT_SENSORS = "tests/functional/test_event_sensors.py::test_"
EVENT_TICKS = "tests/unit/test_event_ticks.py::test_"
SCHEDULED = "tests/unit/test_scheduled_ticks.py::test_"
HELD = "tests/unit/test_held_ticks.py::test_"
HOPS = "tests/unit/test_message_hops.py::test_"
LOOPS, GUARD = "tests/functional/test_loops.py::test_", "tests/unit/test_loop_guard.py::test_"
ATTEMPTS = "tests/unit/test_dispatch_attempts.py::test_"
BATCHES = "tests/unit/test_batches_in_any_order.py::test_"
ASSETS = "tests/faults/test_every_call_of_assets.py::test_"
MOVED, MOVED_LAUNCH, MOVED_RECORD = (
    f"tests/unit/test_{name}.py::test_"
    for name in ("moved_jobs", "launch_of_moved_jobs", "record_of_moved_jobs")
)
DISPATCHES = "tests/unit/test_dispatch_batches.py::test_"
LAUNCHES = "tests/unit/test_launch_batches.py::test_"
TAKEOVER = (
    "tests/faults/test_takeover.py::test_a_second_message_starts_nothing_as_long_as_the_first_launch_can_act"
)
ROLES = "tests/unit/test_job_roles.py::test_"
ASSUMED = "tests/unit/targets/test_roles.py::test_"
CACHED, SYNCED, REFUSALS = (
    f"tests/unit/test_{name}.py::test_" for name in ("registry_cache", "registry_sync", "launch_refusals")
)
REGISTERED = "tests/functional/test_registry.py::test_"
POISON = "tests/functional/test_poison.py::test_"
PARSERS = "tests/unit/test_poison_messages.py::test_"
ON_TABLES = "tests/contract/test_unreadable.py::test_"
UNREADABLE = "tests/unit/test_reconcile_unreadable.py::test_"
PARTITIONS = "adapters/dynamodb/partitions.py"
OF_PARTITIONS = "tests/contract/test_partition_store.py::test_"
PARTITION_TICKS = "tests/unit/test_dynamic_partitions.py::test_"
IN_ANY_ORDER = (
    "tests/faults/test_every_call_of_partitions.py::"
    "test_last_committed_change_applies_however_often_and_in_whatever_order_ticks_are_dispatched"
)
OF_MESSAGES = "tests/unit/test_queue_sensors.py::test_"
OF_REQUESTS = "tests/unit/test_webhook_sensors.py::test_"
OF_RECORDS = "tests/unit/test_stream_sensors.py::test_"
CONSUMER = "entrypoints/stream_consumer.py"
OF_DELIVERIES = "tests/contract/test_delivery_store.py::test_"
RESPONSES = "tests/functional/test_webhook_sensors.py::test_"
SIGNATURES, RECEIVER = "definitions/webhook_verification.py", "engine/tick/webhook_receiver.py"
OF_EVENTS = "tests/unit/test_event_sensors.py::test_"
BACKFILLS = "tests/unit/test_backfills.py::test_"
OF_BACKFILLS = "tests/contract/test_backfill_store.py::test_"
BACKFILLER = "engine/backfills/backfiller.py"
POOLS = "adapters/dynamodb/pools.py"
OF_POOLS = "tests/contract/test_pool_store.py::test_"
POOL_CHECKS = "tests/unit/test_pool_checks.py::test_"
OVERLAP = "tests/unit/test_overlap.py::test_"
POOL_FAULTS = "tests/faults/test_every_call_of_pools.py::test_"
PAYLOADS = "tests/faults/test_large_requests.py::test_"
LARGE = "tests/unit/test_large_requests.py::test_"
HOURS = "tests/unit/test_hours.py::test_"
POOL_FLOW = f"{POOL_FAULTS}limits_hold_and_every_run_ends"
BATCH_STORE, BATCH_MODEL = "adapters/dynamodb/batches.py", "model/batches.py"
CLOSER, ACCEPTOR = "engine/batches/closer.py", "engine/tick/batch_acceptor.py"
OF_BATCH_STORE = "tests/contract/test_batch_store.py::test_"
CLOSING = "tests/unit/test_batch_closer.py::test_"
EACH_BATCH_CALL = "tests/faults/test_every_call_of_batches.py::test_"
MANY_ITEMS = "tests/faults/test_batches_of_many.py::test_"
BATCHED = "tests/functional/test_batches.py::test_"
RECORDED_BATCHES = "tests/unit/test_batches_of_recorded_events.py::test_"
EVENTS = "adapters/dynamodb/assets.py"
NUMBERS = "tests/faults_moto/test_event_numbers.py::test_"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant.

    Attributes:
        name: what is weakened.
        module: the module of the library.
        old: the original text, which occurs there exactly once.
        new: the text that replaces it.
        tests: the tests of which at least one must fail.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "ids of events read before the counter",
        EVENTS,
        """            last, is_listed = self._counter(key)
            # Later than the counter, so that an event up to its number cannot be missed.
            known = self._known(key, events)
""",
        """            known = self._known(key, events)
            last, is_listed = self._counter(key)
""",
        (f"{NUMBERS}append_that_another_overtakes_numbers_each_event_once",),
    ),
    Mutant(
        "counter moved past events without ids",
        EVENTS,
        "ids = [*unfinished, *(",
        "ids = [*(",
        (f"{NUMBERS}append_that_ends_anywhere_is_completed",),
    ),
    Mutant(
        "append that is left where its id is known",
        EVENTS,
        "attempt > 0 or any(number > last for number in known.values())",
        "attempt > 0",
        (f"{NUMBERS}append_that_ends_anywhere_is_completed",),
    ),
    Mutant(
        "number that replaces another event",
        EVENTS,
        "absent = Model.item.does_not_exist()",
        "absent = Model.item.does_not_exist() | Model.item.exists()",
        (f"{NUMBERS}append_that_another_overtakes_numbers_each_event_once",),
    ),
    Mutant(
        "started run queried where its launch was to be checked",
        "engine/reconcile/reconciler.py",
        "is_early = first is not None and self",
        "is_early = first == 0 and self",
        ("tests/unit/test_reconcile.py::test_a_started_run_keeps_the_check_of_its_launch",),
    ),
    Mutant(
        "check of a started run that is put off for ever",
        "engine/reconcile/reconciler.py",
        "self._clock.now() < first and run.unanswered",
        "run.unanswered",
        ("tests/unit/test_reconcile.py::test_a_run_that_ended_unseen_gets_its_end",),
    ),
    Mutant(
        "maximum runtime that is checked where the launch was to be",
        "engine/launch/launcher.py",
        "next_at=min(started.next_at, current.next_at)",
        "next_at=current.next_at",
        ("tests/unit/test_max_runtime.py::test_run_is_checked_when_its_maximum_runtime_is_over",),
    ),
    Mutant(
        "item is accepted again",
        BATCH_STORE,
        "condition=Model.tick_id.does_not_exist()),",
        "condition=None),",
        (f"{OF_BATCH_STORE}item_is_accepted_once_and_its_first_acceptance_stays[moto]",),
    ),
    Mutant(
        "closer without the lease commits a batch",
        BATCH_STORE,
        "            condition=_is_own(lease),\n",
        "            condition=None,\n",
        (f"{OF_BATCH_STORE}closer_without_the_lease_commits_nothing[moto]",),
    ),
    Mutant(
        "batch is committed under a later lease of the same owner",
        BATCH_STORE,
        "return (Model.owner == lease.owner) & (Model.epoch == lease.epoch)",
        "return Model.owner == lease.owner",
        (f"{OF_BATCH_STORE}same_owner_with_another_epoch_commits_nothing[moto]",),
    ),
    Mutant(
        "batch is taken from a closer that has the lease",
        BATCH_STORE,
        "if before is None or before.is_held(now):",
        "if before is None:",
        (f"{OF_BATCH_STORE}only_one_closer_has_the_lease_until_it_expires[moto]",),
    ),
    Mutant(
        "due time is removed although an item was accepted since",
        BATCH_STORE,
        "steps = [(noted, _is_own(lease) & (Model.closing == lease.epoch))]",
        "steps = [(noted, _is_own(lease))]",
        (f"{OF_BATCH_STORE}item_accepted_while_a_batch_is_closed_keeps_it_due[moto]",),
    ),
    Mutant(
        "later time of what is left replaces an earlier one",
        BATCH_STORE,
        "_is_own(lease) & (Model.pending_since > due)",
        "_is_own(lease)",
        (f"{OF_BATCH_STORE}earlier_time_of_an_item_accepted_meanwhile_counts[moto]",),
    ),
    Mutant(
        "nobody looks after a closer that dies",
        BATCH_STORE,
        "Model.pending_since.set(expires_at + 1),",
        "Model.pending_since.set(expires_at + 86_400_000),",
        (f"{OF_BATCH_STORE}batch_is_due_after_the_lease_of_a_closer_that_may_die[moto]",),
    ),
    Mutant(
        "marked item still waits",
        BATCH_STORE,
        "self._database.batch_write(self._table, entries, keys)",
        "self._database.batch_write(self._table, entries, keys[:0])",
        (f"{OF_BATCH_STORE}committed_batch_is_unmarked_until_its_items_are_marked[moto]",),
    ),
    Mutant(
        "who accepts an item while a batch is closed relies on the closer",
        BATCH_MODEL,
        "    if state.closing is not None:\n",
        "    if state.closing is not None and not state.due:\n",
        (f"{OF_BATCH_STORE}item_accepted_while_a_batch_is_closed_keeps_it_due[memory]",),
    ),
    Mutant(
        "quiet batch is moved beyond its longest wait",
        BATCH_MODEL,
        "return DueTimes(min(state.first_at + within, now + quiet), state.first_at, now)",
        "return DueTimes(now + quiet, state.first_at, now)",
        (f"{MANY_ITEMS}batch_that_never_becomes_quiet_is_closed_by_its_longest_wait",),
    ),
    Mutant(
        "last batch is not marked before the next is read",
        CLOSER,
        "        if tick_id is None:\n",
        "        if tick_id is None or tick_id:\n",
        (f"{EACH_BATCH_CALL}no_fault_at_any_call_breaks_a_batch[full-killed after]",),
    ),
    Mutant(
        "batch is marked before it is committed",
        CLOSER,
        "        commit = self._commit_of(attempt, result.tick, failures)\n        try:\n",
        "        commit = self._commit_of(attempt, result.tick, failures)\n        if commit.manifest is not None:\n            self._batches.mark(commit.manifest, commit.manifest.members)\n        try:\n",
        (f"{EACH_BATCH_CALL}without_faults_each_item_is_in_one_batch[full]",),
    ),
    Mutant(
        "death of an evaluation is no failure",
        CLOSER,
        "failures, has_died = lease.before.failures, lease.before.has_died",
        "failures, has_died = lease.before.failures, False",
        (f"{CLOSING}evaluation_that_died_counts_as_a_failure_and_halves_the_batch_after_five",),
    ),
    Mutant(
        "death while a batch is marked is a failure",
        BATCH_MODEL,
        "return self.owner is not None and self.unmarked is None",
        "return self.owner is not None",
        (f"{CLOSING}closer_that_ends_while_it_marks_a_batch_has_not_failed",),
    ),
    Mutant(
        "one death sets an item aside",
        CLOSER,
        "tick.error.type == _DIED_TYPE and deaths <= len(RETRY_MS)",
        "tick.error.type == _DIED_TYPE and deaths < 0",
        (f"{CLOSING}item_that_ends_the_process_is_set_aside_after_it_has_done_so_alone_five_times",),
    ),
    Mutant(
        "outage sets every item aside",
        CLOSER,
        "        if not failures.may_set_aside:\n",
        "        if not items:\n",
        (f"{MANY_ITEMS}outage_of_the_function_sets_few_items_aside",),
    ),
    Mutant(
        "batch that fails is never halved",
        CLOSER,
        "            if count <= len(RETRY_MS):\n                return BatchFailures(count, now + RETRY_MS[count - 1], reason=reason), False\n",
        "            if count:\n                return BatchFailures(1, now + RETRY_MS[0], reason=reason), False\n",
        (f"{CLOSING}second_item_is_set_aside_only_after_a_success",),
    ),
    Mutant(
        "batch is evaluated before its delay",
        CLOSER,
        "if now < failures.retry_at or not items:",
        "if not items:",
        (f"{CLOSING}failed_batch_is_not_evaluated_before_its_delay",),
    ),
    Mutant(
        "sensor without the state closes its batches",
        CLOSER,
        "return state if is_running and not state.is_foreign(self._project) else None",
        "return state",
        (f"{CLOSING}state_of_another_project_closes_nothing",),
    ),
    Mutant(
        "throttled closer keeps the lease",
        CLOSER,
        "                self._batches.finish(lease, self._clock.now(), lease.before.first_at)\n",
        "                pass\n",
        (f"{CLOSING}throttled_store_is_no_failure_and_another_closer_continues_at_once",),
    ),
    Mutant(
        "time closes no batch",
        CLOSER,
        "return chosen if is_full or failures.count or now >= self._closes_at(items) else ()",
        "return chosen if is_full or failures.count else ()",
        (f"{EACH_BATCH_CALL}without_faults_each_item_is_in_one_batch[quiet]",),
    ),
    Mutant(
        "item of a process that died does not open its batch",
        ACCEPTOR,
        "if before is None or before.tick_id is None:",
        "if before is None:",
        (f"{CLOSING}item_of_a_process_that_died_opens_its_batch_when_it_is_delivered_again",),
    ),
    Mutant(
        "message is done before its batch is open",
        "entrypoints/evaluator.py",
        "        parts.sensor.acceptor.settle(closes=closes)\n",
        "        try:\n            parts.sensor.acceptor.settle(closes=closes)\n        except StoreError:\n            pass\n",
        (f"{BATCHED}message_returns_to_its_queue_unless_it_is_certain_that_it_waits[open]",),
    ),
    Mutant(
        "stream goes on before the batches of its records are open",
        "entrypoints/evaluator.py",
        '    answer = batch.consume(event["Records"])\n    _settle(parts, Budget(remaining_seconds(context)))\n',
        '    answer = batch.consume(event["Records"])\n',
        (
            f"{BATCHED}stream_does_not_go_on_unless_it_is_certain_that_its_records_wait[open]",
            f"{EACH_BATCH_CALL}without_faults_each_item_is_in_one_batch[records]",
        ),
    ),
    Mutant(
        "record that can never be accepted blocks its shard",
        "engine/tick/event_ticks.py",
        "if self._definition.batch is None or self._definition.events_return:",
        "if self._definition.batch is None:",
        (f"{BATCHED}record_for_which_by_always_fails_is_given_up_and_blocks_no_other",),
    ),
    Mutant(
        "status that was evaluated by itself is in a batch after a replay",
        "definitions/run_status.py",
        "events_return: ClassVar[bool] = True",
        "events_return: ClassVar[bool] = False",
        (f"{BATCHED}what_was_evaluated_before_the_sensor_had_batches_is_in_none[status]",),
    ),
    Mutant(
        "materialization that was evaluated by itself is in a batch after a replay",
        "definitions/asset_sensor.py",
        "events_return: ClassVar[bool] = True",
        "events_return: ClassVar[bool] = False",
        (f"{BATCHED}what_was_evaluated_before_the_sensor_had_batches_is_in_none[materialization]",),
    ),
    Mutant(
        "record that waits has an attempt that never ends",
        "engine/tick/event_ticks.py",
        "if status is not TickStatus.FAILURE or self._definition.batch is not None:",
        "if status is not TickStatus.FAILURE:",
        (f"{BATCHED}stream_goes_on_once_its_records_wait_and_a_full_batch_is_one_tick",),
    ),
    Mutant(
        "record that a store did not accept has failed",
        "engine/tick/event_ticks.py",
        "if self._definition.batch is not None and not isinstance(error, SensorEvaluationError):",
        "if self._definition.batch is not None and not isinstance(error, TreadleError):",
        (f"{BATCHED}stream_does_not_go_on_unless_it_is_certain_that_its_records_wait[accept]",),
    ),
    Mutant(
        "records of another project's sensor are given up",
        "engine/tick/event_ticks.py",
        "if self._definition.batch is not None and not isinstance(error, SensorEvaluationError):",
        "if self._definition.batch is not None:",
        (f"{BATCHED}record_is_not_given_up_while_the_sensor_belongs_to_another_project",),
    ),
    Mutant(
        "records of a key change their places in a batch",
        "definitions/stream_sensor.py",
        "sorted(items, key=_order)",
        "items",
        (f"{RECORDED_BATCHES}records_are_one_batch_in_the_order_of_their_keys",),
    ),
    Mutant(
        "statuses of a run are one item",
        "definitions/run_status.py",
        "event.summary, event.item_identity, event, size",
        "event.summary, event.run.run_id, event, size",
        (f"{RECORDED_BATCHES}statuses_of_one_run_are_items_of_their_own",),
    ),
    Mutant(
        "materialization with the number of another engine's is the same item",
        "definitions/assets.py",
        "/{self.event_id}",
        "/{self.storage_id}",
        (f"{BATCHED}materialization_is_one_item_however_often_it_is_delivered",),
    ),
    Mutant(
        "sweep does not know the items of batches",
        "engine/tick/evaluation.py",
        "return claimed if self._batches is None else claimed | self._batches.known(self.name, run_keys).keys()",
        "return claimed",
        (f"{BATCHED}sweep_lets_objects_wait_and_finds_none_of_them_again",),
    ),
    Mutant(
        "full batch waits for its time",
        ACCEPTOR,
        "return step <= 1 or int(item.key[:8], 16) % step == 0",
        "return False",
        (f"{BATCHED}messages_are_done_once_they_wait_and_a_full_batch_is_one_tick",),
    ),
    Mutant(
        "payloads are stored after the commit",
        "engine/tick/scheduled_ticks.py",
        """            self._evaluator.store_payloads(result)
            completion = _completion(lease, result, failures_before, self._policy, cursor)
            self._sensors.commit(lease, completion)
""",
        """            completion = _completion(lease, result, failures_before, self._policy, cursor)
            self._sensors.commit(lease, completion)
            self._evaluator.store_payloads(result)
""",
        (f"{PAYLOADS}nothing_is_lost_or_started_twice_wherever_a_function_dies",),
    ),
    Mutant(
        "payloads of events are not stored",
        "engine/tick/event_ticks.py",
        "result_of(partial(self._evaluator.store_payloads, result))",
        "None",
        (f"{LARGE}large_run_config_of_an_event_is_stored_before_its_tick_is_committed",),
    ),
    Mutant(
        "run without its payload is started",
        "engine/launch/launcher.py",
        "        if not exists:\n",
        "        if not reference:\n",
        (f"{LARGE}run_whose_payload_has_expired_is_refused_with_that_reason",),
    ),
    Mutant(
        "payloads of sensors and jobs are not kept apart",
        "definitions/payloads.py",
        "{FOLDER}{sensor}/{job}/",
        "{FOLDER}",
        (f"{LARGE}large_run_config_is_stored_and_its_run_refers_to_it",),
    ),
    Mutant(
        "reference may be requested",
        "engine/tick/planning.py",
        "if PAYLOAD_NAME not in request.plain_config:",
        "if PAYLOAD_NAME:",
        (f"{LARGE}name_of_references_is_refused_in_other_run_configs",),
    ),
    Mutant(
        "payload that was changed is read",
        "integrations/payloads.py",
        "if not reference.is_of(content):",
        "if not content:",
        (f"{LARGE}payload_that_was_changed_is_refused",),
    ),
    Mutant(
        "sensor is evaluated outside of its hours",
        "engine/tick/scheduled_ticks.py",
        "not hours.covers(scheduled_for)",
        "not hours.covers(now)",
        (f"{HOURS}sensor_is_not_evaluated_outside_its_hours_and_no_store_is_called",),
    ),
    Mutant(
        "message of a stopped sensor is deleted",
        "entrypoints/queue_consumer.py",
        "is not Decision.STOPPED",
        "is not None",
        (f"{OF_MESSAGES}message_of_a_stopped_sensor_returns_after_a_while",),
    ),
    Mutant(
        "message that was not evaluated is deleted",
        "entrypoints/queue_consumer.py",
        "    return False\n",
        "    return True\n",
        (f"{OF_MESSAGES}message_that_was_not_evaluated_returns_and_nothing_else_is_done_with_it",),
    ),
    Mutant(
        "later message of a failed group is evaluated",
        "entrypoints/queue_consumer.py",
        "broken.add(group)",
        "broken.discard(group)",
        (f"{OF_MESSAGES}later_messages_of_a_failed_group_return_without_being_evaluated",),
    ),
    Mutant(
        "record of a sensor that is stopped meanwhile is passed",
        CONSUMER,
        "is not Decision.STOPPED",
        "is not None",
        (f"{OF_RECORDS}stop_during_a_batch_leaves_the_rest_in_the_stream",),
    ),
    Mutant(
        "malformed record of a stopped sensor is passed",
        CONSUMER,
        "if not self._events.is_running(batch_state):",
        "if batch_state is None:",
        (f"{OF_RECORDS}nothing_of_a_stopped_sensor_is_evaluated_or_given_up",),
    ),
    Mutant(
        "record at which the function failed is passed",
        CONSUMER,
        "                self._withdraw(event, batch_state, error)\n        return False",
        "                self._withdraw(event, batch_state, error)\n        return True",
        (f"{OF_RECORDS}bad_record_is_given_up_with_its_body_and_those_after_it_are_evaluated",),
    ),
    Mutant(
        "record is given up without its dead letter",
        CONSUMER,
        "            self._retried(unsent)\n            return False",
        "            self._retried(unsent)\n            return True",
        (f"{OF_RECORDS}record_whose_dead_letter_was_not_sent_stays_in_the_stream",),
    ),
    Mutant(
        "later record of a key is evaluated before an unfinished one",
        CONSUMER,
        "event.key in waiting or (place",
        "(place",
        (f"{OF_RECORDS}later_records_of_the_same_key_wait_and_others_do_not",),
    ),
    Mutant(
        "record that waited does not hold back later ones of its key",
        CONSUMER,
        "            elif not self._is_done(record, event, batch_state):\n                waiting.add(event.key)",
        "            elif not self._is_done(record, event, batch_state):\n                waiting.discard(event.key)",
        (f"{OF_RECORDS}later_records_of_the_same_key_wait_and_others_do_not",),
    ),
    Mutant(
        "bad record is evaluated for ever",
        CONSUMER,
        "elif self._events.attempts(event, batch_state) + 1 >= self._max_attempts:",
        "elif self._events.attempts(event, batch_state) < 0:",
        (f"{OF_RECORDS}bad_record_is_given_up_with_its_body_and_those_after_it_are_evaluated",),
    ),
    Mutant(
        "attempt that ends the process does not count",
        CONSUMER,
        "self._has_begun = self._has_begun or self._events.begin(event, batch_state)",
        "self._has_begun = self._has_begun or True",
        (f"{OF_RECORDS}record_that_ends_the_process_is_given_up_after_as_many_attempts",),
    ),
    Mutant(
        "record that ended the process is evaluated again after its last attempt",
        CONSUMER,
        "return self._events.attempts(event, batch_state) >= self._max_attempts",
        "return self._events.attempts(event, batch_state) > 1_000",
        (f"{OF_RECORDS}record_that_ends_the_process_is_given_up_after_as_many_attempts",),
    ),
    Mutant(
        "store that does not answer exhausts a record",
        CONSUMER,
        "            if isinstance(error, TreadleError):\n                self._withdraw(event, batch_state, error)",
        "            if error is None:\n                self._withdraw(event, batch_state, error)",
        (f"{OF_RECORDS}store_that_does_not_answer_exhausts_no_record",),
    ),
    Mutant(
        "state of another project exhausts a record",
        CONSUMER,
        "if error.error_type == SensorOwnershipError.__name__:",
        "if error is None:",
        (f"{OF_RECORDS}state_of_another_project_exhausts_no_record",),
    ),
    Mutant(
        "record is evaluated without enough time",
        CONSUMER,
        "(place and not self._has_time())",
        "(place and self._max_attempts < 0)",
        (f"{OF_RECORDS}records_for_which_there_is_no_time_are_delivered_again_and_the_first_is_evaluated",),
    ),
    Mutant(
        "rest of a large batch is passed",
        CONSUMER,
        "*records[MOST_RECORDS:]]",
        "*records[len(records):]]",
        (f"{OF_RECORDS}large_batch_is_evaluated_in_parts",),
    ),
    Mutant(
        "dead letter of a stopped sensor's record is deleted",
        "operate/record_redrive.py",
        'if answer.get("decision") not in _DONE:',
        'if answer.get("decision") is None:',
        ("tests/unit/test_stream_operations.py::test_dead_letter_of_a_record_goes_once_it_is_evaluated",),
    ),
    Mutant(
        "request with an invalid signature is evaluated",
        RECEIVER,
        "if authenticity is Authenticity.INVALID:",
        "if authenticity is None:",
        (f"{OF_REQUESTS}request_that_is_not_authentic_is_refused_and_nothing_is_stored",),
    ),
    Mutant(
        "any signature of the right form is valid",
        SIGNATURES,
        'return hmac.compare_digest(given.encode(errors="surrogatepass"), wanted.encode())',
        "return len(given) == len(wanted)",
        (f"{OF_REQUESTS}signature_of_githubs_documentation_is_valid",),
    ),
    Mutant(
        "signature does not cover its time",
        SIGNATURES,
        'f"{time}.".encode() + body',
        "body",
        (f"{OF_REQUESTS}time_of_a_signature_may_differ_by_the_tolerance",),
    ),
    Mutant(
        "signature is valid for ever",
        SIGNATURES,
        "return Authenticity.LATE if is_late else Authenticity.VALID",
        "return Authenticity.VALID",
        (f"{OF_REQUESTS}signature_outside_the_tolerance_is_refused_unless_the_request_is_known",),
    ),
    Mutant(
        "signature of the future is valid",
        SIGNATURES,
        "abs(now - int(times[0]) * 1000)",
        "(now - int(times[0]) * 1000)",
        (f"{OF_REQUESTS}time_of_a_signature_may_differ_by_the_tolerance",),
    ),
    Mutant(
        "old signature of a new request is accepted",
        RECEIVER,
        "if before is None:",
        "if before == 0:",
        (f"{OF_REQUESTS}signature_outside_the_tolerance_is_refused_unless_the_request_is_known",),
    ),
    Mutant(
        "identity is recorded before the signature is checked",
        RECEIVER,
        "        authenticity = self._authenticity(request)\n",
        "        self._deliveries.accept(self._sensor, self._verification.identities(request), 0)\n"
        "        authenticity = self._authenticity(request)\n",
        (f"{OF_REQUESTS}request_that_is_not_authentic_is_refused_and_nothing_is_stored",),
    ),
    Mutant(
        "second delivery of a request is a tick of its own",
        RECEIVER,
        "return self._deliveries.accept(self._sensor, identities, now) if identities.is_lasting else now",
        "return now",
        (f"{OF_REQUESTS}captured_request_under_a_fresh_delivery_id_starts_nothing",),
    ),
    Mutant(
        "another body under a known delivery id is evaluated",
        "adapters/dynamodb/deliveries.py",
        "delivery is not None and delivery[1] != key",
        "delivery is not None and not key",
        (f"{OF_DELIVERIES}delivery_id_of_another_request_counts_where_both_are_known[moto]",),
    ),
    Mutant(
        "known request is accepted again",
        "adapters/dynamodb/deliveries.py",
        "condition=absent,",
        "condition=None,",
        (f"{OF_DELIVERIES}request_is_accepted_once_and_its_first_time_stays[moto]",),
    ),
    Mutant(
        "request of long ago is evaluated again",
        RECEIVER,
        "if self._clock.now() - at > RECENT_MS:",
        "if at > self._clock.now():",
        (f"{OF_REQUESTS}request_that_was_accepted_long_ago_is_not_evaluated_again",),
    ),
    Mutant(
        "secret is read again for each signature that does not match",
        RECEIVER,
        "if self._clock.now() - self._tried_at < REFRESH_MS:",
        "if self._clock.now() < self._tried_at:",
        (f"{OF_REQUESTS}secret_is_read_again_once_a_minute_for_signatures_that_do_not_match",),
    ),
    Mutant(
        "request of a stopped sensor is accepted",
        RECEIVER,
        "if outcome.decision is Decision.STOPPED:",
        "if outcome.decision is None:",
        (f"{OF_REQUESTS}stopped_sensor_accepts_nothing_and_evaluates_it_when_it_is_sent_again",),
    ),
    Mutant(
        "request that was not evaluated is accepted",
        "entrypoints/webhook.py",
        "        response = NOT_ACCEPTED\n",
        '        response = WebhookResponse(202, "")\n',
        (f"{RESPONSES}function_that_fails_leaves_a_failed_tick_and_503",),
    ),
    Mutant(
        "empty secret is a secret",
        "adapters/secret_versions.py",
        "if not value.strip():",
        "if value is None:",
        (f"{RESPONSES}empty_secret_accepts_nobody",),
    ),
    Mutant(
        "events of two sources share their ticks",
        "definitions/bus_event.py",
        '("event", self.account, self.region, self.source, self.id)',
        '("event", self.account, self.region, self.id)',
        (f"{OF_EVENTS}each_part_of_the_identity_counts",),
    ),
    Mutant(
        "events of two accounts share their run keys",
        "definitions/bus_event.py",
        'f"{self.account}/{self.region}/{self.source}/{self.id}"',
        'f"{self.region}/{self.source}/{self.id}"',
        (f"{OF_EVENTS}each_event_starts_one_run_however_often_it_is_delivered",),
    ),
    Mutant(
        "event that the pattern excludes is evaluated",
        "definitions/event_sensor.py",
        'return "" if self.monitors(event) else',
        'return "" if self.name else',
        (f"{OF_EVENTS}event_that_does_not_match_is_skipped_and_the_tick_says_so",),
    ),
    Mutant(
        "backfill written over an operator's edit",
        "adapters/dynamodb/backfills.py",
        "item, Model.revision == backfill.revision",
        "item, Model.run_id.exists()",
        (f"{OF_BACKFILLS}write_under_an_old_revision_is_refused",),
    ),
    Mutant(
        "runs of two backfills share their ids",
        "engine/identity.py",
        '["backfill", name, partition_key]',
        '["backfill", partition_key]',
        (f"{BACKFILLS}again_makes_another_backfill_of_the_same_content",),
    ),
    Mutant(
        "backfill with other content accepted under its name",
        "operate/backfills.py",
        "existing is not None and existing.digest != digest",
        "existing is not None and not existing.digest",
        (f"{BACKFILLS}name_with_other_content_is_refused",),
    ),
    Mutant(
        "limit of a backfill not lowered by runs in progress",
        BACKFILLER,
        "backfill.limit - backfill.in_progress",
        "backfill.limit",
        (f"{BACKFILLS}limit_bounds_the_runs_in_progress",),
    ),
    Mutant(
        "paused backfill reserves",
        BACKFILLER,
        "if backfill.status is BackfillStatus.REQUESTED and backfill.count(PartitionState.WAITING):",
        "if backfill.count(PartitionState.WAITING):",
        (f"{BACKFILLS}paused_backfill_starts_nothing_and_continues_when_resumed",),
    ),
    Mutant(
        "paused backfill of which nothing runs is forgotten",
        BACKFILLER,
        "next_at=due if backfill.is_unfinished else None",
        "next_at=due if backfill.in_progress else None",
        (f"{BACKFILLS}paused_backfill_starts_nothing_and_continues_when_resumed",),
    ),
    Mutant(
        "reservation of a canceled backfill starts",
        BACKFILLER,
        "return self._canceled(backfill, run) if backfill.status is BackfillStatus.CANCELED else run",
        "return run",
        (f"{BACKFILLS}cancel_that_meets_a_reservation_leaves_nothing_to_start",),
    ),
    Mutant(
        "retry creates another attempt after a crash",
        BACKFILLER,
        "if current.attempt >= attempt or not current.status.is_finished:",
        "if attempt == 1 or not current.status.is_finished:",
        (f"{BACKFILLS}retry_whose_attempt_was_created_before_a_crash_creates_no_other",),
    ),
    Mutant(
        "report of ends takes over a reservation",
        BACKFILLER,
        "takes_over = positions is None",
        "takes_over = True",
        (f"{BACKFILLS}report_leaves_a_reservation_to_who_made_it",),
    ),
    Mutant(
        "run of an earlier attempt ends a retried partition",
        BACKFILLER,
        "if states[position] == PartitionState.WAITING.byte:",
        "if not states:",
        (f"{BACKFILLS}report_after_a_retry_keeps_the_partition_waiting",),
    ),
    Mutant(
        "refused role recorded as a try",
        "engine/launch/launcher.py",
        "_pending_start(claim, now, None if unprepared else settings)",
        "_pending_start(claim, now, settings)",
        (f"{ROLES}process_that_dies_where_a_role_was_refused_leaves_no_pending_start",),
    ),
    Mutant(
        "job started although its role was refused",
        "engine/launch/launcher.py",
        "    elif unprepared is not None:\n        raise unprepared\n",
        "",
        (f"{ROLES}start_whose_role_was_refused_is_not_sent_though_it_is_granted_by_now",),
    ),
    Mutant(
        "role of a pending start not assumed first",
        "engine/launch/launcher.py",
        "    if _is_in_doubt(run):\n        target.prepare(start.settings)",
        "    if _is_in_doubt(run):\n        pass",
        (f"{ROLES}pending_start_is_not_looked_up_before_its_role_is_granted",),
    ),
    Mutant(
        "role of a pending start at a former target",
        "engine/record/arns.py",
        "return settings.role if is_there or was_there or pending_start.role is None else pending_start.role",
        "return settings.role",
        (f"{ROLES}pending_start_of_a_job_that_has_moved_is_resolved_with_the_role_of_then",),
    ),
    Mutant(
        "replaced role of a job with the same target",
        "engine/record/arns.py",
        "return settings.role if is_there or was_there or pending_start.role is None else pending_start.role",
        'return pending_start.role or ""',
        (f"{ROLES}replaced_role_of_a_job_that_stayed_is_used_for_what_was_started_with_the_old_one",),
    ),
    Mutant(
        "role of a pending start at a former target in the job's entry",
        "engine/record/arns.py",
        "if is_there or was_there or pending_start.role is None",
        "if is_there or pending_start.role is None",
        (
            f"{ROLES}pending_start_at_an_address_that_its_job_names_as_former_is_resolved_with_the_role_of_its_job",
        ),
    ),
    Mutant(
        "role of the first try kept",
        RUNS,
        'Model.tried_role.set(Model.tried_role | (pending_start.role or ""))',
        'Model.tried_role.set(pending_start.role or "")',
        ("tests/contract/test_pending_starts.py",),
    ),
    Mutant(
        "refusal by STS cached",
        "adapters/targets/roles.py",
        "if error is None or now - known.failed_at >= FRESH_SECONDS:",
        "if True:",
        (f"{ASSUMED}refusal_is_remembered_for_half_a_minute_by_role",),
    ),
    Mutant(
        "credentials replaced within a start",
        "adapters/targets/roles.py",
        "credentials = self._credentials(role)\n",
        "credentials = self._credentials(role, REFRESH_SECONDS)\n",
        (f"{ASSUMED}credentials_are_replaced_ten_minutes_before_they_expire_and_not_within_a_start",),
    ),
    Mutant(
        "denial of old credentials final",
        "adapters/targets/roles.py",
        "if not is_denied(error) or not self._is_dropped(role, credentials):",
        "if True:",
        (f"{ASSUMED}denial_of_old_credentials_is_tried_once_more_with_new_ones",),
    ),
    Mutant(
        "denial of fresh credentials requests others from STS",
        "adapters/targets/roles.py",
        "if self._now() - used.obtained_at < FRESH_SECONDS:",
        "if False:",
        (f"{ASSUMED}denial_of_fresh_credentials_counts_at_once",),
    ),
    Mutant(
        "invalid STS request final",
        "adapters/targets/errors.py",
        "        # Includes what STS calls invalid: a role can be fixed separately, so the start is not rejected.\n        return LaunchDeniedError(msg)",
        "        return LaunchRejectedError(msg)",
        (f"{ASSUMED}whatever_sts_refuses_may_pass",),
    ),
    Mutant(
        "cancel by an operator whom the role does not trust",
        "operate/runs.py",
        "if self._role(run) and self._engine is not None:",
        "if False:",
        (f"{ROLES}operator_leaves_a_run_of_a_job_with_a_role_to_the_engine",),
    ),
    Mutant(
        "job held although the copy is older than the commit",
        "engine/registry/registry_cache.py",
        " or self.read_since(since).may_start(sensor, job)",
        "",
        (f"{CACHED}ce_1_no_is_said_only_of_a_copy_that_was_read_after_the_commit",),
    ),
    Mutant(
        "registry's copy read each time",
        "engine/registry/registry_cache.py",
        "self._read_at >= min(since, now) or now < self._retry_at",
        "now < self._retry_at",
        (f"{CACHED}ce_15_copy_is_read_once_a_minute_however_much_is_started",),
    ),
    Mutant(
        "unavailable store taken for an empty registry",
        "engine/registry/registry_cache.py",
        "                if self._found is None:",
        "                if True:",
        (f"{CACHED}ce_15_stale_copy_is_used_while_the_store_does_not_answer",),
    ),
    Mutant(
        "malformed entry taken for none",
        "engine/registry/registry_sync.py",
        'before = kept or KeptEntry("", read_at)',
        'before = KeptEntry("", read_at)',
        (f"{SYNCED}ce_1_malformed_value_never_replaces_a_valid_one",),
    ),
    Mutant(
        "entry removed after one listing without it",
        "engine/registry/registry_sync.py",
        "elif kept is not None and not (kept.is_deleted or kept.is_missing):",
        "elif False and kept is not None:",
        (f"{SYNCED}entry_that_two_listings_in_a_row_lack_is_gone",),
    ),
    Mutant(
        "older listing written over a newer one",
        "engine/registry/registry_sync.py",
        "elif copy.listed_at >= began_at:",
        "elif False:",
        (f"{SYNCED}older_listing_never_overwrites_a_newer_one",),
    ),
    Mutant(
        "update undone by an older listing",
        "engine/registry/registry_sync.py",
        "if kept is not None and kept.read_at >= began_at:",
        "if False:",
        (f"{SYNCED}listing_that_began_before_an_update_does_not_undo_it",),
    ),
    Mutant(
        "changed entry that is not found taken for deleted",
        "engine/registry/registry_sync.py",
        "if text is None and not is_deleted:",
        "if False:",
        (f"{SYNCED}entry_that_was_reported_as_changed_and_is_not_found_stays",),
    ),
    Mutant(
        "registry's copy without optimistic lock",
        "adapters/dynamodb/registry.py",
        "Model.revision == copy.revision if copy.revision else Model.revision.does_not_exist()",
        "Model.revision.exists() | Model.revision.does_not_exist()",
        (f"{OF_REGISTRY}copy_that_was_read_before_another_was_written_is_not_written",),
    ),
    Mutant(
        "held ticks not checked after a change of the registry",
        "engine/reconcile/reconciler.py",
        "            self._held.renew()",
        "            pass",
        (f"{REGISTERED}ce_1a_code_that_requests_a_job_before_its_grant_is_registered_loses_nothing",),
    ),
    Mutant(
        "unregistered job failed at once",
        "engine/launch/launcher.py",
        "        if not at.arn and settings is None:\n            return self._unregistered(run, launch.request.hops)\n",
        "",
        (f"{REFUSALS}ce_1_job_that_is_not_registered_is_waited_for_as_long_as_for_a_permission",),
    ),
    Mutant(
        "unread parameter taken for absent",
        "adapters/parameters.py",
        'if code_of(error) == "ParameterNotFound":',
        "if True:",
        (f"{REGISTERED}error_of_parameter_store_is_never_absence",),
    ),
    Mutant(
        "failure to decode a record not attributed to it",
        "model/records.py",
        "            raise UnreadableRecordError(name(record), reason_of(error), is_noted=is_noted) from error",
        "            raise",
        (f"{POISON}a_damaged_request_of_a_tick_is_rejected_and_its_others_are_started",),
    ),
    Mutant(
        "unreadable records not skipped",
        "model/records.py",
        '            logger.error("%s", error)  # noqa: TRY400 - its words say all; a stack for each would bury them',
        "            raise",
        ("tests/contract/test_unreadable.py::test_several_runs_are_read_past_one_that_cannot_be[moto]",),
    ),
    Mutant(
        "failure of a parser not attributed to its message",
        "adapters/events.py",
        "    except Exception as error:\n        # A parser",
        "    except KeyError as error:\n        # A parser",
        (f"{PARSERS}a_message_with_anything_in_any_field_is_parsed_or_unknown",),
    ),
    Mutant(
        "messages parsed one by one",
        "entrypoints/handler.py",
        "    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this message",
        "    except KeyError as error:",
        ("tests/unit/test_batches.py::test_whatever_a_parser_raises_makes_that_message_alone_a_dead_letter",),
    ),
    Mutant(
        "nesting of a message",
        "engine/parsing.py",
        "            _check_nesting(value)\n",
        "            pass\n",
        (f"{PARSERS}a_message_may_be_nested_as_deep_as_is_said_and_no_deeper",),
    ),
    Mutant(
        "true accepted as an attempt",
        "engine/messages.py",
        "type(attempt) is int and 0 < attempt",
        "isinstance(attempt, int) and 0 < attempt",
        (f"{PARSERS}what_is_no_count_of_attempts_is_no_launch[True]",),
    ),
    Mutant(
        "unreadable ticks not marked",
        "engine/reconcile/reconciler.py",
        "                self._noted(self._ticks.mark_unreadable, sensor, tick_id, reason=error.reason)",
        "                pass",
        (f"{UNREADABLE}a_tick_that_cannot_be_read_is_a_dead_letter_once_and_checked_once_a_day",),
    ),
    Mutant(
        "unreadable runs not marked",
        "engine/reconcile/reconciler.py",
        "        self._noted(self._runs.mark_unreadable, run_id, reason=reason)\n",
        "",
        (f"{UNREADABLE}a_run_that_cannot_be_read_is_a_dead_letter_once_and_checked_once_a_day",),
    ),
    Mutant(
        "unreadable record without room for the reason",
        "engine/reconcile/reconciler.py",
        '        for text in (reason, "?"):',
        "        for text in (reason,):",
        (f"{UNREADABLE}a_tick_that_takes_no_note_of_its_failure_holds_up_no_other",),
    ),
    Mutant(
        "unreadable record that cannot be marked",
        "engine/reconcile/reconciler.py",
        "            except StoreRejectedError:\n                # An item may have",
        "            except ZeroDivisionError:\n                # An item may have",
        (f"{UNREADABLE}a_record_that_takes_no_change_holds_up_no_other",),
    ),
    Mutant(
        "reaction that a run's record cannot store",
        "engine/dispatch/reactions.py",
        "        except StoreRejectedError:\n            # Such as a record of the maximum size",
        "        except ZeroDivisionError:\n            # Such as a record of the maximum size",
        (f"{UNREADABLE}a_run_that_takes_no_note_of_a_reaction_holds_up_no_request_of_the_tick",),
    ),
    Mutant(
        "reactions that were not written with others taken for recorded",
        "engine/dispatch/reactions.py",
        "        noted = before.keys() - unwritten\n",
        "        noted = before.keys()\n",
        (
            "tests/unit/test_reactions.py::test_run_that_others_change_meanwhile_gets_its_reaction_with_the_tick",
        ),
    ),
    Mutant(
        "unreadable cursor",
        "engine/tick/scheduled_ticks.py",
        "        except UnreadableRecordError as error:\n            unreadable = error",
        "        except ZeroDivisionError as error:\n            unreadable = error",
        (f"{SCHEDULED}tick_without_a_readable_cursor_fails_and_says_so",),
    ),
    Mutant(
        "lost cursor",
        SENSORS,
        "            return _read_cursor(item or {})",
        "            return _read_cursor(item) if item else None",
        (f"{ON_TABLES}a_lost_cursor_is_no_beginning_and_is_set_again_by_an_edit[moto-gone]",),
    ),
    Mutant(
        "lease of an unreadable state",
        SENSORS,
        "            self._give_back(request.sensor, request.owner)\n            raise",
        "            raise",
        (f"{ON_TABLES}a_lease_whose_state_cannot_be_read_is_given_back[moto]",),
    ),
    Mutant(
        "refusal of a request not attributed to it",
        "engine/dispatch/dispatcher.py",
        "        except (UnreadableRecordError, StoreRejectedError) as error:",
        "        except ZeroDivisionError as error:",
        (f"{UNREADABLE}a_request_whose_run_cannot_be_read_is_refused_and_the_others_get_theirs",),
    ),
    Mutant(
        "error of a request raised before the others are launched",
        "engine/dispatch/dispatcher.py",
        "            if is_passing(error):\n                raise\n            return error",
        "            raise",
        (f"{UNREADABLE}what_breaks_one_request_is_raised_once_the_others_are_launched",),
    ),
    Mutant(
        "queue continues after a rejected entry",
        "adapters/queues.py",
        "            failed += self._send(batch)",
        "            failed += self._send(batch) if not failed else []",
        ("tests/unit/test_partial_failures.py::test_messages_behind_a_rejected_one_are_sent",),
    ),
    Mutant(
        "bus continues after a rejected entry",
        "adapters/bus.py",
        "                return [*rejected, *(why for entry in entries for why in self._put([entry]))]",
        "                return [*rejected, str(error)]",
        ("tests/unit/test_partial_failures.py::test_a_request_refused_for_one_event_is_put_event_by_event",),
    ),
    Mutant(
        "invalid keys excluded from a batch",
        "adapters/dynamodb/database.py",
        "for key in dict.fromkeys(keys) if _may_exist(key)]",
        "for key in dict.fromkeys(keys)]",
        ("tests/contract/test_unreadable.py::test_names_that_no_run_can_have_do_not_fail_the_others",),
    ),
    Mutant(
        "loop held by nothing",
        "engine/dispatch/dispatcher.py",
        "        if admission.loop.held:\n            return _SkipCause.LOOPING\n",
        "",
        (f"{LOOPS}job_that_writes_where_its_sensor_watches_is_held[steady-end]",),
    ),
    Mutant(
        "look for a loop not repeated",
        "engine/dispatch/loop_guard.py",
        "            self._due_in[sensor] -= number\n",
        "            pass\n",
        (f"{GUARD}loop_is_held_after_thirty_links",),
    ),
    Mutant(
        "held sensor forgotten until the next look",
        "engine/dispatch/loop_guard.py",
        "        if not evidence.loop:\n            self._due_in",
        "        if True:\n            self._due_in",
        (f"{GUARD}only_the_look_that_finds_the_loop_is_new_and_the_sensor_stays_held",),
    ),
    Mutant(
        "hold by evidence from before the release",
        TICKS,
        "            Model.held_at.does_not_exist() & unreleased,\n",
        "            Model.held_at.does_not_exist(),\n",
        (f"{OF_TICKS}sensor_is_not_held_by_evidence_from_before_its_release[moto]",),
    ),
    Mutant(
        "hold overwritten by another look",
        TICKS,
        "            Model.held_at.does_not_exist() & unreleased,\n",
        "            unreleased,\n",
        (f"{OF_TICKS}sensor_is_held_as_a_loop_once_and_released_once[moto]",),
    ),
    Mutant(
        "sensor released that is not held",
        TICKS,
        "sensor, actions, Model.held_at.exists(), lambda",
        "sensor, actions, Model.sensor.exists() | Model.sensor.does_not_exist(), lambda",
        (f"{OF_TICKS}sensor_that_is_not_held_is_not_released[moto]",),
    ),
    Mutant(
        "runs from before the release taken for evidence",
        "engine/dispatch/loop_evidence.py",
        "        if run.created_at > since:\n",
        "        if True:\n",
        (f"{GUARD}runs_before_a_release_are_no_evidence",),
    ),
    Mutant(
        "busy bucket taken for a loop",
        "engine/dispatch/loop_evidence.py",
        " or before not in writers or len(writers) > WIDTH:",
        " or not writers:",
        (f"{GUARD}ten_thousand_objects_of_others_while_twenty_runs_are_always_in_progress_are_not_held",),
    ),
    Mutant(
        "object of somebody else taken for a link",
        "engine/dispatch/loop_evidence.py",
        " or before not in writers or len(writers) > WIDTH:",
        ":",
        (f"{GUARD}objects_that_come_after_the_run_before_has_ended_are_no_loop[60000]",),
    ),
    Mutant(
        "regular objects taken for a loop",
        "engine/dispatch/loop_evidence.py",
        "    return is_periodic or ",
        "    return ",
        (f"{LOOPS}objects_that_come_at_regular_times_are_not_held[300-360]",),
    ),
    Mutant(
        "sensor's own limit ignored",
        "engine/dispatch/dispatcher.py",
        "        return self._limits.runs_per_hour if own is None else own\n",
        "        return self._limits.runs_per_hour\n",
        (f"{HELD}hourly_limit_of_a_sensor_replaces_that_of_the_engine",),
    ),
    Mutant(
        "record of a batch that was not certainly written",
        "adapters/dynamodb/database.py",
        'return ["Error" not in each for each in answer["Responses"]]',
        'return [True for each in answer["Responses"]]',
        (f"{PARTIAL}each_record_is_written_once_whatever_part_of_the_batch_was_applied",),
    ),
    Mutant(
        "change that others have written meanwhile",
        RUNS,
        "        if current is not None and current.revision != run.revision:\n            return current\n",
        "        if current is not None:\n            return None\n",
        (f"{PARTIAL}a_record_that_has_changed_meanwhile_is_returned_and_kept",),
    ),
    Mutant(
        "record of a batch that others have changed meanwhile",
        RUNS,
        '("run_id", "revision"))',
        '("run_id",))',
        (f"{PARTIAL}a_record_that_has_changed_meanwhile_is_returned_and_kept",),
    ),
    Mutant(
        "report of a run that others have changed meanwhile",
        "engine/record/recorder.py",
        "            if result is not None:\n",
        "            if isinstance(result, Exception):\n",
        (
            "tests/unit/test_record.py::test_change_of_a_run_that_others_change_meanwhile_is_applied_to_what_they_wrote",
        ),
    ),
    Mutant(
        "batch without an answer",
        "adapters/dynamodb/database.py",
        "            return [False] * len(given)\n",
        "            return [True] * len(given)\n",
        (f"{PARTIAL}each_record_is_written_once_whatever_part_of_the_batch_was_applied",),
    ),
    Mutant(
        "existing record taken for one that the batch has written",
        RUNS,
        "lambda: _run(existing[run.run_id]) if run.run_id in existing else self.create(run)",
        "lambda: None if run.run_id in existing else self.create(run)",
        (f"{PARTIAL}a_taken_key_is_decided_by_its_item_and_not_by_the_answer",),
    ),
    Mutant(
        "two statements for one record",
        RUNS,
        "            inserted.remove(run.run_id)  # If it is given again, it exists.\n",
        "",
        (f"{OF_RUNS}a_record_that_is_given_twice_is_created_once",),
    ),
    Mutant(
        "hour that a batch has left room in",
        "engine/dispatch/dispatcher.py",
        "            self._tried(tick, request, partial(self._record, tick, request, run))\n            if result is None\n",
        "            _SkipCause.NOW\n            if result is None\n",
        (f"{HELD}requests_for_existing_runs_leave_room_for_others_of_their_batch",),
    ),
    Mutant(
        "held request taken for started",
        "engine/dispatch/dispatcher.py",
        "        if request.job not in admission.granted:\n            return _SkipCause.GRANTED\n",
        "",
        (f"{HELD}held_request_starts_nothing_and_the_tick_stays_pending_with_the_reason",),
    ),
    Mutant(
        "held request ended with the others",
        "engine/dispatch/dispatcher.py",
        "        if applied.held:\n            held = self._hold(tick, applied, admission)\n            if held is not None:\n                return held\n",
        "        if False:\n",
        (f"{HELD}granted_requests_of_the_same_tick_start_at_once_and_once",),
    ),
    Mutant(
        "drop ignored",
        "engine/dispatch/dispatcher.py",
        "        if tick.dropped is not None:\n            return _SkipCause.WANTED\n",
        "",
        (f"{HELD}dropped_request_does_not_start_though_it_is_granted_meanwhile",),
    ),
    Mutant(
        "drop of a tick that is not held",
        TICKS,
        "waits = Model.pending.exists() & Model.held_requests.exists() & Model.dropped.does_not_exist()",
        "waits = Model.tick_id.exists()",
        (f"{OF_TICKS}drop_is_noted_once_and_the_tick_is_due_then[moto]",),
    ),
    Mutant(
        "drop of chunks in progress",
        TICKS,
        "Model.held_requests.exists() & Model.dropped",
        "Model.held.exists() & Model.dropped",
        (f"{OF_TICKS}what_does_not_wait_is_not_dropped[moto-handed on in chunks]",),
    ),
    Mutant(
        "asset events published at each check of a held tick",
        "engine/dispatch/dispatcher.py",
        "refusals = [] if was_held else self._record_assets(tick)",
        "refusals = self._record_assets(tick)",
        (f"{HELD}asset_events_are_published_once_however_often_what_is_held_is_checked",),
    ),
    Mutant(
        "refused asset events of a large tick not counted",
        "engine/dispatch/dispatcher.py",
        "counts = slicing.counts + DispatchCounts(refused=len(refusals))",
        "counts = slicing.counts",
        (f"{HELD}refused_asset_event_of_a_large_tick_counts_and_is_noted",),
    ),
    Mutant(
        "first check of held ticks by a new process",
        "engine/reconcile/held_ticks.py",
        "        if self._due_at is None or self._due_at > now:\n",
        "        if True:\n",
        (f"{HELD}raised_limit_releases_what_waits_for_the_next_hour_at_once",),
    ),
    Mutant(
        "second check of held ticks by a new process",
        "engine/reconcile/held_ticks.py",
        "self._due_at = self._again_at if self._due_at == 0 else None",
        "self._due_at = None",
        (f"{HELD}deployment_that_changes_dispatch_after_reconcile_is_met_by_a_second_check",),
    ),
    Mutant(
        "job that is not granted, before the commit",
        "engine/tick/planning.py",
        "        self._check_granted(data.run_requests)\n",
        "",
        (
            "tests/unit/test_grants.py::test_tick_fails_and_neither_its_cursor_moves_nor_its_granted_requests_start",
        ),
    ),
    Mutant(
        "hops of a launch's messages",
        "engine/launch/launcher.py",
        "        if hops < MOST_HOPS:\n",
        "        if True:\n",
        (f"{HOPS}a_launch_that_is_put_off_for_hours_needs_no_long_chain_and_starts_soon_after",),
    ),
    Mutant(
        "hops of throttled messages",
        "entrypoints/handler.py",
        "if hops_of(body) < MOST_HOPS:",
        "if True:",
        (f"{HOPS}a_message_that_meets_a_throttled_store_waits_long_in_few_hops",),
    ),
    Mutant(
        "delivery of a long interval refused although the interval has passed",
        "engine/tick/scheduled_ticks.py",
        "or last <= request.scheduled_for - request.interval:",
        "or last < request.scheduled_for - request.interval:",
        ("tests/unit/test_due_times.py::test_every_slot_is_evaluated_once_whatever_the_wobble[90s-90s]",),
    ),
    Mutant(
        "delivery of a long interval refused by a time that lies ahead",
        "engine/tick/scheduled_ticks.py",
        "if last is None or is_ahead(last, request.now) or last <=",
        "if last is None or last <=",
        (f"{SCHEDULED}last_scheduled_time_that_lies_ahead_is_forgotten[300]",),
    ),
    Mutant(
        "operator's tick of a long interval refused between two ticks",
        "engine/tick/scheduled_ticks.py",
        "if request.at_once or request.interval <= MINUTE_MS:",
        "if request.interval <= MINUTE_MS:",
        (
            f"{SCHEDULED}operators_tick_evaluates_although_the_interval_is_not_over_and_leaves_the_schedule_as_it_is",
        ),
    ),
    Mutant(
        "lease condition",
        SENSORS,
        "running & free & due & (current if request.at_once else rested & ready)",
        "running & due & (current if request.at_once else rested & ready)",
        (f"{OF_SENSORS}while_a_lease_is_live_no_other_is_given[moto]",),
    ),
    Mutant(
        "late request at once",
        SENSORS,
        "current if request.at_once else rested & ready",
        "due if request.at_once else rested & ready",
        (f"{OF_SENSORS}request_at_once_that_arrives_after_its_tick_takes_no_lease[moto]",),
    ),
    Mutant(
        "owner of a lease whose response was lost",
        SENSORS,
        "lease_owner=owner or None,",
        "lease_owner=None,",
        (f"{OF_SENSORS}repeated_request_gets_the_state_before_its_lease[moto-True]",),
    ),
    Mutant(
        "last nominal time in the future",
        SENSORS,
        "Model.last_nominal > request.now + MAX_SKEW_MS",
        "Model.last_nominal > request.now + 2**50",
        (f"{OF_SENSORS}last_scheduled_time_that_lies_ahead_holds_up_no_tick[moto-False]",),
    ),
    Mutant(
        "last completion in the future",
        SENSORS,
        "Model.last_completion > request.now + MAX_SKEW_MS",
        "Model.last_completion > request.now + 2**50",
        (f"{OF_SENSORS}last_completion_that_lies_ahead_holds_up_no_scheduled_tick[moto]",),
    ),
    Mutant(
        "nominal time in the future",
        "engine/tick/scheduled_ticks.py",
        "if not is_ahead(scheduled_for, now):",
        "if True:",
        ("tests/unit/test_scheduled_ticks.py::test_scheduled_time_that_lies_ahead_silences_nothing[False]",),
    ),
    Mutant(
        "status before a slow event's commit",
        "engine/tick/event_ticks.py",
        "            batch_state = self._refreshed(batch_state)\n            ready =",
        "            ready =",
        (f"{EVENT_TICKS}event_whose_sensor_is_stopped_during_a_slow_evaluation_commits_nothing",),
    ),
    Mutant(
        "results of slow evaluations wait for one another",
        "engine/tick/event_ticks.py",
        "(is_last or self._evaluator.clock.now() - held_since >= HOLD_MS)",
        "is_last",
        (f"{TOGETHER}result_waits_a_quarter_of_a_second_at_most_for_the_next_evaluation[0.1-commits1]",),
    ),
    Mutant(
        "message delivered again is evaluated with the others",
        "entrypoints/handler.py",
        "if isinstance(each, _Parsed) and each.is_first]",
        "if isinstance(each, _Parsed)]",
        (f"{EVENT_SENSORS}event_delivered_again_is_evaluated_after_the_others_are_committed[aws]",),
    ),
    Mutant(
        "messages of a group are evaluated together",
        "entrypoints/queue_consumer.py",
        'receives_of(record) == 1 and "MessageGroupId" not in record["attributes"]',
        "receives_of(record) == 1",
        (f"{OF_MESSAGES}only_first_deliveries_outside_of_groups_are_evaluated_together",),
    ),
    Mutant(
        "tick that was not certainly inserted is committed",
        TICKS,
        "inserted = {place for place, is_written in zip(items, written, strict=True) if is_written}",
        "inserted = set(items)",
        (f"{OF_TICKS}several_ticks_are_put_as_each_alone[moto]",),
    ),
    Mutant(
        "item that cannot be stored keeps the others of its batch from waiting",
        "engine/tick/batch_acceptor.py",
        "                    reasons.append(before)\n                    continue\n",
        "                    raise before\n",
        (f"{TOGETHER}item_that_is_too_large_is_not_accepted_and_the_others_are",),
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
        "epoch incremented by an edit",
        SENSORS,
        "return [*changes(*values), Model.epoch.add(1)]",
        "return [*changes(*values), Model.epoch.add(0)]",
        (f"{OF_EDITS}each_edit_raises_the_epoch_and_answers_with_the_state_afterwards[moto]",),
    ),
    Mutant(
        "last_nominal not written",
        SENSORS,
        "            Model.last_nominal.set(request.scheduled_for),\n",
        "",
        (f"{OF_SENSORS}without_an_interval_the_same_scheduled_time_is_not_due_again[moto]",),
    ),
    Mutant(
        "last_nominal not checked",
        SENSORS,
        "running & free & due & (current if request.at_once else rested & ready)",
        "running & free & (current if request.at_once else rested & ready)",
        (f"{OF_SENSORS}without_an_interval_the_same_scheduled_time_is_not_due_again[moto]",),
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
        "failures of ticks that a store rejects",
        "engine/tick/scheduled_ticks.py",
        "            if not is_unstorable(error):\n",
        "            if is_unstorable(error):\n",
        (
            f"{UNSTORABLE}scheduled_tick_that_is_rejected_is_recorded_as_failed_and_gives_its_lease_back[moto]",
        ),
    ),
    Mutant(
        "failures of events that a store rejects",
        "engine/tick/event_ticks.py",
        "        if not is_unstorable(error):\n",
        "        if is_unstorable(error):\n",
        (f"{UNSTORABLE}event_tick_that_is_rejected_is_recorded_as_failed_and_its_message_comes_again[moto]",),
    ),
    Mutant(
        "second request of a key in a tick, which differs",
        "engine/tick/planning.py",
        "elif known is not None and known != run:",
        "elif known is None and known != run:",
        (
            "tests/unit/test_author_values.py::test_second_request_of_a_key_in_a_tick_that_differs_is_rejected",
        ),
    ),
    Mutant(
        "selection of assets that a request's job does not make",
        "engine/tick/planning.py",
        "            return selection_problem(self.definition.asset_targets, job, request)\n",
        "            return None\n",
        (
            "tests/unit/test_asset_targets.py::test_request_over_several_jobs_is_rejected_and_blocks_no_other",
            "tests/unit/test_asset_targets.py::test_request_for_assets_that_its_job_does_not_make_is_rejected",
        ),
    ),
    Mutant(
        "selected assets left out of a request's digest",
        "model/runs.py",
        "*([] if selected is None else [selected])",
        "",
        (
            "tests/contract/test_run_store.py::test_key_of_a_run_for_some_assets_is_taken_for_the_same_assets_only",
        ),
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
        "run record's condition at its creation",
        RUNS,
        "self._put(run, run.revision, Model.run_id.does_not_exist(),",
        "self._put(run, run.revision, Model.run_id.does_not_exist() | Model.run_id.exists(),",
        (f"{OF_RUNS}a_second_put_writes_nothing_and_shows_what_stands[moto]",),
    ),
    Mutant(
        "run record's condition at later writes",
        RUNS,
        "self._put(run, run.revision + 1, Model.revision == run.revision, changed)",
        "self._put(run, run.revision + 1, Model.run_id.exists(), changed)",
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
        "claim before launch ignored",
        "engine/launch/launcher.py",
        "        if run.claim != launch.claim:\n            return self._not_ours(run, launch.request, launch.pending_start.at)\n",
        "",
        (TAKEOVER,),
    ),
    Mutant(
        "pending start replaced by the claims of a batch",
        "engine/launch/launcher.py",
        "run.claim is None and run.pending_start is None",
        "run.claim is None",
        (f"{LAUNCHES}attempt_with_a_pending_start_is_resolved_and_not_claimed_with_a_batch",),
    ),
    Mutant(
        "claim of another launch replaced by the claims of a batch",
        "engine/launch/launcher.py",
        "run.claim is None and run.pending_start is None",
        "run.pending_start is None",
        (f"{LAUNCHES}messages_of_a_batch_that_name_no_launchable_attempt_are_settled_by_themselves",),
    ),
    Mutant(
        "attempt of another number claimed with a batch",
        "engine/launch/launcher.py",
        "(run.job, run.attempt, run.status) == (request.job, request.attempt, Status.QUEUED)",
        "(run.job, run.status) == (request.job, Status.QUEUED)",
        (f"{LAUNCHES}messages_of_a_batch_that_name_no_launchable_attempt_are_settled_by_themselves",),
    ),
    Mutant(
        "claims of a batch without condition",
        "engine/launch/launcher.py",
        "            if result is None:\n                claimed[request]",
        "            if True:\n                claimed[request]",
        (f"{LAUNCHES}run_that_others_change_before_it_is_claimed_is_judged_again",),
    ),
    Mutant(
        "start that would be repeated recorded with its batch",
        "engine/launch/launcher.py",
        "        if not target.contract.is_at_least_once:\n            return started\n",
        "        if True:\n            return started\n",
        (f"{LAUNCHES}start_at_a_target_that_would_start_it_again_is_recorded_before_the_next_one",),
    ),
    Mutant(
        "start of a run that has changed is not recorded",
        "engine/launch/launcher.py",
        "        if result is not None:\n            update_with_optimistic_lock(self._runs, result",
        "        if False:\n            update_with_optimistic_lock(self._runs, result",
        (f"{LAUNCHES}run_that_ends_before_its_start_is_recorded_keeps_its_end",),
    ),
    Mutant(
        "run of another tick taken for the run of a tick of the batch",
        "engine/dispatch/dispatcher.py",
        "(existing is not None and existing.tick_id != run.tick_id)",
        "False",
        (f"{DISPATCHES}requests_of_one_key_in_several_ticks_start_one_run",),
    ),
    Mutant(
        "hourly limit used up by runs that existed",
        "engine/dispatch/dispatcher.py",
        "            if existing is not None:\n                self._give_back([(run, hour)])\n",
        "",
        (f"{DISPATCHES}hourly_limit_is_kept_exactly[4]",),
    ),
    Mutant(
        "ticks of a batch complete before their launches are sent",
        "engine/dispatch/dispatcher.py",
        "        self._launches.send([LaunchRequest.of(run).to_json() for run in created if run.may_launch])\n        counts",
        "        counts",
        (f"{DISPATCHES}plain_ticks_share_their_requests",),
    ),
    Mutant(
        "ticks of a batch not checked for a loop",
        "engine/dispatch/dispatcher.py",
        "            elif self._loops.is_due(sensor, new[sensor]):\n",
        "            elif self._loops.is_due(sensor):\n",
        (f"{DISPATCHES}no_more_runs_are_created_between_two_checks_for_a_loop",),
    ),
    Mutant(
        "held tick dispatched with a batch",
        "engine/dispatch/dispatcher.py",
        "        and tick.held is None\n        and tick.dropped is None\n",
        "        and tick.held is None\n",
        (f"{DISPATCHES}unusual_tick_is_dispatched_as_alone_beside_the_others[_is_dropped]",),
    ),
    Mutant(
        "postponed tick completed by a statement that keeps why it was held",
        TICKS,
        '("sensor", "tick_id", "pending_since"))',
        '("sensor", "tick_id"))',
        (
            "tests/contract/test_tick_store.py::test_dispatches_of_several_ticks_are_noted_as_of_each_alone[moto]",
        ),
    ),
    Mutant(
        "claim before launch without condition",
        RUNS,
        'queued & free, returning="ALL_NEW"',
        'queued, returning="ALL_NEW"',
        ("tests/faults_moto/test_claims.py",),
    ),
    Mutant(
        "takeover time",
        "engine/launch/launcher.py",
        "Claim(self._tokens.new(), ends_at + TAKEOVER_MARGIN_MS)",
        "Claim(self._tokens.new(), now)",
        (TAKEOVER,),
    ),
    Mutant(
        "SDK retries off",
        "adapters/clients.py",
        "return _client(service, 1 if once else PACED.get(service, ATTEMPTS), seconds)",
        "return _client(service, PACED.get(service, ATTEMPTS), seconds)",
        (
            "tests/unit/targets/test_every_target.py::test_start_that_the_service_failed_on_was_sent_once_and_is_uncertain",
        ),
    ),
    Mutant(
        "second empty listing",
        "engine/launch/launcher.py",
        "if run.unseen_at is None or now - run.unseen_at < UNSEEN_FOR_MS:",
        "if run.unseen_at == -1:",
        (f"{WHOLE_FLOW}[listed]",),
    ),
    Mutant(
        "pending index",
        TICKS,
        "pending=_shard(tick) if pending else None",
        "pending=None",
        ("tests/faults_moto/test_indexes.py::test_tick_that_the_stream_lost_is_dispatched",),
    ),
    Mutant(
        "cached keys not invalidated by an edit",
        "engine/tick/run_key_cache.py",
        "if read != self._epoch or now",
        "if now",
        ("tests/unit/test_run_key_cache.py",),
    ),
    Mutant(
        "keys cached that are not final",
        "engine/tick/run_key_cache.py",
        "for run_id, state in states.items() if state is KeyState.SETTLED",
        "for run_id in states",
        ("tests/unit/test_run_key_cache.py",),
    ),
    Mutant(
        "a released key unknown to its sensor",
        "operate/runs.py",
        "if run.may_start_again and run.run_key:",
        "if False:",
        ("tests/unit/test_run_key_cache.py",),
    ),
    Mutant(
        "target check in RECORD",
        "engine/record/recorder.py",
        "address = self._address(run, change)",
        "address = change.target or None",
        (f"{WHOLE_FLOW}[named]",),
    ),
    Mutant(
        "implied statuses",
        "engine/record/run_state.py",
        "    Status.SUCCESS: _STARTED,\n",
        "",
        ("tests/unit/test_run_state.py::test_success_implies_that_it_started",),
    ),
    Mutant(
        "RECONCILE off",
        "engine/reconcile/reconciler.py",
        "for check in (self._dispatch_late, self._check_runs):",
        "for check in ():",
        (f"{WHOLE_FLOW}[named]",),
    ),
    Mutant(
        "poll checkpoint advanced after a failure",
        "engine/reconcile/external_run_poller.py",
        "done_at = checkpoint.done_at if failed else began_at",
        "done_at = began_at",
        (f"{WATCHING}one_execution_that_cannot_be_queried_holds_up_none_and_comes_again",),
    ),
    Mutant(
        "failed publication not retried",
        "entrypoints/publisher.py",
        "published += _publish_or_defer(parts, _changes(parts, record))",
        "published += len(_changes(parts, record))",
        (f"{PUBLISHING}no_fault_at_any_call_loses_or_doubles_a_status[throttled]",),
    ),
    Mutant(
        "ends numbered before they are published",
        "engine/publish/publisher.py",
        "numbered = self._events.append([_numbered(each) for each in ends])",
        "numbered = [_numbered(each) for each in ends]",
        (f"{PUBLISHING}without_faults_each_status_is_published_and_acted_on_once",),
    ),
    Mutant(
        "a later tick by its id",
        "engine/launch/attempts.py",
        "return committed_at >= run.attempted_at or is_ahead(run.attempted_at, fresh.created_at)",
        "return fresh.tick_id > run.tick_id",
        (f"{ATTEMPTS}tick_is_later_by_its_commit_and_not_by_its_id",),
    ),
    Mutant(
        "a second delivery of a dispatched tick",
        "engine/dispatch/dispatcher.py",
        "if again is None or self._ticks.is_dispatched(tick.sensor, tick.tick_id):",
        "if again is None:",
        (f"{ATTEMPTS}tick_that_was_dispatched_while_the_run_was_under_way_starts_none_when_it_comes_again",),
    ),
    Mutant(
        "ticks behind earlier attempts",
        "engine/launch/attempts.py",
        "if fresh.tick_id in {run.tick_id, *run.earlier_ticks}:",
        "if fresh.tick_id == run.tick_id:",
        (f"{ATTEMPTS}tick_requests_one_attempt_whatever_its_clock_said",),
    ),
    Mutant(
        "successes in the order of their events",
        "definitions/batching.py",
        "return sorted(found, key=_place)",
        "return found",
        (f"{BATCHES}batches_of_one_tick_are_those_of_the_ordered_sequence_whatever_came_first",),
    ),
    Mutant(
        "successes superseded by those in a batch",
        "definitions/batching.py",
        "part for part in parts if (part.time, part.number) > last",
        "part for part in parts if last",
        (f"{BATCHES}late_success_behind_a_batch_that_was_requested_starts_none_with_latest",),
    ),
    Mutant(
        "reactions recorded in runs",
        "engine/dispatch/reactions.py",
        "reactions=(*run.reactions, reaction)[-KEPT_REACTIONS:]",
        "reactions=run.reactions",
        (f"{PUBLISHING}without_faults_each_status_is_published_and_acted_on_once",),
    ),
    Mutant(
        "assets of a tick published before it is done",
        "engine/dispatch/dispatcher.py",
        "        refusals = self._assets.record_tick(tick, again=again)\n",
        "        refusals: list[str] = []\n",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_published_once",),
    ),
    Mutant(
        "ids of a tick's asset events",
        "engine/assets/asset_recorder.py",
        'f"{tick.sensor}/{tick.tick_id}/{index}"',
        'f"{tick.sensor}/{tick.tick_id}"',
        (f"{ASSETS}without_faults_each_event_is_recorded_and_published_once",),
    ),
    Mutant(
        "assets published as they are stored",
        "engine/assets/asset_recorder.py",
        "stored = [recorded(kept) for kept in self._events.append([asset_event(each) for each in made])]",
        "stored = [replace(e, storage_id=k.storage_id) for e, k in zip(made, self._events.append([asset_event(e) for e in made]))]",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_published_once",),
    ),
    Mutant(
        "observations numbered apart from materializations",
        "engine/assets/asset_events.py",
        "observed_key(key) if isinstance(event, AssetObserved) else key",
        "key",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_published_once",),
    ),
    Mutant(
        "observations published as what they are",
        "engine/publish/bus_events.py",
        "ASSET_OBSERVED if isinstance(event, AssetObserved) else ASSET_MATERIALIZED",
        "ASSET_MATERIALIZED",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_published_once",),
    ),
    Mutant(
        "observations of ticks stored as what they are",
        "adapters/dynamodb/outcomes.py",
        '{"kind": made.kind} if isinstance(made, AssetObservation) else {}',
        "{}",
        ("tests/contract/test_tick_store.py::test_a_record_comes_back_as_it_was_put",),
    ),
    Mutant(
        "assets that passed through a stack",
        "engine/assets/asset_recorder.py",
        "namespace == self._namespace or event.location != namespace",
        "namespace == self._namespace",
        (f"{ASSETS}without_faults_each_event_is_recorded_and_published_once",),
    ),
    Mutant(
        "former target of a pending start",
        "engine/launch/launcher.py",
        "return replace(settings, target=kind, arn=pending_start.target, options=options, role=role)",
        "return settings",
        ("tests/faults/test_start_contract.py::test_pending_start_is_resolved_with_the_same_target",),
    ),
    Mutant(
        "denial of a pending start taken for one of the first start",
        "engine/launch/launcher.py",
        "(DENIED_ENDS_MS if in_doubt else DENIED_FOR_MS)",
        "DENIED_FOR_MS",
        (f"{MOVED_LAUNCH}a_pending_start_whose_address_denies_is_never_called_denied",),
    ),
    Mutant(
        "refusal of a pending start taken for one of the first start",
        "engine/launch/launcher.py",
        "        and pending_start.token != claim.token\n    )",
        "        and False\n    )",
        (f"{MOVED_LAUNCH}a_pending_start_whose_target_is_gone_is_unknown_at_once",),
    ),
    Mutant(
        "pending start moved although its target has a token",
        "engine/launch/launcher.py",
        "if has_moved and (not in_doubt or target.contract.is_at_least_once):",
        "if has_moved:",
        (
            "tests/faults/test_moving.py::test_a_move_at_any_call_loses_no_run_and_starts_none_twice[named-taken away]",
        ),
    ),
    Mutant(
        "refused start that reached no target not moved",
        "engine/launch/launcher.py",
        "if has_moved and (not in_doubt or target.contract.is_at_least_once):",
        "if has_moved and in_doubt and target.contract.is_at_least_once:",
        (f"{MOVED_LAUNCH}a_start_that_certainly_reached_nobody_goes_to_the_new_address",),
    ),
    Mutant(
        "start without token not moved",
        "engine/launch/launcher.py",
        "if has_moved and (not in_doubt or target.contract.is_at_least_once):",
        "if has_moved and not in_doubt:",
        (f"{MOVED_LAUNCH}a_pending_start_at_a_target_without_token_is_sent_to_the_new_address",),
    ),
    Mutant(
        "denial older than the pending start",
        "engine/launch/launcher.py",
        "            since = None  # That denial was over when the start was sent.",
        "            pass",
        (f"{MOVED_LAUNCH}a_denial_from_before_the_pending_start_does_not_count",),
    ),
    Mutant(
        "try without target kept",
        "engine/launch/launcher.py",
        "            and run.pending_start != pending_start\n        ):",
        "            and False\n        ):",
        (f"{MOVED_LAUNCH}a_try_from_before_the_job_had_an_address_gives_way_to_the_first_real_one",),
    ),
    Mutant(
        "denied run that never ends",
        "engine/reconcile/reconciler.py",
        "if now >= end:",
        "if False:",
        (f"{MOVED}a_run_whose_target_denies_for_a_day_ends_as_unknown",),
    ),
    Mutant(
        "first denial lost",
        "engine/record/unreachable_runs.py",
        "since = now if run.unanswered is None else run.unanswered.since",
        "since = now",
        (f"{MOVED}a_run_whose_target_denies_for_a_day_ends_as_unknown",),
    ),
    Mutant(
        "denial kept after a response",
        "engine/reconcile/reconciler.py",
        "checked = replace(_with_next_check(folded, now + OVERDUE_MS), unanswered=None)",
        "checked = _with_next_check(folded, now + OVERDUE_MS)",
        (f"{MOVED}an_answer_ends_the_time_that_a_denial_lasts",),
    ),
    Mutant(
        "run in another account that is queried hourly",
        "engine/record/run_state.py",
        "times.append(now + ELSEWHERE_MS)",
        "pass",
        ("tests/unit/test_cross_account_jobs.py::test_run_in_another_account_is_queried_every_five_minutes",),
    ),
    Mutant(
        "cancellation after the maximum runtime that is requested before it is recorded",
        "engine/record/run_state.py",
        "if each.place == report.place:",
        "if False:",
        (
            "tests/unit/test_max_runtime.py::test_run_over_its_maximum_runtime_is_canceled_and_fails_with_that_reason",
        ),
    ),
    Mutant(
        "cancellation of one attempt applied to the end of another",
        "engine/record/run_state.py",
        "if each.place == report.place:",
        "if each.attempt:",
        ("tests/unit/test_max_runtime.py::test_cancellation_of_one_attempt_says_nothing_of_another",),
    ),
    Mutant(
        "run over its maximum runtime that is checked after an hour",
        "engine/record/run_state.py",
        "times.append(ends_at)",
        "pass",
        ("tests/unit/test_max_runtime.py::test_run_is_checked_when_its_maximum_runtime_is_over",),
    ),
    Mutant(
        "cancellation that is forgotten if RECONCILE dies before the target receives it",
        "engine/record/max_runtime.py",
        "cause, now), next_at=now + CANCEL_AGAIN_MS)",
        "cause, now), next_at=None)",
        ("tests/faults/test_max_runtime_faults.py::test_run_ends_wherever_reconcile_dies",),
    ),
    Mutant(
        "outcome that is only inferred, and retried",
        "engine/record/retries.py",
        "or Status.FAILURE not in reported or",
        "or",
        ("tests/unit/test_retry_policy.py::test_ce_14_what_treadle_only_infers_is_never_retried",),
    ),
    Mutant(
        "run that waits for its retry, and is started by a request",
        "model/runs.py",
        "        if self.retry_at is not None:\n            return self.attempt\n",
        "",
        ("tests/unit/test_retry_policy.py::test_ce_13_request_for_the_key_during_the_delay_starts_nothing",),
    ),
    Mutant(
        "run that waits for its retry, and whose key is settled",
        "model/runs.py",
        "return started and not self.may_start_again and self.retry_at is None",
        "return started and not self.may_start_again",
        ("tests/unit/test_retry_policy.py::test_ce_13_request_for_the_key_during_the_delay_starts_nothing",),
    ),
    Mutant(
        "retry that is not counted",
        "engine/launch/attempts.py",
        "policy_retries=run.policy_retries + 1",
        "policy_retries=run.policy_retries",
        ("tests/unit/test_retry_policy.py::test_last_failure_remains",),
    ),
    Mutant(
        "retry that is started before its time, or twice",
        "engine/reconcile/reconciler.py",
        "return attempt_by_policy(current, now) if self._is_due(current) else current",
        "return attempt_by_policy(replace(current, retry_at=now), now)",
        ("tests/faults/test_retry_faults.py::test_run_is_retried_wherever_a_function_dies",),
    ),
    Mutant(
        "failure that is retried, and numbered as an end",
        "engine/publish/publisher.py",
        "if each.status.is_finished and not each.will_retry",
        "if each.status.is_finished",
        ("tests/unit/test_retry_policy.py::test_only_the_last_end_is_numbered",),
    ),
    Mutant(
        "missing response taken for a denial",
        "engine/record/unreachable_runs.py",
        "(DENIED_ENDS_MS if is_denied else SILENT_ENDS_MS)",
        "DENIED_ENDS_MS",
        (f"{MOVED}a_run_whose_target_is_out_of_order_is_given_a_week",),
    ),
    Mutant(
        "unknown end of a redriven run",
        "engine/reconcile/reconciler.py",
        "retry=run.target_retry, failure=failure)",
        "failure=failure)",
        (f"{MOVED}a_redriven_run_ends_as_unknown_too",),
    ),
    Mutant(
        "target type of a run without a try",
        "engine/record/arns.py",
        'return kind_of(address) or (settings.target if settings else "")',
        'return settings.target if settings else ""',
        (f"{MOVED}a_run_of_another_kind_than_its_job_is_now_is_queried_where_it_runs",),
    ),
    Mutant(
        "job's new target taken for the run's",
        "engine/record/recorder.py",
        "elif settings is not None:\n            own.append",
        "if settings is not None:\n            own.append",
        (f"{MOVED_RECORD}an_execution_at_the_new_address_does_not_end_a_run_at_the_former_one",),
    ),
    Mutant(
        "target type in RECORD",
        "engine/record/recorder.py",
        "(given for kind, given in own if kind == change.kind)",
        "(given for _, given in own)",
        (f"{MOVED_RECORD}a_name_of_another_kind_of_target_is_not_the_runs_address",),
    ),
    Mutant(
        "former targets in RECORD",
        "engine/record/recorder.py",
        "if self._has_moved_from(change) and not self._is_of_former(change):",
        "if self._has_moved_from(change):",
        (f"{MOVED_RECORD}an_event_without_launch_id_is_searched_at_former_addresses_only",),
    ),
    Mutant(
        "reason that is denied after the job has moved",
        "engine/record/recorder.py",
        "if isinstance(error, LaunchDeniedError) and self._has_moved_from(change):",
        "if False:",
        (
            f"{MOVED_RECORD}a_failure_whose_reason_is_denied_since_the_job_has_moved_is_recorded_and_no_dead_letter",
        ),
    ),
    Mutant(
        "reports of runs whose target can be queried",
        "engine/record/recorder.py",
        "if attempt == run.attempt and is_unknown(run):",
        "if attempt == run.attempt:",
        (f"{MOVED_RECORD}whoever_has_checked_may_report_of_a_run_that_ended_as_unknown",),
    ),
    Mutant(
        "earlier change of a partition applied after a later one",
        PARTITIONS,
        "| (Model.changed < time.text)",
        "| Model.changed.exists()",
        (f"{OF_PARTITIONS}latest_change_applies_in_whatever_order_and_however_often[moto-2]",),
    ),
    Mutant(
        "deleted partition not remembered",
        PARTITIONS,
        "[*actions, Model.changed.set(time.text)],",
        "[*actions, Model.changed.set(time.text) if change.exists else Model.changed.remove()],",
        (f"{OF_PARTITIONS}latest_change_applies_in_whatever_order_and_however_often[moto-2]",),
    ),
    Mutant(
        "deleted partition remembered for ever",
        PARTITIONS,
        "Model.expires_at.set(time.at // 1000 + DELETED_SECONDS)",
        "Model.expires_at.remove()",
        (f"{OF_PARTITIONS}deleted_key_is_remembered_until_no_earlier_change_can_come[moto]",),
    ),
    Mutant(
        "partition that is added again moved to the end",
        PARTITIONS,
        "Model.added.set(Model.added | place)",
        "Model.added.set(place)",
        (
            f"{OF_PARTITIONS}key_that_is_added_again_keeps_its_place_and_one_that_was_deleted_comes_last[moto]",
        ),
    ),
    Mutant(
        "partition requested although its tick deletes it",
        "engine/tick/partitions.py",
        "unchanged = [key for key in keys if key not in changes]",
        "unchanged = [key for key in keys if not changes.get(key)]",
        (f"{PARTITION_TICKS}run_for_a_key_that_the_result_deletes_fails_the_tick_and_changes_nothing",),
    ),
    Mutant(
        "partition that exists not written",
        "model/ticks.py",
        "            *self.skipped_partitions,\n",
        "",
        (IN_ANY_ORDER,),
    ),
    Mutant(
        "tick that does not wait for the partitions of the last one",
        "engine/tick/scheduled_ticks.py",
        "if changing is not None and not self._ticks.has_changed_partitions(lease.sensor, changing):",
        "if changing is not None and self._ticks.has_changed_partitions(lease.sensor, ''):",
        (f"{PARTITION_TICKS}tick_waits_until_the_changes_of_the_last_one_are_applied",),
    ),
    Mutant(
        "changes of partitions forgotten by a tick that died",
        "engine/tick/scheduled_ticks.py",
        "            partitions_tick=before.partitions_tick,\n",
        "",
        (f"{PARTITION_TICKS}tick_that_dies_does_not_forget_the_changes_before_it",),
    ),
    Mutant(
        "postponed tick's partitions taken for applied",
        TICKS,
        'return all("dispatched" in item or "held_requests" in item for item in found)',
        'return all("dispatched" in item or "held" in item for item in found)',
        (f"{OF_TICKS}partitions_of_a_tick_are_changed_once_it_is_dispatched_or_held_or_has_expired[moto]",),
    ),
    Mutant(
        "runs started before all partitions of their tick are applied",
        "engine/dispatch/dispatcher.py",
        "left = [index for index in left if index < first] or left",
        "left = list(left)",
        (f"{PARTITION_TICKS}changes_of_a_large_tick_are_applied_in_chunks_before_its_runs_start",),
    ),
    Mutant(
        "runs not started after the partitions of their tick",
        "engine/dispatch/dispatcher.py",
        "            return self._fan_out_chunks(replace(tick, slicing=slicing), self._chunks).refused\n",
        "            return 0\n",
        (f"{PARTITION_TICKS}changes_of_a_large_tick_are_applied_in_chunks_before_its_runs_start",),
    ),
    Mutant(
        "partitions of a held tick applied at each check",
        "engine/dispatch/dispatcher.py",
        "if changes and not was_held:",
        "if changes:",
        (f"{PARTITION_TICKS}held_tick_does_not_apply_its_changes_again",),
    ),
    Mutant(
        "run claimed that waits for a pool",
        RUNS,
        "            & Model.waiting.does_not_exist()\n",
        "",
        (f"{OF_POOLS}claim_of_a_run_that_waits_is_refused[moto]",),
    ),
    Mutant(
        "slot taken that another run holds",
        POOLS,
        "is_free = Model.launch_id.does_not_exist() if slot.number != BEYOND else None",
        "is_free = None",
        (f"{OF_POOLS}slot_that_another_run_holds_is_not_taken_and_nothing_is_written[moto]",),
    ),
    Mutant(
        "slot returned that another run holds",
        POOLS,
        "is_own = Model.launch_id.does_not_exist() | (Model.launch_id == launch_id)",
        "is_own = None",
        (f"{OF_POOLS}slot_is_returned_only_by_its_holder[moto]",),
    ),
    Mutant(
        "start granted again within a minute",
        POOLS,
        "is_free = Model.taken_at.does_not_exist() | (Model.taken_at <= start.at - MINUTE_MS)",
        "is_free = None",
        (f"{OF_POOLS}slot_of_a_start_is_free_again_after_a_minute_and_not_before[moto]",),
    ),
    Mutant(
        "start never free again",
        POOLS,
        "is_free = Model.taken_at.does_not_exist() | (Model.taken_at <= start.at - MINUTE_MS)",
        "is_free = Model.taken_at.does_not_exist()",
        (f"{OF_POOLS}slot_of_a_start_is_free_again_after_a_minute_and_not_before[moto]",),
    ),
    Mutant(
        "start that is taken left out of the transaction",
        RUNS,
        "taken = range(1, 1 + len(changed.taken) + len(changed.starts))",
        "taken = range(1, 1 + len(changed.taken))",
        (f"{OF_POOLS}slot_of_a_start_is_free_again_after_a_minute_and_not_before[moto]",),
    ),
    Mutant(
        "starts of the last minute not counted",
        "engine/pools/queues.py",
        "if each.is_held(now)])",
        "if each.taken_at is None])",
        (f"{POOL_CHECKS}starts_beyond_a_lowered_limit_count_for_a_minute",),
    ),
    Mutant(
        "starts of the next minute not planned",
        "engine/pools/pool_checks.py",
        "                    self._plan_starts(key, states.get(pool_name(key)), len(waiters))\n",
        "                    pass\n",
        (f"{POOL_FAULTS}starts_of_a_minute_are_as_many_as_allowed_by_the_history_of_the_target",),
    ),
    Mutant(
        "redrive that takes a start",
        "engine/record/pool_slots.py",
        "for pool in pools if not is_of_starts(pool))",
        "for pool in pools)",
        (f"{POOL_CHECKS}redrive_takes_no_start",),
    ),
    Mutant(
        "turn that is not noted",
        POOLS,
        "    if changed.turn is not None:\n",
        "    if False:\n",
        (f"{OF_POOLS}grant_in_turn_is_noted_with_it[moto]",),
    ),
    Mutant(
        "turn noted without a grant",
        "model/runs.py",
        "and (after.slots, after.starts) != (had, starts)",
        "",
        (f"{OF_POOLS}grant_in_turn_is_noted_with_it[moto]",),
    ),
    Mutant(
        "turns that begin with the first value again",
        "engine/pools/granter.py",
        "return later if later.has_priority_of(first) else first",
        "return first",
        (f"{POOL_FLOW}[turns]",),
    ),
    Mutant(
        "turn before priority",
        "engine/pools/granter.py",
        "return later if later.has_priority_of(first) else first",
        "return later",
        (f"{POOL_CHECKS}only_runs_of_the_highest_priority_are_in_turn",),
    ),
    Mutant(
        "turn of a run that could not start",
        "engine/pools/granter.py",
        "            if turn is not None and run.waiting is not None:\n                self._pool(known, run.waiting.pool).turn = turn\n        return changed\n",
        "        if turn is not None and run.waiting is not None:\n            self._pool(known, run.waiting.pool).turn = turn\n        return changed\n",
        (f"{POOL_CHECKS}run_that_cannot_start_leaves_its_turn_to_the_next_of_its_value",),
    ),
    Mutant(
        "runs without a turn before all others",
        "engine/pools/granter.py",
        "turns=run.turns if turn is None or run.waiting is None else {**run.turns, run.waiting.pool: turn}",
        "turns=run.turns",
        (f"{POOL_CHECKS}turns_that_are_declared_and_removed_while_runs_wait_lose_none",),
    ),
    Mutant(
        "launch id as the token of a transaction",
        RUNS,
        "failed = self._database.transact(writes, self._tokens.new())",
        'failed = self._database.transact(writes, f"{run.run_id}-{run.attempt}")',
        (f"{OF_POOLS}same_attempt_is_granted_a_slot_again_after_it_returned_to_the_queue[dynamodb-local]",),
    ),
    Mutant(
        "note of a queue forgotten that was made again",
        POOLS,
        "self._database.delete(self._table, (QUEUES, key), Model.token == token)",
        "self._database.delete(self._table, (QUEUES, key))",
        (f"{OF_POOLS}note_of_a_queue_is_forgotten_only_with_its_token[moto]",),
    ),
    Mutant(
        "pool opened that was closed again",
        POOLS,
        "            Model.closed_until == state.closed_until,\n",
        "            Model.closed_until.exists(),\n",
        (f"{OF_POOLS}pool_is_opened_only_if_it_was_not_closed_again[moto]",),
    ),
    Mutant(
        "slot in doubt returned",
        "engine/record/pool_slots.py",
        "    return not (was_started or may_have_started)\n",
        "    return True\n",
        (f"{POOL_FLOW}[unsure]",),
    ),
    Mutant(
        "redrive without a slot",
        "engine/record/pool_slots.py",
        "    for attempt in _in_progress(run) - holding:\n",
        "    for attempt in ():\n",
        (f"{POOL_CHECKS}redrive_holds_a_slot_beyond_the_limit",),
    ),
    Mutant(
        "redrive of an earlier attempt without a slot",
        "engine/record/pool_slots.py",
        "    for attempt in _in_progress(run) - holding:\n",
        "    for attempt in _in_progress(run) & {run.attempt} - holding:\n",
        (f"{POOL_CHECKS}redrive_of_an_earlier_attempt_holds_a_slot_beside_the_current_one",),
    ),
    Mutant(
        "start beyond a limit that was known not to be in progress",
        "engine/launch/launcher.py",
        "if is_resolved and any(",
        "if False and any(",
        (f"{POOL_CHECKS}start_in_doubt_that_turns_out_not_to_have_been_waits_for_a_slot",),
    ),
    Mutant(
        "canceled run left in its queue",
        "engine/record/pool_slots.py",
        "waiting = run.waiting if run.status is Status.QUEUED else None",
        "waiting = run.waiting",
        (f"{POOL_FLOW}[retried]",),
    ),
    Mutant(
        "runs beyond the limit not counted",
        "engine/pools/queues.py",
        "max(0, limit - len(held))",
        "max(0, limit - len(set(held) - {0}))",
        (f"{POOL_FLOW}[joined]",),
    ),
    Mutant(
        "closed pool that starts runs",
        "engine/pools/queues.py",
        "is_closed = self.state is not None and self.state.closed_until is not None",
        "is_closed = False",
        (f"{POOL_CHECKS}nothing_starts_while_the_pool_is_closed",),
    ),
    Mutant(
        "queue that is not noted",
        "entrypoints/publisher.py",
        "        parts.pools.note_queue(key, parts.tokens.new())\n",
        "        pass\n",
        (f"{POOL_FLOW}[unreported]",),
    ),
    Mutant(
        "slot that is returned without a message",
        "entrypoints/publisher.py",
        "for key in dict.fromkeys((*freed, *joined))",
        "for key in dict.fromkeys(joined)",
        (f"{POOL_FAULTS}slot_is_granted_in_the_moment_in_which_it_is_free[several]",),
    ),
    Mutant(
        "pools of a launch not compared",
        "engine/launch/launcher.py",
        "if joined and not _is_in_doubt(run):",
        "if False:",
        (f"{POOL_CHECKS}nothing_starts_while_the_pool_is_closed",),
    ),
    Mutant(
        "runs in progress not entered",
        "engine/pools/pool_checks.py",
        "                entered += self._enter(run)\n",
        "                pass\n",
        (f"{POOL_CHECKS}runs_in_progress_of_a_job_that_joins_count_against_the_limit",),
    ),
    Mutant(
        "wait for a slot counted as a wait for the target",
        "engine/launch/launcher.py",
        "max([queued, *granted])",
        "queued",
        (f"{POOL_CHECKS}throttled_start_is_tried_again_soon_however_long_the_run_waited_for_its_slot",),
    ),
    Mutant(
        "runs in doubt not entered",
        "engine/pools/pool_checks.py",
        "            entered += self._enter_in_doubt(job)\n",
        "            pass\n",
        (
            f"{POOL_FLOW}[doubted]",
            f"{POOL_CHECKS}runs_in_doubt_of_a_job_that_joins_count_against_the_limit",
        ),
    ),
    Mutant(
        "lost end not looked for",
        "engine/pools/pool_checks.py",
        "            overdue += self._overdue(holders)\n",
        "",
        (f"{POOL_FLOW}[unreported]",),
    ),
    Mutant(
        "idle slots of a lost message",
        "engine/reconcile/reconciler.py",
        "due_ms = MESSAGE_LOST_MS if run.slots else LAUNCH_DUE_MS",
        "due_ms = LAUNCH_DUE_MS",
        (f"{POOL_FAULTS}no_fault_at_any_call_exceeds_a_limit_or_leaves_a_slot[lost-killed after]",),
    ),
    Mutant(
        "stored pools never corrected",
        "engine/registry/registry_sync.py",
        "        self._correct_pools()\n",
        "",
        (f"{SYNCED}pool_that_is_not_stored_is_closed_as_its_runs_are_not_known",),
    ),
    Mutant(
        "joined pool left open",
        "engine/registry/registry_sync.py",
        "closed_until=until if name in joined else None",
        "closed_until=None",
        (f"{SYNCED}pool_that_known_jobs_join_is_closed_until_no_function_can_start_runs_outside_of_it",),
    ),
    Mutant(
        "slot not kept for the retry",
        "engine/record/pool_slots.py",
        "    is_retried = run.retry_at is not None\n",
        "    is_retried = False\n",
        (f"{OVERLAP}run_that_waits_for_its_retry_is_in_progress[LATEST]", f"{POOL_FLOW}[latest]"),
    ),
    Mutant(
        "slot passed on by another run",
        POOLS,
        "condition=Model.launch_id == before))",
        "condition=None))",
        (f"{OF_POOLS}slot_that_another_run_holds_is_not_passed_on[moto]",),
    ),
    Mutant(
        "older run kept that arrives late",
        "engine/pools/granter.py",
        "if each.age >= latest]",
        "if each.age]",
        (f"{OVERLAP}older_run_that_arrives_late_is_replaced[True-LATEST]",),
    ),
    Mutant(
        "latest run by its place in the queue",
        "model/pools.py",
        'return order[found.start("since") :] if found',
        "return order if found",
        (f"{OVERLAP}latest_is_by_request_and_not_by_priority",),
    ),
    Mutant(
        "former latest run left waiting elsewhere",
        "engine/pools/overlap.py",
        "                self._end(found, lambda each: replaced(",
        "                self._end(found, lambda each: each or replaced(",
        (f"{OVERLAP}only_the_latest_waits_for_another_pool[LATEST]",),
    ),
    Mutant(
        "latest run named whatever was named meanwhile",
        POOLS,
        "Model.latest == before if before else Model.latest.does_not_exist()",
        "None",
        (f"{OF_POOLS}latest_run_is_named_only_instead_of_the_one_that_was_read[moto]",),
    ),
    Mutant(
        "run granted that is not the latest",
        "engine/pools/overlap.py",
        "        return run.waiting.age == self._pools.latest(pool.key)\n",
        "        return True\n",
        (f"{OVERLAP}run_that_waits_elsewhere_since_before_the_overlap_is_judged_first[LATEST]",),
    ),
    Mutant(
        "run granted that another process has replaced",
        "engine/pools/granter.py",
        "            if not self._overlaps.name_latest(pool, each, latest):\n                return False\n",
        "            self._overlaps.name_latest(pool, each, latest)\n",
        (f"{OVERLAP}run_is_not_granted_if_a_newer_one_was_named_meanwhile",),
    ),
    Mutant(
        "run ended that was granted a slot meanwhile",
        "engine/pools/overlap.py",
        "            return ended(current) if still else current\n",
        "            return ended(current)\n",
        (f"{OVERLAP}run_that_was_granted_a_slot_meanwhile_does_not_give_way",),
    ),
    Mutant(
        "runs skipped for a pause",
        "engine/pools/queues.py",
        "state.closed_until is not None or state.limit_of(self.key) == 0:",
        "state.closed_until is not None:",
        (f"{OVERLAP}nothing_gives_way_in_a_paused_pool_but_older_requests[SKIP]",),
    ),
    Mutant(
        "slots read before the runs that are skipped",
        "engine/pools/overlap.py",
        "            waiters = self._pools.waiters(key, MAX_COUNTED)\n            pool = read_pool(self._pools, key, self._clock.now())\n",
        "            pool = read_pool(self._pools, key, self._clock.now())\n            waiters = self._pools.waiters(key, MAX_COUNTED)\n",
        (f"{OVERLAP}run_that_joins_the_queue_while_slots_are_read_is_not_skipped",),
    ),
    Mutant(
        "key of a run that gave way left open",
        "model/runs.py",
        "self.status is DagsterRunStatus.SUCCESS or self.gave_way:",
        "self.status is DagsterRunStatus.SUCCESS:",
        (f"{OVERLAP}run_that_gave_way_keeps_its_key[LATEST]",),
    ),
    Mutant(
        "canceled run ends as a failure",
        "model/runs.py",
        "DagsterRunStatus.CANCELED if self.error == RUN_REPLACED else DagsterRunStatus.FAILURE",
        "DagsterRunStatus.FAILURE",
        (f"{OVERLAP}canceled_run_makes_room_for_the_latest",),
    ),
    Mutant(
        "run canceled for itself",
        "engine/pools/overlap.py",
        "        if wait is None or wait.pool != key:\n            return False\n",
        "",
        (f"{OVERLAP}run_that_another_process_has_granted_a_slot_is_not_canceled_for_itself",),
    ),
    Mutant(
        "run canceled for the slot of its earlier attempt",
        "engine/pools/overlap.py",
        "if (run.run_id, run.attempt) in held and (",
        "if (",
        (f"{OVERLAP}run_is_not_canceled_for_the_slot_in_doubt_of_its_earlier_attempt",),
    ),
    Mutant(
        "every run in progress canceled",
        "engine/pools/overlap.py",
        "            if left <= 0:\n                break\n",
        "",
        (f"{OVERLAP}only_as_many_are_canceled_as_keep_the_latest_from_starting",),
    ),
    Mutant(
        "execution canceled that Treadle did not start",
        "engine/pools/giving_way.py",
        "    if OBSERVED_TAG in run.tags:\n",
        "    if False:\n",
        (f"{OVERLAP}run_that_treadle_did_not_start_is_not_canceled",),
    ),
    Mutant(
        "run ended that may have reached its target",
        "engine/pools/giving_way.py",
        "run.claim is None and run.pending_start is None:",
        "run.claim is None:",
        (f"{OVERLAP}run_that_is_being_started_is_canceled_once_it_has_started",),
    ),
    Mutant(
        "request to cancel forgotten at the start",
        "engine/record/run_state.py",
        "        folded = replace(folded, next_at=max(request.at, folded.started_at or 0))\n",
        "        pass\n",
        (f"{OVERLAP}run_that_is_being_started_is_canceled_once_it_has_started",),
    ),
)


class MutationError(Exception):
    """A mutant is invalid: its text does not occur exactly once, or its tests did not run."""


def copy_to(folder: Path) -> None:
    """Copy what the tests need of the project into a folder."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(source, folder / name)
    # Only DynamoDB Local enforces some of the limits.
    (folder / ".tools").symlink_to(ROOT / ".tools")


def mutate(mutant: Mutant, folder: Path) -> None:
    """Apply a mutant to the copy.

    Raises:
        MutationError: if the text to change does not occur exactly once.
    """
    module = folder / LIBRARY / mutant.module
    text = module.read_text()
    if text.count(mutant.old) != 1:
        msg = f"{mutant.name}: {mutant.module} has this text {text.count(mutant.old)} times instead of once: {mutant.old}"
        raise MutationError(msg)
    module.write_text(text.replace(mutant.old, mutant.new))


def failed_tests(folder: Path, tests: tuple[str, ...], *, processes: int = 0) -> list[str]:
    """Return the tests that fail in a copy.

    Args:
        folder: the copy.
        tests: their ids.
        processes: how many run tests at a time; 0 for this process's child alone.

    Raises:
        MutationError: if they could not be run.
    """
    options = ["-n", str(processes), "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    limit = TIME_LIMIT * max(1, len(tests) // 10)
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit, check=False)
    if answer.returncode not in {0, 1}:
        msg = f"{len(tests)} tests did not run: {answer.stdout[-2_000:]}{answer.stderr[-2_000:]}"
        raise MutationError(msg)
    return re.findall(r"^FAILED (\S+?::\S+)", answer.stdout, re.MULTILINE)


def killers(mutant: Mutant) -> list[str]:
    """Return the tests that kill a mutant.

    Raises:
        MutationError: if the mutant is invalid.
    """
    with tempfile.TemporaryDirectory(prefix="treadle-mutant-") as name:
        folder = Path(name)
        copy_to(folder)
        mutate(mutant, folder)
        return failed_tests(folder, mutant.tests)


def main(names: list[str]) -> int:
    """Print each mutant with a test that kills it.

    Args:
        names: parts of the mutants' names; all mutants if there are none.

    Returns:
        1 if a mutant survives, or a test fails without a mutant; 0 otherwise.
    """
    chosen = [each for each in MUTANTS if not names or any(name in each.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="treadle-mutant-") as name:
        copy_to(Path(name))
        every = tuple({test: None for each in chosen for test in each.tests})
        broken = failed_tests(Path(name), every, processes=PARALLEL)
    if broken:
        print(f"tests that fail without a mutant: {', '.join(broken)}")
        return 1
    survivors = 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        for mutant, killers_found in zip(chosen, pool.map(killers, chosen), strict=True):
            survivors += not killers_found
            verdict = killers_found[0].partition("::")[2] if killers_found else "SURVIVES"
            print(f"{mutant.name:<45} {verdict}", flush=True)
    print(f"mutants: {len(chosen)}, survivors: {survivors}")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
