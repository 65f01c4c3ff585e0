"""The real servers: each answers, keeps its data over a restart, and says what is wrong."""

import io
import os
import re
import shutil
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import psycopg2
import pytest
import redis

from pleura.local.dependencies import (
    StartFailed,
    WeightedUpstream,
    free_port,
    postgres_programs,
    start_envoy,
    start_postgres,
    start_seaweed,
    start_valkey,
    write_upstreams,
)
from pleura.local.dependencies.postgres_cluster import PostgresCluster
from pleura.local.object_store import build_store_client
from proof.lab.running_stack import find_descendants


def _ask(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _count(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        row = cursor.fetchone()
        assert row
        return int(row[0])


@pytest.mark.parametrize("is_killed", [False, True])
def test_postgres_keeps_its_data(tmp_path: Path, is_killed: bool) -> None:
    """Rows are there after a stop and after kill -9, with the same password."""
    port = free_port()
    server = start_postgres(tmp_path, port)
    try:
        _ask(server.url, "CREATE TABLE kept (); INSERT INTO kept DEFAULT VALUES")
    finally:
        if is_killed:
            server.process.kill()
        server.stop()
    again = start_postgres(tmp_path, port)
    try:
        assert again.url == server.url
        assert _count(again.url) == 1
    finally:
        again.stop()


def test_postgres_asks_for_its_password(tmp_path: Path) -> None:
    """Without the password, which nobody else may read, there is no connection."""
    server = start_postgres(tmp_path, free_port())
    try:
        assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600
        user, _, rest = server.url.partition(":")[2].removeprefix("//").partition(":")
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(f"postgresql://{user}:wrong@{rest.partition('@')[2]}")
    finally:
        server.stop()


def test_postgres_logs_no_value_of_a_failed_statement(tmp_path: Path) -> None:
    """An object key may name a patient. Neither the statement nor the detail of the error repeats it."""
    server = start_postgres(tmp_path, free_port())
    try:
        with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("CREATE TABLE keys (key text PRIMARY KEY)")
            cursor.execute("INSERT INTO keys VALUES ('miller')")
            with pytest.raises(psycopg2.errors.UniqueViolation):
                cursor.execute("INSERT INTO keys VALUES ('miller')")
            cursor.execute("SET statement_timeout = 50")
            with pytest.raises(psycopg2.errors.QueryCanceled):
                cursor.execute("SELECT 'miller', pg_sleep(9)")
    finally:
        server.stop()
    log = (tmp_path / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "statement timeout" in log
    assert "miller" not in log


def test_postgres_forgets_a_lock_of_a_dead_server(tmp_path: Path) -> None:
    """A lock file whose process id another program has by now does not stop the start."""
    port = free_port()
    start_postgres(tmp_path, port).stop()
    (tmp_path / "data" / "postmaster.pid").write_text("1\n")
    start_postgres(tmp_path, port).stop()


def test_the_user_of_the_journal_has_no_right_but_its_database(tmp_path: Path) -> None:
    """It reads no file, runs no program, makes no user, and nobody logs in as a superuser."""
    server = start_postgres(tmp_path, free_port())
    try:
        for statement in (
            "SELECT pg_read_file('/etc/passwd')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "COPY (SELECT 1) TO '/tmp/pleura_probe'",
            "SELECT lo_import('/etc/passwd')",
            "SELECT passwd FROM pg_shadow",
            "CREATE ROLE another SUPERUSER",
            "SET ROLE postgres",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                _ask(server.url, statement)
        with pytest.raises(psycopg2.OperationalError, match="postgres"):
            psycopg2.connect(server.url.replace("//pleura:", "//postgres:"))
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights")
def test_postgres_has_no_right_of_root(tmp_path: Path) -> None:
    """Root starts it as another user without any capability, even below a folder that only root may enter."""
    folder = tmp_path / "closed"
    folder.mkdir(0o700)
    server = start_postgres(folder / "postgres", free_port())
    try:
        statuses = [_read_status(process.pid) for process in find_descendants(server.process.pid)]
        running = [status for status in statuses if status and "Z" not in status["State"]]
        assert len(running) > 3
        for status in running:
            assert "0" not in status["Uid"].split() + status["Gid"].split()
            assert status["Groups"].strip() == ""
            for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert int(status[kind], 16) == 0
            assert status["NoNewPrivs"].strip() == "1"
    finally:
        server.stop()


def _read_status(pid: int) -> Mapping[str, str]:
    """Read the status of a process; it is empty if the process has ended, as workers of PostgreSQL do."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":", 1) for line in lines)


def test_programs_below_a_closed_folder_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL starts where Pleura is installed below a folder such as /root; the copy is used again."""
    installed = postgres_programs.choose_programs(tmp_path, runs_as_nobody=False)
    monkeypatch.setattr(postgres_programs, "_is_open_to_all", lambda folder: folder != installed)
    first = postgres_programs.choose_programs(tmp_path, runs_as_nobody=True)
    assert first != installed  # which must not be removed below
    try:
        assert (first / "postgres").exists()
        assert first.parent.stat().st_mode & 0o005
        assert postgres_programs.choose_programs(tmp_path, runs_as_nobody=True) == first
    finally:
        shutil.rmtree(first.parent)


_OF_VERSION_0_1 = """
CREATE TABLE kept (number serial, mood text);
INSERT INTO kept (mood) VALUES ('good');
CREATE VIEW mine AS SELECT * FROM kept;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuses BEFORE DELETE ON kept EXECUTE FUNCTION refuse();
CREATE SCHEMA reports;
CREATE TABLE reports.daily ();
"""


def test_data_of_version_0_1_get_a_plain_user(tmp_path: Path) -> None:
    """Its user was the superuser. All that it owned belongs to the plain user of that name and password."""
    cluster = PostgresCluster(tmp_path)
    cluster.prepare()
    as_before = ["DROP DATABASE pleura", "DROP ROLE pleura", "CREATE ROLE helper SUPERUSER"]
    as_before += ["SET SESSION AUTHORIZATION helper", "ALTER ROLE postgres RENAME TO pleura"]
    as_before += ["SET SESSION AUTHORIZATION pleura", "DROP ROLE helper"]
    as_before += [f"ALTER ROLE pleura LOGIN PASSWORD '{cluster.password}'", "CREATE DATABASE pleura"]
    cluster.execute(as_before)
    cluster.execute(_OF_VERSION_0_1.strip().split(";\n"), "pleura")
    server = start_postgres(tmp_path, free_port())
    try:
        _ask(server.url, "INSERT INTO kept (mood) VALUES ('better'); ALTER TABLE reports.daily ADD a integer")
        _ask(server.url, "ALTER TABLE kept ADD b integer; DROP VIEW mine; DROP SCHEMA reports CASCADE")
        assert _count(server.url) == 2
        with pytest.raises(psycopg2.errors.RaiseException):
            _ask(server.url, "DELETE FROM kept")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _ask(server.url, "SELECT pg_read_file('/etc/passwd')")
    finally:
        server.stop()


def test_valkey_asks_for_its_password(tmp_path: Path) -> None:
    """Without the password there is no answer, and no other user can read the password."""
    server = start_valkey(tmp_path, free_port())
    try:
        for password in ("", ":wrong@"):
            url = re.sub("//:.*@", f"//{password}", server.url)
            with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
                client.get("key")
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("password", "valkey.conf")} == {
            0o600
        }
        password = (tmp_path / "password").read_text()
        assert password.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    finally:
        server.stop()


def test_valkey_keeps_its_data(tmp_path: Path) -> None:
    """What was cached is there after a stop."""
    port = free_port()
    server = start_valkey(tmp_path, port)
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
    server.stop()
    again = start_valkey(tmp_path, port)
    with redis.Redis.from_url(again.url) as client:
        assert client.get("key") == b"value"
    again.stop()


@pytest.mark.parametrize("is_killed", [False, True])
def test_seaweed_keeps_its_objects(tmp_path: Path, is_killed: bool) -> None:
    """Objects are there after a stop and after kill -9, and its sockets are not."""
    port = free_port()
    server = start_seaweed(tmp_path, port, "some-access", "some-secret")
    client = build_store_client(server.url, "some-access", "some-secret", timeout_s=20.0)
    client.make_bucket("radiographs")
    client.put_object("radiographs", "a/b", io.BytesIO(b"content"), 7)
    if is_killed:
        server.process.kill()
    server.stop()
    assert not any(path.exists() for path in server.leftovers)
    again = start_seaweed(tmp_path, port, "some-access", "some-secret")
    with client.get_object("radiographs", "a/b") as response:
        assert response.read() == b"content"
    again.stop()


def test_a_taken_port_names_the_part(tmp_path: Path) -> None:
    """Each part says itself that its port is taken, before it makes anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartFailed, match=f"postgres: port {port} is taken"):
            start_postgres(tmp_path, port)
        with pytest.raises(StartFailed, match=f"valkey: port {port} is taken"):
            start_valkey(tmp_path, port)
        with pytest.raises(StartFailed, match=f"seaweed: port {port} is taken"):
            start_seaweed(tmp_path, port, "some-access", "some-secret")
        with pytest.raises(StartFailed, match=f"envoy: port {port} is taken"):
            start_envoy(tmp_path, port, [WeightedUpstream("stable", 1, 100)])
    assert not list(tmp_path.iterdir())


@contextmanager
def _revision(name: bytes) -> Iterator[int]:
    """A gRPC server that answers every call of /some.Service/Name with its name."""
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: name)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("some.Service", {"Name": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


def _answers(channel: grpc.Channel, calls: int) -> Counter[bytes]:
    ask = channel.unary_unary("/some.Service/Name")
    return Counter(ask(b"", timeout=10.0) for _ in range(calls))


def test_envoy_splits_by_weight_and_follows_the_file(tmp_path: Path) -> None:
    """Calls are split as the file says, also after it was rewritten while Envoy runs."""
    with _revision(b"stable") as stable, _revision(b"canary") as canary:
        before = [WeightedUpstream("stable", stable, 100), WeightedUpstream("canary", canary, 0)]
        envoy = start_envoy(tmp_path, free_port(), before)
        try:
            with grpc.insecure_channel(envoy.url) as channel:
                assert _answers(channel, 40) == Counter({b"stable": 40})
                write_upstreams(
                    tmp_path, [WeightedUpstream("stable", stable, 50), WeightedUpstream("canary", canary, 50)]
                )
                end = time.monotonic() + 20.0
                while len(_answers(channel, 20)) < 2 and time.monotonic() < end:
                    time.sleep(0.1)
                assert 50 < _answers(channel, 200)[b"canary"] < 150
        finally:
            envoy.stop()


def test_envoy_says_unavailable_while_its_upstream_is_down(tmp_path: Path) -> None:
    """A call to a revision that is not there fails at once with UNAVAILABLE."""
    envoy = start_envoy(tmp_path, free_port(), [WeightedUpstream("stable", free_port(), 100)])
    try:
        with grpc.insecure_channel(envoy.url) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/some.Service/Name")(b"", timeout=10.0)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        envoy.stop()
