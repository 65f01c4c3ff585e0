"""The journal's schema: alembic migrations, which run when the transformer starts.

Alembic is imported only when a migration is needed, which keeps its memory out of most processes.
"""

from typing import Any, Final

from transformer.journal.database import Database

HEAD: Final = "0004"
"""The newest revision below ``versions/``."""
_LOCK: Final = 0x506C65757261
_LIMIT_S: Final = 30.0


def migrate(database: Database) -> None:
    """Upgrade the schema to ``HEAD``, one process at a time. A newer schema is left as it is.

    Raises:
        psycopg2.Error: The server is down or refuses.
    """
    connection = database.connect(_LIMIT_S)
    try:
        with connection.cursor() as cursor:
            # held by the session, not by the transaction: it lasts until the connection closes
            cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            version = _read_version(cursor)
        connection.commit()
        if version is None or version < HEAD:
            _upgrade(connection)
    finally:
        connection.close()


def _read_version(cursor: Any) -> str | None:
    cursor.execute("SELECT to_regclass('alembic_version')")
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute("SELECT max(version_num) FROM alembic_version")
    row = cursor.fetchone()
    return None if row is None else row[0]


def _upgrade(connection: Any) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    # StaticPool: the upgrade must run on the connection that holds the lock
    engine = create_engine("postgresql+psycopg2://", creator=lambda: connection, poolclass=StaticPool)
    config = Config()
    config.set_main_option("script_location", "transformer.journal:migrations")
    try:
        with engine.connect() as bound:
            config.attributes["connection"] = bound
            command.upgrade(config, HEAD)
            bound.commit()
    except DBAPIError as error:  # SQLAlchemy wraps the error that psycopg2 raised
        raise error.orig or error from error
