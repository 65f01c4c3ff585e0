"""``pleura up``, ``down``, ``status`` and ``token``: the stack of one machine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pleura.console.context import Invocation, find_state, read_invocation
from pleura.console.output import CommandFailed, one_line_errors, print_line

if TYPE_CHECKING:
    from pleura.local.stack_options import StackOptions
    from pleura.local.state_folder import StateFolder

_START_TIMEOUT_S: Final = 120.0
# repeated from pleura.local, whose import would slow down --help
_RESTARTS: Final = 3
_TOKEN_HOURS: Final = 12.0


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (up, down, status, token):
        app.command()(command)


def up(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="REST port of the proxy.")] = 8000,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="gRPC port of the proxy.")] = 8001,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it answers; it keeps running.")
    ] = False,
    classify_samples: Annotated[
        bool, typer.Option("--classify-samples", help="Print the samples' findings when it is ready.")
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Model bundle to serve. Default: PLEURA_BUNDLE.")
    ] = None,
    s3: Annotated[str | None, typer.Option(metavar="URL", help="Use this S3 server; start none.")] = None,
    s3_access_key: Annotated[str | None, typer.Option(metavar="KEY", help="Access key of --s3.")] = None,
    s3_secret_key: Annotated[str | None, typer.Option(metavar="KEY", help="Secret key of --s3.")] = None,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", help="Use this Redis server; start none.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Use no Redis: read every radiograph again.")
    ] = False,
    postgres: Annotated[
        str | None, typer.Option(metavar="URL", help="Use this PostgreSQL server; start none.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads for inference. Default: one for each core.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Accept the tokens of this OIDC issuer as well.")
    ] = None,
    audience: Annotated[
        str, typer.Option(metavar="NAME", help="Name of Pleura in the tokens of --issuer.")
    ] = "pleura",
    restarts: Annotated[
        int, typer.Option(metavar="N", help="Restarts of a part within a minute.")
    ] = _RESTARTS,
) -> None:
    """Start everything on this machine, and keep it running."""
    from pleura.console.settings import read_settings, reveal
    from pleura.local.discovery import find_folder_to_start
    from pleura.local.stack_options import OtherIssuer, StackOptions, StoreAddress

    if issuer and not issuer.startswith(("https://", "http://")):
        raise typer.BadParameter("must begin with https:// or http://", param_hint="--issuer")
    if redis and no_cache:
        raise typer.BadParameter("cannot be given together with --redis", param_hint="--no-cache")
    invocation, settings, store = read_invocation(context), read_settings(), None
    if s3:
        access_key = s3_access_key or reveal(settings.s3_access_key)
        secret_key = s3_secret_key or reveal(settings.s3_secret_key)
        if not (access_key and secret_key):
            raise CommandFailed(
                "--s3 needs --s3-access-key and --s3-secret-key (or PLEURA_S3_ACCESS_KEY, ...)"
            )
        store = StoreAddress(s3, access_key, secret_key)
    options = StackOptions(
        state=find_folder_to_start(invocation.state or settings.home),
        port=port,
        grpc_port=grpc_port,
        bundle=bundle or settings.bundle,
        store=store,
        redis="" if no_cache else redis or None,
        postgres=postgres,
        threads=threads,
        restarts=restarts,
        issuer=OtherIssuer(issuer, audience) if issuer else None,
    )
    _start(options, classify_samples, invocation if detach else None)


def _start(options: "StackOptions", classify_samples: bool, detached: Invocation | None) -> None:
    """Run the stack in this process, or in a process of its own where ``detached`` says what to run there."""
    import os

    from pleura.local.parts import PartDied
    from pleura.local.processes import StartFailed
    from pleura.local.state_folder import AlreadyRunning, StateFolder

    # logs, films and keys of the stack are for its owner, and so are the overlays
    os.umask(0o077)
    state = StateFolder(options.state)
    try:
        with one_line_errors(StartFailed, PartDied):
            state.make()
            with state.locked():
                if detached is None:
                    _run(options, state, classify_samples)
                    return
            # without the lock, which the new process takes
            _detach(detached, state)
    except AlreadyRunning:
        _print_running_stack(state)
    except OSError as error:
        reason = error.strerror or error
        raise CommandFailed(f"the state folder {state.path} cannot be used: {reason}") from error


def _run(options: "StackOptions", state: "StateFolder", classify_samples: bool) -> None:
    from pleura.local.discovery import remember_stack
    from pleura.local.run_stack import run_stack

    def finish_start() -> None:
        remember_stack(state.path)
        if classify_samples:
            _classify_samples(state.path)

    run_stack(options, state, print_line, finish_start)


def _classify_samples(state: Path) -> None:
    from pleura.console.classify import classify_on_stack
    from pleura.local.samples import find_samples

    classify_on_stack(state, [path.name for path in find_samples()], Path("overlays"))
    print_line("Pleura keeps running; Ctrl-C stops it")


def _print_running_stack(state: "StateFolder") -> None:
    """Print how to ask the stack that another command runs, once that stack answers."""
    from pleura.local.access import format_usage

    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end:
        record = state.read()
        if record and record.is_running and record.phase == "ready":
            print_line(
                f"already running (process {record.supervisor.pid})\n\n{format_usage(record, state.path)}"
            )
            return
        time.sleep(0.2)
    raise CommandFailed(f"another pleura up holds {state.path}, but it does not become ready")


def _detach(invocation: Invocation, state: "StateFolder") -> None:
    """Run the same command in a session of its own, and print its output until it is ready."""
    import os
    import subprocess
    import sys

    from pleura.local.pleura_services import build_service_environment

    arguments = [argument for argument in invocation.arguments if argument != "--detach"]
    log = state.path / "up.log"
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pleura.console.app", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | build_service_environment(),
            # the stack must outlive this terminal
            start_new_session=True,
        )
    with log.open() as lines:
        while child.poll() is None:
            record = state.read()
            # before the log is read, so that its last lines are printed too; the record may be an earlier
            # stack's
            is_ready = record and record.phase == "ready" and record.supervisor.pid == child.pid
            time.sleep(0.1)
            sys.stdout.write(lines.read())
            sys.stdout.flush()
            if is_ready:
                child.returncode = 0  # it keeps running, and this process does not wait for it
                return
        sys.stderr.write(lines.read())
    raise typer.Exit(child.returncode)


def down(context: typer.Context) -> None:
    """Stop the stack."""
    from pleura.local.state_folder import StateFolder, stop_stack

    state = StateFolder(find_state(context))
    record = state.read()
    if record is None or not (record.is_running or record.survivors):
        print_line("nothing is running")
        return
    stop_stack(record)
    state.remove_record()
    print_line("stopped")


def status(context: typer.Context) -> None:
    """Print what runs. The exit code is 0 if every part runs."""
    from pleura.local.state_folder import StateFolder

    record = StateFolder(find_state(context)).read()
    if record is None or not record.is_running:
        print_line("not running")
        raise typer.Exit(1)
    print_line(f"{record.phase} at {record.address}, gRPC {record.grpc_address}")
    for name, part in record.parts.items():
        life = "runs" if part.process.is_alive else "dead"
        print_line(f"  {name:<12} {life}  {part.process.pid:>8}  {part.url:<28}  {part.log}")
    for name, url in record.metrics.items():
        print_line(f"  metrics of {name:<12} {url}")
    if record.phase != "ready" or len(record.survivors) < len(record.parts):
        raise typer.Exit(1)


def token(
    context: typer.Context,
    subject: Annotated[str, typer.Option(metavar="NAME", help="Principal that the token names.")] = "local",
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="SCOPE", help="A scope; may be repeated. Default: all but answers:read_all."),
    ] = None,
    hours: Annotated[float, typer.Option(metavar="N", help="Hours until the token expires.")] = _TOKEN_HOURS,
) -> None:
    """Print a bearer token for the local stack."""
    from pleura.local.access import make_token
    from pleura.local.state_folder import StateFolder

    state = find_state(context)
    record = StateFolder(state).read()
    if record is None:
        raise CommandFailed(f"no stack runs in {state}")
    print_line(make_token(state, record.issuer, subject, tuple(scope or ()) or None, hours * 3600))
