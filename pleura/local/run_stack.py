"""Keep one stack running in this process, and leave on disk what other commands need to know of it."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pleura.local.access import format_usage
from pleura.local.canary_controller import CanaryController
from pleura.local.parts import Interrupted, PartSupervisor
from pleura.local.predictor_slots import PredictorSlots
from pleura.local.processes import Server
from pleura.local.revision_files import forget_status
from pleura.local.stack import LocalStack, StackOptions
from pleura.local.state_folder import PartState, ProcessId, StateFolder, stop_left_behind

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_stack(
    options: StackOptions, state: StateFolder, say: Callable[[str], None], when_ready: Callable[[], None]
) -> None:
    """Start the stack, do what is to be done when it answers, keep it until a signal ends it; then stop it.

    Raises:
        StartFailed: A part did not start.
        PartDied: A part died again and again.
    """
    began = time.monotonic()
    left = state.read()
    if left and (count := stop_left_behind(left)):
        say(f"stopped {count} processes that an earlier stack left behind")
    machine, writing = LocalStack(options), threading.Lock()
    machine.require_ports()
    forget_status(state.path)  # of a stack that was killed
    recorded = machine.recorded()

    def write(servers: Mapping[str, Server]) -> None:
        with writing:
            state.write(replace(recorded, parts=_parts_of({**servers, **keeper.servers})))

    stack = PartSupervisor(machine.parts(), say, write, options.restarts)
    keeper = CanaryController(PredictorSlots(machine, stack), say, lambda: write(stack.servers))
    with _stopping_on_signals(stack):
        try:
            write({})
            say(f"starting Pleura in {state.path}")
            stack.start()
            say(f"ready after {time.monotonic() - began:.1f} s\n\n{format_usage(recorded, state.path)}")
            recorded = replace(recorded, phase="ready")
            write(stack.servers)
            when_ready()
            keeper.start()
            stack.watch()
        except Interrupted:
            pass
        finally:
            say("stopping")
            keeper.stop()
            stack.stop()
            forget_status(state.path)
            state.forget()


def _parts_of(servers: Mapping[str, Server]) -> dict[str, PartState]:
    return {
        name: PartState(
            ProcessId.of(server.process.pid), server.url.rpartition("@")[2], str(server.log.resolve())
        )
        for name, server in servers.items()
    }


@contextlib.contextmanager
def _stopping_on_signals(stack: PartSupervisor) -> Iterator[None]:
    """The first signal stops the stack in order; a second one ends this process with its children."""

    def handle(number: int, frame: Any) -> None:
        stack.ask_to_stop()
        for each in _SIGNALS:
            signal.signal(each, signal.default_int_handler)

    before = {each: signal.signal(each, handle) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
