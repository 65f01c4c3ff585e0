"""``pleura up``, ``down``, ``status`` and ``token``."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from pleura.console.output import print_error, print_line
from pleura.local.access import make_token, usage_text
from pleura.local.parts import PartDied
from pleura.local.pleura_services import service_environment
from pleura.local.processes import StartFailed
from pleura.local.samples import sample_files
from pleura.local.state_folder import AlreadyRunning, StateFolder, stop_recorded

_START_TIMEOUT_S: Final = 120.0


def up(arguments: argparse.Namespace) -> int:
    """Start the stack, and keep it running in the foreground unless told otherwise."""
    if arguments.s3 and not (arguments.s3_access_key and arguments.s3_secret_key):
        return print_error("--s3 needs --s3-access-key and --s3-secret-key (or PLEURA_S3_ACCESS_KEY, ...)")
    state = StateFolder(arguments.state.resolve())
    try:
        state.make()
        with state.locked():
            if not arguments.detach:
                _supervise(arguments, state)
                return 0
        return _detach(arguments, state)
    except AlreadyRunning:
        return _show_other(state)
    except (StartFailed, PartDied) as error:
        return print_error(str(error))
    except OSError as error:
        return print_error(f"the state folder {state.path} cannot be used: {error.strerror or error}")


def _supervise(arguments: argparse.Namespace, state: StateFolder) -> None:
    from pleura.local.run_stack import run_stack
    from pleura.local.stack import (  # loads the clients of all servers: only where needed
        StackOptions,
        StoreAddress,
    )

    store = None
    if arguments.s3:
        store = StoreAddress(arguments.s3, arguments.s3_access_key, arguments.s3_secret_key)
    options = StackOptions(
        state=arguments.state,
        port=arguments.port,
        grpc_port=arguments.grpc_port,
        bundle=arguments.bundle,
        store=store,
        redis="" if arguments.no_cache else arguments.redis or None,
        postgres=arguments.postgres,
        threads=arguments.threads,
        restarts=arguments.restarts,
    )
    run_stack(options, state, print_line, lambda: _classify_samples(arguments))


def _classify_samples(arguments: argparse.Namespace) -> None:
    if not arguments.classify_samples:
        return
    from pleura.console.classify import classify  # loads what draws pictures: only where needed

    asked = argparse.Namespace(
        state=arguments.state,
        url=None,
        token=None,
        radiographs=[path.name for path in sample_files()],
        output=Path("overlays"),
        no_overlay=False,
        json=False,
    )
    classify(asked)
    print_line("Pleura keeps running; Ctrl-C stops it")


def _show_other(state: StateFolder) -> int:
    """Print how to ask the stack that another command keeps running, once it answers."""
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end:
        recorded = state.read()
        if recorded and recorded.is_running and recorded.phase == "ready":
            print_line(
                f"already running (process {recorded.supervisor.pid})\n\n{usage_text(recorded, state.path)}"
            )
            return 0
        time.sleep(0.2)
    return print_error(f"another pleura up holds {state.path}, and does not get ready")


def _detach(arguments: argparse.Namespace, state: StateFolder) -> int:
    """Run the same command in a session of its own, and pass on what it says until it is ready."""
    command = [sys.executable, "-m", "pleura.console.app", *(a for a in arguments.given if a != "--detach")]
    log = state.path / "up.log"
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | service_environment(),
            start_new_session=True,
        )
    with log.open() as said:
        while child.poll() is None:
            recorded = state.read()
            is_ready = recorded and recorded.phase == "ready" and recorded.supervisor.pid == child.pid
            time.sleep(0.1)
            sys.stdout.write(said.read())
            sys.stdout.flush()
            if is_ready:
                child.returncode = 0  # it runs on; nobody here waits for it
                return 0
        sys.stderr.write(said.read())
    return child.returncode


def down(arguments: argparse.Namespace) -> int:
    """Stop the stack."""
    state = StateFolder(arguments.state.resolve())
    recorded = state.read()
    if recorded is None or not (recorded.is_running or recorded.survivors):
        print_line("nothing is running")
        return 0
    stop_recorded(recorded)
    state.forget()
    print_line("stopped")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Say what runs; the exit code is 0 where all of it does."""
    recorded = StateFolder(arguments.state.resolve()).read()
    if recorded is None or not recorded.is_running:
        print_line("not running")
        return 1
    print_line(f"{recorded.phase} at {recorded.address}, gRPC {recorded.grpc_address}")
    for name, part in recorded.parts.items():
        life = "runs" if part.process.is_alive else "dead"
        print_line(f"  {name:<12} {life}  {part.process.pid:>8}  {part.url:<28}  {part.log}")
    for name, url in recorded.metrics.items():
        print_line(f"  metrics of {name:<12} {url}")
    return 0 if recorded.phase == "ready" and len(recorded.survivors) == len(recorded.parts) else 1


def token(arguments: argparse.Namespace) -> int:
    """Print a token of the stack's own issuer."""
    state = arguments.state.resolve()
    recorded = StateFolder(state).read()
    if recorded is None:
        return print_error(f"no stack runs in {state}")
    scopes = tuple(arguments.scope) if arguments.scope else None
    print_line(make_token(state, recorded.issuer, arguments.subject, scopes, arguments.hours * 3600))
    return 0
