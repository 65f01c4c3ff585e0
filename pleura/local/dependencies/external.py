"""Check servers that the user runs once at the start, so that a wrong address is reported early."""

from contextlib import closing

import psycopg2
import redis

from pleura.local.object_store import build_store_client
from pleura.local.processes import StartFailed

_TIMEOUT_S = 5.0


def require_postgres(url: str) -> None:
    """Require that a PostgreSQL server answers a SELECT.

    Raises:
        StartFailed: The server does not answer.
    """
    try:
        with closing(psycopg2.connect(url, connect_timeout=int(_TIMEOUT_S))) as connection:
            connection.cursor().execute("SELECT 1")
    except (psycopg2.Error, UnicodeDecodeError) as error:  # docs/decisions/0038
        # a message that is not UTF-8 is a UnicodeDecodeError; older Pythons give an empty message
        message = "" if isinstance(error, UnicodeDecodeError) else str(error).strip()
        reason = message.split("\n", 1)[0] or "the server's message is not UTF-8"
        raise StartFailed(f"postgres: the server given with --postgres does not answer: {reason}") from error


def require_redis(url: str) -> None:
    """Require that a Redis or Valkey server answers a PING.

    Raises:
        StartFailed: The server does not answer.
    """
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise StartFailed(f"redis: the server given with --redis does not answer: {error}") from error


def require_store(url: str, access_key: str, secret_key: str, bucket: str) -> None:
    """Require that an S3 server answers about a bucket.

    Raises:
        StartFailed: The server does not answer, or refuses these keys.
    """
    try:
        build_store_client(url, access_key, secret_key).bucket_exists(bucket)
    except Exception as error:  # minio, urllib3 and the standard library each have their own family
        raise StartFailed(f"s3: the server given with --s3 does not answer as it should: {error}") from error
