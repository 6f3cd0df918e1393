"""The command that moves a single stack to an engine and a project, one step after the other."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from treadle.cli.output import EXIT_UNHEALTHY, echo, echo_lines, exit_on_error, when
from treadle.cli.stack import by_option, caller_name, local_option
from treadle.model.moving import Part

if TYPE_CHECKING:
    from treadle.bootstrap.moving import NewParts
    from treadle.model.moving import NewEngine, OldStack
    from treadle.ports.moving import SingleStack

T = TypeVar("T")

PAUSE_SECONDS = 2
"""Between two looks at what is waited for."""

KEPT_MS = 4 * 86_400_000
"""The single template's queues keep messages for four days, SQS's default."""

ENGINE_FILE, PROJECT_FILE, GUIDE = "engine/samconfig.toml", "samconfig.toml", "docs/guide/upgrade.md"


@click.command()
@click.argument("name", metavar="STACK")
@click.option(
    "--engine",
    metavar="NAME",
    default="treadle-engine",
    show_default=True,
    help="The engine's stack, which is or will be deployed.",
)
@click.option(
    "--leave",
    metavar="NAME",
    multiple=True,
    help="A sensor or a job that no project will have; once for each.",
)
@click.option(
    "--dead-letters",
    type=click.Choice(["redrive", "delete"]),
    help="What becomes of the stack's dead letters: sent to the new queues, or deleted with the stack.",
)
@click.option("--undo", is_flag=True, help="Switch the stack on again; only as long as there is no engine.")
@click.option(
    "--yes", is_flag=True, help="Do not ask before the sensors are stopped and the stack is deleted."
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.IntRange(min=0),
    default=600,
    show_default=True,
    help="How long to wait for what is under way.",
)
@by_option
@local_option
def move(
    *,
    name: str,
    engine: str,
    leave: tuple[str, ...],
    dead_letters: str | None,
    undo: bool,
    yes: bool,
    timeout: int,
    by: str | None,
) -> None:
    """Move STACK, deployed from the single template of earlier versions, to an engine and a project.

    Run keys, cursors, pending ticks and asset events stay in their tables, which the engine takes over, and messages
    are moved to the new queues. The command does its own steps, prints what to deploy next, and continues when it is
    run again, until STACK is deleted. It exits with 1 as long as something remains to be done.
    """
    from treadle.adapters.single_stack import CloudFormationStack

    with exit_on_error():
        Move(CloudFormationStack(name), engine, leave, dead_letters, timeout, by=by, asks=not yes).go_on(
            undo=undo
        )


class Move:
    """Carries out a move, and reports it on the terminal.

    Args:
        stack: the single stack.
        engine: the name of the engine's stack.
        left: the names of sensors and jobs that are not moved.
        dead_letters: what becomes of them: "redrive", "delete" or None.
        timeout: how long to wait, in seconds.
        by: whom edits of sensors record; None for the caller.
        asks: whether to ask before sensors are stopped and the stack is deleted.
    """

    def __init__(
        self,
        stack: "SingleStack",
        engine: str,
        left: tuple[str, ...],
        dead_letters: str | None,
        timeout: int,
        *,
        by: str | None,
        asks: bool,
    ) -> None:
        self._stack = stack
        self._engine = engine
        self._left = left
        self._dead_letters = dead_letters
        self._timeout = timeout
        self._by = by
        self._asks = asks

    def go_on(self, *, undo: bool = False) -> None:
        """Do what comes next, as far as it can be done now.

        Args:
            undo: True to switch the stack on again instead.
        """
        from treadle.adapters.single_stack import find_engine
        from treadle.bootstrap.moving import new_parts
        from treadle.operate.move import Step, check_left, missing_of, next_step

        old, engine = self._stack.read(), find_engine(self._engine)
        check_left(old, self._left)
        if undo:
            self._undo(old, engine)
            return
        begins = next_step(old, engine) is Step.STOP
        if begins:
            self._explain(old)
            self._confirm(f"Stop the sensors of stack {old.name} now?")
            self._stop(old)
            old = self._stack.read()
        if next_step(old, engine) is Step.DRAIN:
            old = self._drain(old)
        if engine is None:
            if not begins:
                _print_values(old)
            self._ask_for_engine(old)
        new = new_parts(old, engine, self._left)
        missing = missing_of(old, new.sensors, new.jobs, self._left)
        if missing:
            self._ask_for_project(old, engine, missing)
        self._hand_over(old, engine, new)

    def _explain(self, old: "OldStack") -> None:
        """Print what is there, and what the new deployments are to be given."""
        from treadle.bootstrap.moving import old_parts

        states = old_parts(old).states.get_many(old.sensors.keys())
        echo(f"Stack {old.name} can be moved. Its tables and buckets stay when it is deleted.")
        for name, sensor in old.sensors.items():
            runs = states[name].is_running(sensor.default_status)
            echo(f"  sensor {name} ({sensor.kind}), {'RUNNING' if runs else 'STOPPED'}")
        for name, address in sorted(old.jobs.items()):
            own = ", deleted with the stack" if name in old.own_jobs else ""
            echo(f"  job {name}, {address or 'without a target'}{own}")
        if any(sensor.kind == "deadline" for sensor in old.sensors.values()):
            echo("A deadline that falls between the stop and the project's deployment is not evaluated.")
        echo("Prepare a checkout with these sensors and jobs, and deploy nothing yet. The guide:")
        echo(f"  {GUIDE}, From the single stack to an engine and a project")
        _print_values(old)

    def _stop(self, old: "OldStack") -> None:
        """Switch the sensors off; those that are stopped by default stay so whatever the project's default is."""
        from treadle.bootstrap.moving import old_parts
        from treadle.operate.move import is_stopped_by_default

        parts = old_parts(old)
        for name, sensor in old.sensors.items():
            if is_stopped_by_default(sensor, parts.states.get(name)):
                parts.sensors.stop(name, caller_name(self._by))
        self._stack.switch(Part.INTAKE, on=False)
        echo(
            f"Stopped the sensors of stack {old.name}: their schedules are disabled, and their queues keep messages."
        )

    def _drain(self, old: "OldStack") -> "OldStack":
        """Wait for runs of what is deleted with the stack, and switch the rest off."""
        from treadle.adapters.queues import SqsMover
        from treadle.bootstrap.moving import old_parts
        from treadle.operate.move import awaited

        if old.is_on[Part.REST]:
            runs, messages = old_parts(old).runs, SqsMover()
            found = self._wait(lambda: awaited(old, runs, messages), self._timeout)
            if found:
                echo(
                    f"Stack {old.name} waits for {', and for '.join(found)}. Run this again later, or give --undo."
                )
                raise SystemExit(EXIT_UNHEALTHY)
            self._stack.switch(Part.REST, on=False)
        if self._wait(lambda: not self._stack.read().is_stable, self._timeout):
            echo(f"Stack {old.name} is being switched off. Run this again later.")
            raise SystemExit(EXIT_UNHEALTHY)
        echo(
            f"Switched off LAUNCH, RECORD and PUBLISH of stack {old.name}. The stack does nothing from now on."
        )
        return self._stack.read()

    def _ask_for_engine(self, old: "OldStack") -> NoReturn:
        echo(f"Next, deploy the engine as stack {self._engine}: cd engine && sam build && sam deploy")
        echo(
            f"Then deploy the project, as a stack with another name than {old.name}, and run this command again."
        )
        self._remind(old)
        raise SystemExit(EXIT_UNHEALTHY)

    def _ask_for_project(self, old: "OldStack", engine: "NewEngine", missing: list[str]) -> NoReturn:
        echo(f"Engine {engine.name} uses the tables of stack {old.name}.")
        _print_values(old, of_engine=False)
        echo("No project has registered:")
        echo_lines(missing)
        echo("Next, deploy the project, and run this command again: sam build && sam deploy")
        echo(f"Its stack must not be called {old.name}. The engine reads a new entry within 10 minutes.")
        echo("To leave out a sensor or a job, use --leave NAME.")
        self._remind(old)
        raise SystemExit(EXIT_UNHEALTHY)

    def _remind(self, old: "OldStack") -> None:
        """Print until when the queues keep what the sensors have not seen yet."""
        if old.stopped_at:
            echo(
                f"Messages wait in the queues of stack {old.name}, until {when(old.stopped_at + KEPT_MS)} at most."
            )

    def _hand_over(self, old: "OldStack", engine: "NewEngine", new: "NewParts") -> None:
        for name in new.hand_over.start(caller_name(self._by)):
            echo(f"Started sensor {name}, which ran in stack {old.name}.")
        for name, count in new.hand_over.replay().items():
            echo(f"Events sent again to sensor {name}: {count}.")
        self._move_messages(old, new)
        self._empty_dead_letters(old, new)
        echo(f"Nothing in stack {old.name} is needed any more. The next step deletes it, with its logs.")
        echo(
            f"First switch everything that reports to its bus {old.bus} to {engine.bus}; otherwise those reports are lost."
        )
        self._confirm(f"Delete stack {old.name} now?")
        # What has come since, such as reports to the old bus.
        self._move_messages(old, new)
        self._stack.delete()
        echo(
            f"Stack {old.name} is moved to engine {engine.name} and deleted. Check the result: treadle doctor --stack {engine.stack}"
        )

    def _move_messages(self, old: "OldStack", new: "NewParts") -> None:
        def remaining() -> int:
            for taker, count in new.hand_over.move_messages().items():
                echo(f"Messages moved to the queue of {taker}: {count}.")
            return new.hand_over.remaining()

        count = self._wait(remaining, self._timeout)
        if count:
            echo(
                f"Messages in flight or delayed in the queues of stack {old.name}: {count}. Run this again later."
            )
            raise SystemExit(EXIT_UNHEALTHY)

    def _empty_dead_letters(self, old: "OldStack", new: "NewParts") -> None:
        if self._dead_letters == "redrive":
            for done in new.redriver.redrive():
                echo(f"{done.action} dead letter of {done.origin}: {done.reason}")
        count = new.redriver.count()
        if count != 0 and self._dead_letters != "delete":
            number = "not known" if count is None else count
            echo(
                f"Dead letters of stack {old.name}: {number}. Give --dead-letters redrive to send them to the new queues, or "
                "--dead-letters delete."
            )
            raise SystemExit(EXIT_UNHEALTHY)

    def _undo(self, old: "OldStack", engine: "NewEngine | None") -> None:
        if engine is not None and engine.stores == old.stores:
            from treadle.definitions.errors import CommandRefusedError

            msg = (
                f"Stack {old.name} is not switched on: engine stack {engine.stack} uses its tables. Delete the projects and "
                "that first, or continue the move."
            )
            raise CommandRefusedError(msg)
        for part in (Part.REST, Part.INTAKE):
            self._stack.switch(part, on=True)
        echo(f"Stack {old.name} is switched on again. Messages that have waited are processed now.")

    def _confirm(self, question: str) -> None:
        if self._asks:
            click.confirm(question, abort=True)

    @staticmethod
    def _wait(remaining: Callable[[], T], seconds: int) -> T:
        """Return what remains once that is nothing, or the time is up."""
        deadline = time.monotonic() + seconds
        while (found := remaining()) and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        return found


def _print_values(old: "OldStack", *, of_engine: bool = True) -> None:
    """Print the values of parameters as lines of parameter_overrides, with or without the engine's."""
    from treadle.operate.move import values_of

    values = values_of(old)
    files = ((ENGINE_FILE, values.engine), (PROJECT_FILE, values.project))
    for path, given in files if of_engine else files[1:]:
        echo(f"Into parameter_overrides of {path}:")
        _print_lines(given, '    "{}={}",')
    if values.elsewhere and of_engine:
        echo(f"Parameters of stack {old.name} that are set elsewhere now (table in {GUIDE}):")
        _print_lines(values.elsewhere, "    {}={}")


def _print_lines(values: Mapping[str, str], form: str) -> None:
    for name, value in values.items():
        click.echo(form.format(name, value))
