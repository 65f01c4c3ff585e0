"""The data of the stack's PostgreSQL: how they are made, and how data of version 0.1 are changed.

PostgreSQL can execute statements on data without a server (``postgres --single``), as the superuser and
without a password. So no superuser with a password is needed.
"""

import os
import pwd
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pleura.local.clean_environment import inherit_basics
from pleura.local.dependencies.postgres_programs import choose_programs
from pleura.local.private_files import write_private
from pleura.local.processes import Command, StartFailed, read_last_line, wrap_command

_USER: Final = "pleura"
_SUPERUSER: Final = "postgres"
_RUNS_AS_NOBODY: Final = os.geteuid() == 0
"""PostgreSQL refuses to run as root."""
_RENAME_SUPERUSER: Final = (
    # nobody can rename the user that a session belongs to
    "BEGIN",
    "CREATE ROLE pleura_renames SUPERUSER",
    "SET SESSION AUTHORIZATION pleura_renames",
    f"ALTER ROLE {_USER} RENAME TO {_SUPERUSER}",
    f"SET SESSION AUTHORIZATION {_SUPERUSER}",
    "DROP ROLE pleura_renames",
    f"ALTER ROLE {_SUPERUSER} PASSWORD NULL",
    "COMMIT",
)
_GIVE_TABLES: Final = """
DO $$
DECLARE statement text;
BEGIN
  FOR statement IN
    SELECT format('ALTER SCHEMA %I OWNER TO pleura', nspname) FROM pg_namespace
      WHERE nspowner = 10 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    UNION ALL
    SELECT format('ALTER TABLE %s OWNER TO pleura', pg_class.oid::regclass) FROM pg_class
      JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE relowner = 10 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT format('ALTER SEQUENCE %s OWNER TO pleura', pg_class.oid::regclass) FROM pg_class
      JOIN pg_namespace ON pg_namespace.oid = relnamespace
      WHERE relowner = 10 AND nspname !~ '^pg_' AND relkind = 'S' AND NOT EXISTS
        (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i') AND refobjsubid > 0)
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO pleura', pg_proc.oid::regprocedure) FROM pg_proc
      JOIN pg_namespace ON pg_namespace.oid = pronamespace
      WHERE proowner = 10 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    UNION ALL
    SELECT format('ALTER TYPE %s OWNER TO pleura', pg_type.oid::regtype) FROM pg_type
      JOIN pg_namespace ON pg_namespace.oid = typnamespace
      WHERE typowner = 10 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND typtype IN ('e', 'd', 'r')
  LOOP
    EXECUTE statement;
  END LOOP;
END $$
"""


class PostgresCluster:
    """The data folder, the password and the programs of one PostgreSQL."""

    def __init__(self, folder: Path) -> None:
        self.data, self.log = folder / "data", folder / "postgres.log"
        self._password, self._is_plain = folder / "password", folder / "plain_role"
        self._programs = choose_programs(folder, _RUNS_AS_NOBODY)

    @property
    def password(self) -> str:
        """The password of the journal's user."""
        return self._password.read_text()

    def prepare(self) -> None:
        """Make the data if there are none. Make the journal's user a plain one if it is a superuser.

        Raises:
            StartFailed: PostgreSQL cannot make the data.
        """
        if not (self.data / "PG_VERSION").exists():
            self._make_data()
        elif not self._is_plain.exists():
            # in version 0.1 the journal's user was the superuser
            self.execute(_RENAME_SUPERUSER)
            self._make_user()
            self.execute([_GIVE_TABLES], database=_USER)

    def mark_plain(self) -> None:
        """Record that the journal's user is a plain one, so that no later start changes the data."""
        self._is_plain.touch()

    def execute(self, statements: Sequence[str], database: str = "postgres", *options: str) -> None:
        """Execute statements as the superuser, while no server runs. A failed statement is only logged."""
        quiet = "--log_min_error_statement=panic"  # a statement may have a password
        command = self.build_command(
            "postgres", "--single", "-D", self.data_argument, quiet, *options, database
        )
        self._run(command, "".join(f"{' '.join(statement.split())}\n" for statement in statements))

    @property
    def data_argument(self) -> str:
        """The path of the data for PostgreSQL, which may not enter the folders above its working folder."""
        if _RUNS_AS_NOBODY and sys.platform == "linux":
            return "/proc/self/cwd"
        return str(self.data)

    def build_command(self, program: str, *arguments: str) -> Command:
        """Build the command that runs a program of PostgreSQL on the data."""
        return Command(
            "postgres",
            [str(self._programs / program), *arguments],
            self.log,
            {"LC_ALL": "C"},
            # after SIGKILL its children and its shared memory would remain
            death_signal=signal.SIGQUIT,
            as_nobody=_RUNS_AS_NOBODY,
            folder=self.data,
        )

    def _make_data(self) -> None:
        self.data.mkdir(0o700, exist_ok=True)
        if _RUNS_AS_NOBODY:
            # PostgreSQL wants to own its data
            nobody = pwd.getpwnam("nobody")
            os.chown(self.data, nobody.pw_uid, nobody.pw_gid)
        write_private(self._password, secrets.token_urlsafe(18).encode())
        options = ["--auth-local=reject", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        options += ["--no-sync", "--no-instructions"]
        self._run(self.build_command("initdb", "-D", self.data_argument, "-U", _SUPERUSER, *options))
        self._make_user("-F")

    def _make_user(self, *options: str) -> None:
        user = f"CREATE ROLE {_USER} LOGIN PASSWORD '{self.password}'"
        database = f"CREATE DATABASE {_USER} OWNER {_USER}"
        own = f"ALTER DATABASE {_USER} OWNER TO {_USER}"
        self.execute([user, database, own, f"ALTER ROLE {_SUPERUSER} NOLOGIN"], "postgres", *options)

    def _run(self, command: Command, statements: str = "") -> None:
        with self.log.open("ab") as output:
            completed = subprocess.run(  # noqa: S603
                wrap_command(command),
                check=False,
                input=statements.encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherit_basics(), **command.environment},
                cwd=command.folder,
            )
        if completed.returncode:
            reason = read_last_line(self.log)
            raise StartFailed(f"postgres could not make its data folder: {reason} (log: {self.log})")
