"""Connections to PostgreSQL: those that are kept, and those that come to nothing."""

from contextlib import closing

import psycopg2
import pytest

from tests.databases import strange_server
from transformer.database import Database, wait_with_limits


def test_a_refusal_that_is_no_utf8_is_one() -> None:
    """A server speaks as it likes until an encoding is agreed on: it is as good as away."""
    wait_with_limits()
    with strange_server() as dsn, closing(Database(dsn)) as database:
        with pytest.raises(psycopg2.OperationalError):
            database.connect(2.0)
        with pytest.raises(psycopg2.OperationalError):
            database.connect_for_loop(2.0)
