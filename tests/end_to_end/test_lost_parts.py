"""The running stack while one of its parts hangs, dies and returns."""

import io
import time
from contextlib import closing
from pathlib import Path

import httpx
import psycopg2
import pytest

from proof.lab.module_process import wait_until
from proof.lab.running_stack import RunningStack


def _classify(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/classify", json={"image_id": name})


def test_the_stack_answers_without_redis(stack: RunningStack, client: httpx.Client, sample: Path) -> None:
    """No answer is lost while the cache hangs, or dies and returns."""
    with stack.freeze("valkey"):
        assert [_classify(client, sample.name).status_code for _ in range(10)] == [200] * 10
    wait_until(lambda: _classify(client, sample.name).json()["cached"])
    stack.kill("valkey")
    assert [_classify(client, sample.name).status_code for _ in range(10)] == [200] * 10
    wait_until(lambda: _classify(client, sample.name).json()["cached"])


def test_without_postgres_no_answer_is_lost(stack: RunningStack, client: httpx.Client, sample: Path) -> None:
    """While the journal hangs, answers are spooled and say so. Once it returns, each has one row."""
    with stack.freeze("postgres"):
        answers = [_classify(client, sample.name) for _ in range(3)]
    assert [(answer.status_code, answer.json()["journal"]) for answer in answers] == [(200, "spooled")] * 3
    stack.kill("postgres")
    answers += [_classify(client, sample.name) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 6
    request_ids = sorted(answer.json()["request_id"] for answer in answers)
    wait_until(lambda: _read_rows(stack, request_ids) == request_ids)


def _read_rows(stack: RunningStack, request_ids: list[str]) -> list[str]:
    password = (stack.state.path / "postgres" / "password").read_text()
    part = stack.record.parts.get("postgres")
    if part is None:
        return []
    try:
        connection = psycopg2.connect(f"postgresql://pleura:{password}@{part.url}")
        with closing(connection), connection.cursor() as cursor:
            statement = "SELECT request_id FROM answers WHERE request_id = ANY(%s) ORDER BY request_id"
            cursor.execute(statement, (request_ids,))
            return [str(row[0]) for row in cursor.fetchall()]
    except psycopg2.OperationalError:
        return []


@pytest.mark.parametrize("part", ["seaweed", "predictor"])
def test_without_store_or_predictor_an_answer_says_when_to_retry(
    stack: RunningStack, client: httpx.Client, sample: Path, part: str
) -> None:
    """While a required part is down, the answer is 503 with Retry-After, until the part has restarted."""
    file = io.BytesIO(sample.read_bytes() + str(time.time()).encode())  # content that is not in the cache
    stack.kill(part)
    down = (
        _classify(client, sample.name)
        if part == "seaweed"
        else client.post("/classify", files={"file": file})
    )
    assert down.status_code == 503, down.text
    assert int(down.headers["retry-after"]) > 0
    wait_until(lambda: f"{part} died" in stack.log.read_text())
    wait_until(lambda: _classify(client, sample.name).status_code == 200)
    wait_until(lambda: part in stack.record.parts)
