"""Read all outputs of a stack: logs, metrics, spans, spool, journal and cache."""

import json
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import psycopg2
import redis

from proof.lab.running_stack import RunningStack
from tests.support.collector import Collector
from tests.support.planted.stack_caller import StackCaller, Text

SERVICES = ("auth_proxy", "transformer", "predictor")
EXPORT_MS = 100


def read_metrics(stack: RunningStack) -> Iterator[Text]:
    """Read the metrics of each service, as Prometheus does."""
    for name in SERVICES:
        text = httpx.get(stack.record.metrics[name], trust_env=False, timeout=30).raise_for_status().text
        assert "pleura_requests_total" in text
        yield f"metrics of {name}", text.encode()


def read_spans(collector: Collector) -> Iterator[Text]:
    """Read the names and attributes of the spans of all services."""
    time.sleep(10 * EXPORT_MS / 1000)
    assert {span.service.removeprefix("pleura-") for span in collector.spans} >= set(SERVICES)
    for span in list(collector.spans):
        yield f"a span of {span.service}", repr((span.name, span.attributes)).encode()


def read_logs(stack: RunningStack) -> Iterator[Text]:
    """Read the log files. The ``.log`` files in the object store's data folder are objects, not logs."""
    for path in [stack.log, *stack.state.path.rglob("*.log")]:
        if "data" not in path.relative_to(stack.state.path.parent).parts:
            yield f"log {path.name}", path.read_bytes()


def read_spool(stack: RunningStack) -> Iterator[Text]:
    """Read the files of the spool."""
    for path in (stack.state.path / "transformer" / "spool").rglob("*"):
        if path.is_file():
            yield "spool", path.read_bytes()


def read_journal(stack: RunningStack, without_column: str = "") -> Iterator[Text]:
    """Read each row of each table of the journal, without one column."""
    password = (stack.state.path / "postgres" / "password").read_text()
    connection = psycopg2.connect(f"postgresql://pleura:{password}@{stack.record.parts['postgres'].url}")
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT to_jsonb(t) - %s FROM "{table}" t', (without_column,))
            for (row,) in cursor.fetchall():
                yield f"table {table}", json.dumps(row).encode()


def read_cache(stack: RunningStack) -> Iterator[Text]:
    """Read each key and value of the cache."""
    client = redis.Redis.from_url(stack.cache_url)
    for key in client.scan_iter():
        yield "cache", repr((key, client.get(key))).encode()
    client.close()


def read_outputs(caller: StackCaller) -> list[Text]:
    """Read all outputs that must not contain a planted value."""
    stack = caller.stack
    return [
        *caller.answers,
        *read_logs(stack),
        *read_metrics(stack),
        *read_spans(caller.collector),
        *read_spool(stack),
        *read_cache(stack),
    ]
