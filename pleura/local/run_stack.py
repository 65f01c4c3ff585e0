"""Run one stack in this process, and record on disk what other commands need to know about it."""

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
from pleura.local.revision_files import remove_status
from pleura.local.stack import LocalStack
from pleura.local.stack_options import StackOptions
from pleura.local.state_folder import PartState, ProcessId, StateFolder, stop_left_behind

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_stack(
    options: StackOptions, state: StateFolder, report: Callable[[str], None], on_ready: Callable[[], None]
) -> None:
    """Start the stack, call ``on_ready`` once it answers, and run it until a signal; then stop it.

    Raises:
        StartFailed: A part did not start.
        PartDied: A part died too often within a minute.
    """
    began = time.monotonic()
    earlier = state.read()
    if earlier and (count := stop_left_behind(earlier)):
        report(f"stopped {count} processes that an earlier stack left behind")
    stack, lock = LocalStack(options), threading.Lock()
    stack.require_ports()
    remove_status(state.path)  # a killed stack leaves one
    record = stack.describe()

    def write(servers: Mapping[str, Server]) -> None:
        with lock:
            state.write(replace(record, parts=_part_states({**servers, **canaries.servers})))

    supervisor = PartSupervisor(stack.parts(), report, write, options.restarts)
    slots = PredictorSlots(stack, supervisor)
    canaries = CanaryController(slots, report, lambda: write(supervisor.servers))
    with _stop_on_signals(supervisor):
        try:
            write({})
            report(f"starting Pleura in {state.path}")
            supervisor.start()
            report(f"ready after {time.monotonic() - began:.1f} s\n\n{format_usage(record, state.path)}")
            record = replace(record, phase="ready")
            write(supervisor.servers)
            on_ready()
            canaries.start()
            supervisor.watch()
        except Interrupted:
            pass
        finally:
            report("stopping")
            canaries.stop()
            supervisor.stop()
            remove_status(state.path)
            state.remove_record()


def _part_states(servers: Mapping[str, Server]) -> dict[str, PartState]:
    return {
        name: PartState(
            ProcessId.read(server.process.pid), server.url.rpartition("@")[2], str(server.log.resolve())
        )
        for name, server in servers.items()
    }


@contextlib.contextmanager
def _stop_on_signals(supervisor: PartSupervisor) -> Iterator[None]:
    """Stop the stack in order at the first signal; a second signal ends this process and its children."""

    def handle(number: int, frame: Any) -> None:
        supervisor.request_stop()
        for signal_number in _SIGNALS:
            signal.signal(signal_number, signal.default_int_handler)

    handlers = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
