"""Bring the journal's schema up to date, and end: ``python -m transformer.migrate``.

A transformer does the same at its start. On Kubernetes a Job does it before, so that an upgrade that
PostgreSQL refuses is seen before any pod is replaced.
"""

import sys
from typing import Final

import psycopg2
import structlog
from pydantic import SecretStr

from pleura.observability.logs import configure_logging
from pleura.serving.start import refuse_start
from pleura.settings import InvalidSettings, PleuraSettings
from transformer.journal.database import Database, limit_waiting
from transformer.journal.migrations import HEAD, migrate

NOT_MIGRATED: Final = 1
log = structlog.get_logger()


class MigrationSettings(PleuraSettings):
    """Everything that the migration of the journal reads from its environment."""

    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal. Its user must own the tables."""


def main() -> None:
    """Migrate the schema. The exit code is 1 if PostgreSQL does not answer or refuses."""
    configure_logging("migration")
    try:
        settings = MigrationSettings.read()
    except InvalidSettings as error:
        refuse_start(str(error))
    limit_waiting()
    try:
        migrate(Database(settings.journal_dsn.get_secret_value()))
    except psycopg2.Error as error:
        # psycopg2's text may quote the connection string
        log.error("journal_not_migrated", reason=type(error).__name__)
        sys.exit(NOT_MIGRATED)
    log.info("journal_migrated", version=HEAD)


if __name__ == "__main__":
    main()
