"""Servers that somebody else keeps: asked once, so that a wrong address is told at the start."""

from contextlib import closing

import psycopg2
import redis

from pleura.local.object_store import build_store_client
from pleura.local.processes import StartFailed

_TIMEOUT_S = 5.0


def require_postgres(url: str) -> None:
    """Ask a PostgreSQL server for a SELECT.

    Raises:
        StartFailed: It does not answer.
    """
    try:
        with closing(psycopg2.connect(url, connect_timeout=int(_TIMEOUT_S))) as connection:
            connection.cursor().execute("SELECT 1")
    except (psycopg2.Error, UnicodeDecodeError) as error:
        # words that are no UTF-8 come as the latter, or, from older Pythons, as none
        words = "" if isinstance(error, UnicodeDecodeError) else str(error).strip()
        said = words.split("\n", 1)[0] or "it refuses, in words that are not UTF-8"
        raise StartFailed(f"postgres: the server given with --postgres does not answer: {said}") from error


def require_redis(url: str) -> None:
    """Ask a Redis or Valkey server for a PONG.

    Raises:
        StartFailed: It does not answer.
    """
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise StartFailed(f"redis: the server given with --redis does not answer: {error}") from error


def require_store(url: str, access_key: str, secret_key: str, bucket: str) -> None:
    """Ask an S3 server for a bucket.

    Raises:
        StartFailed: It does not answer, or not with these keys.
    """
    try:
        build_store_client(url, access_key, secret_key).bucket_exists(bucket)
    except Exception as error:  # minio, urllib3 and the standard library each have their own family
        raise StartFailed(f"s3: the server given with --s3 does not answer as it should: {error}") from error
