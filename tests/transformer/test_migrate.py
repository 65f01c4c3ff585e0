"""The Job that brings the journal's schema up to date, on a real PostgreSQL."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pleura.local.dependencies import Server
from pleura.local.processes import free_port
from tests.support.databases import create_database, run_sql

_ROOT = Path(__file__).parents[2]


def migrate(**settings: str) -> tuple[int, dict[str, str]]:
    """Run the process, and return its exit code and the last line of its log."""
    done = subprocess.run(
        [sys.executable, "-m", "transformer.migrate"],
        cwd=_ROOT,
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_an_empty_database_gets_the_schema(postgres: Server, tmp_path: Path) -> None:
    """The first run makes the tables, and a second run changes nothing."""
    dsn = create_database(postgres)
    (tmp_path / "dsn").write_text(f"{dsn}\n")
    for _ in range(2):
        code, line = migrate(PLEURA_JOURNAL_DSN_FILE=str(tmp_path / "dsn"))
        assert (code, line["event"]) == (0, "journal_migrated")
    assert run_sql(dsn, "SELECT count(*) FROM answers") == [(0,)]


def test_what_is_wrong_is_said(postgres: Server) -> None:
    """Without PostgreSQL the process fails, so that a Job tries again. The log never quotes the address."""
    code, line = migrate(PLEURA_JOURNAL_DSN=f"postgresql://u:secret@127.0.0.1:{free_port()}/none")
    assert (code, line["event"], line["reason"]) == (1, "journal_not_migrated", "OperationalError")
    assert "secret" not in json.dumps(line)
    code, line = migrate()
    assert (code, line["event"]) == (2, "start_refused")
    assert line["reason"].startswith("PLEURA_JOURNAL_DSN: ")
