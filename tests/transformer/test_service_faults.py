"""A real transformer process while its parts fail, change and come back."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import psycopg2
import pytest
from minio import Minio

from pleura.local.dependencies import Server, start_postgres, start_seaweed, start_valkey
from pleura.local.pleura_services import Service
from proof.lab.bucket import BUCKET, make_bucket_client, put_object
from proof.lab.stand_in_predictor import StandInPredictor, stand_in_predictor
from proof.lab.transformer import (
    ACCESS_KEY,
    SECRET_KEY,
    TransformerParts,
    V2Answer,
    make_radiograph_png,
    send_by_id,
    start_transformer,
)
from transformer.answer import Revision


@pytest.fixture
def parts(
    seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> TransformerParts:
    """Give the addresses of the real parts, without a predictor."""
    return TransformerParts("127.0.0.1:9", seaweed.url, valkey.url, postgres.url, tmp_path / "spool")


@asynccontextmanager
async def _running(folder: Path, parts: TransformerParts, **settings: str) -> AsyncIterator[Service]:
    service = await asyncio.to_thread(start_transformer, folder, parts.build_environment(**settings))
    try:
        yield service
    finally:
        await asyncio.to_thread(service.stop)


def _on(parts: TransformerParts, predictor: StandInPredictor, **changes: str) -> TransformerParts:
    return TransformerParts(**{**vars(parts), "predictor_address": predictor.address, **changes})


async def _until(answers: Callable[[], Awaitable[V2Answer]], status: int, seconds: float = 12) -> V2Answer:
    end = time.monotonic() + seconds
    while (answer := await answers()).status != status:
        assert time.monotonic() < end, answer
        await asyncio.sleep(0.2)
    return answer


def _count(dsn: str, prefix: str) -> int:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM answers WHERE request_id LIKE %s", (f"{prefix}%",))
        return int(cursor.fetchone()[0])


async def _counted(dsn: str, prefix: str, expected: int, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while await asyncio.to_thread(_count, dsn, prefix) != expected:
        assert time.monotonic() < end, "rows are missing"
        await asyncio.sleep(0.2)


async def test_many_requests_for_one_radiograph_are_one_inference(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """1,000 requests at once share one inference, and each has its journal row."""
    put_object(bucket, "shared.png", make_radiograph_png(40))
    async with stand_in_predictor() as predictor:
        predictor.seconds = 5.0
        # the stand-in shares this busy event loop, so it may answer few health checks
        settings = {"PLEURA_TIMEOUT_S": "30", "PLEURA_WATCH_INTERVAL_S": "10"}
        async with _running(tmp_path, _on(parts, predictor), **settings) as service:
            answers = await asyncio.gather(
                *(send_by_id(service, ["shared.png"], id=f"shared-{i}") for i in range(1000))
            )
        assert {answer.status for answer in answers} == {200}
        assert predictor.calls == 1
    assert _count(parts.journal_dsn, "shared-") == 1000


async def test_a_promotion_leaves_no_old_answer_behind(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """When the old revision no longer answers, its cached answers are not used, nor after a rollback."""
    put_object(bucket, "promoted.png", make_radiograph_png(41))
    async with stand_in_predictor() as predictor, _running(tmp_path, _on(parts, predictor)) as service:
        first, second = [await send_by_id(service, ["promoted.png"]) for _ in range(2)]
        predictor.revision = Revision("0.0.2", "d" * 64)
        await asyncio.sleep(3.5)
        third, fourth = [await send_by_id(service, ["promoted.png"]) for _ in range(2)]
    outcomes = [
        (answer.body["model_version"], answer.body["parameters"]["cached"]) for answer in (first, second)
    ]
    assert outcomes == [("0.0.1", False), ("0.0.1", True)]
    outcomes = [
        (answer.body["model_version"], answer.body["parameters"]["cached"]) for answer in (third, fourth)
    ]
    assert outcomes == [("0.0.2", False), ("0.0.2", True)]


async def test_all_answers_of_a_request_come_from_one_revision(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """During a canary, all radiographs are inferred again where a cached and a new answer would mix."""
    for name in ("mixed-a.png", "mixed-b.png"):
        put_object(bucket, name, make_radiograph_png(hash(name) % 1000))
    async with stand_in_predictor() as predictor, _running(tmp_path, _on(parts, predictor)) as service:
        await send_by_id(service, ["mixed-a.png"])
        predictor.revision = Revision("0.0.2", "d" * 64)
        both = await send_by_id(service, ["mixed-a.png", "mixed-b.png"])
        assert (both.body["model_version"], both.body["parameters"]["cached"]) == ("0.0.2", False)


async def test_an_invalid_answer_is_502_and_not_cached(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """NaN is 502, and neither journaled nor cached. The next answer is right."""
    put_object(bucket, "lied.png", make_radiograph_png(42))

    def lie(response: object) -> None:
        contents = response.raw_output_contents  # type: ignore[attr-defined]
        contents[0] = b"\xff" * len(contents[0])

    async with stand_in_predictor() as predictor, _running(tmp_path, _on(parts, predictor)) as service:
        predictor.change = lie
        assert (await send_by_id(service, ["lied.png"], id="lied-1")).status == 502
        predictor.change = None
        answer = await send_by_id(service, ["lied.png"], id="lied-2")
    assert (answer.status, answer.body["parameters"]["cached"]) == (200, False)
    assert _count(parts.journal_dsn, "lied-") == 1


async def test_a_predictor_that_hangs_or_is_down_is_503_in_time(
    parts: TransformerParts, bucket: Minio, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """The error comes within the deadline, or at once. A predictor that is back is found."""
    put_object(bucket, "hung.png", make_radiograph_png(43))
    port = free_port()
    async with stand_in_predictor(port) as predictor:
        predictor.seconds = 60
        address = _on(parts, predictor)
        async with _running(tmp_path, address) as service:
            began_s = time.monotonic()
            hung = await send_by_id(service, ["hung.png"], {"x-request-timeout-ms": "1500"})
            assert (hung.status, "retry-after" in hung.headers) == (503, True)
            assert time.monotonic() - began_s < 3
    async with stand_in_predictor(port):
        service_cm = _running(tmp_path / "second", address)
        service = await service_cm.__aenter__()
    try:
        stopped = await send_by_id(service, ["hung.png"])
        assert (stopped.status, "retry-after" in stopped.headers) == (503, True)
        async with stand_in_predictor(port):
            await _until(lambda: send_by_id(service, ["hung.png"]), 200)
    finally:
        await service_cm.__aexit__(None, None, None)


async def test_every_request_is_answered_without_redis(
    parts: TransformerParts, bucket: Minio, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Without Redis every request is answered. When Redis is back, the cache is used again."""
    put_object(bucket, "uncached.png", make_radiograph_png(44))
    port = free_port()
    valkey = start_valkey(tmp_path / "valkey", port)
    async with (
        stand_in_predictor() as predictor,
        _running(tmp_path, _on(parts, predictor, redis_url=valkey.url)) as service,
    ):
        assert (await send_by_id(service, ["uncached.png"])).status == 200
        await asyncio.to_thread(valkey.stop)
        answers = [await send_by_id(service, ["uncached.png"]) for _ in range(10)]
        assert {answer.status for answer in answers} == {200}
        valkey = await asyncio.to_thread(start_valkey, tmp_path / "valkey", port)
        end = time.monotonic() + 12
        while not (await send_by_id(service, ["uncached.png"])).body["parameters"]["cached"]:
            assert time.monotonic() < end
            await asyncio.sleep(0.3)
    valkey.stop()


async def test_without_the_object_store_requests_are_503_until_it_is_back(
    parts: TransformerParts, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """The error has a Retry-After. When the store is back, requests are answered."""
    folder, port = tmp_path / "seaweed", free_port()
    seaweed = start_seaweed(folder, port, ACCESS_KEY, SECRET_KEY)
    client = make_bucket_client(seaweed.url)
    client.make_bucket(BUCKET)
    put_object(client, "stored.png", make_radiograph_png(45))
    async with (
        stand_in_predictor() as predictor,
        _running(tmp_path, _on(parts, predictor, s3_url=seaweed.url)) as service,
    ):
        assert (await send_by_id(service, ["stored.png"])).status == 200
        await asyncio.to_thread(seaweed.stop)
        answer = await send_by_id(service, ["stored.png"])
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
        seaweed = await asyncio.to_thread(start_seaweed, folder, port, ACCESS_KEY, SECRET_KEY)
        await _until(lambda: send_by_id(service, ["stored.png"]), 200, 30)
    seaweed.stop()


async def test_no_row_is_lost_while_postgres_is_down(
    parts: TransformerParts, bucket: Minio, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Answers are spooled and say so. When PostgreSQL is back, it has every row once."""
    folder, port = tmp_path / "postgres", free_port()
    postgres = start_postgres(folder, port)
    async with (
        stand_in_predictor() as predictor,
        _running(tmp_path, _on(parts, predictor, journal_dsn=postgres.url)) as service,
    ):
        kept = [await send_by_id(service, ["r0.png"], id="outage-0")]
        await asyncio.to_thread(postgres.stop)
        kept += [await send_by_id(service, ["r0.png"], id=f"outage-{i}") for i in range(1, 20)]
        postgres = await asyncio.to_thread(start_postgres, folder, port)
        await _counted(postgres.url, "outage-", 20)
        kept += [await send_by_id(service, ["r0.png"], id="outage-20")]
    journals = [answer.body["parameters"]["journal"] for answer in kept]
    assert journals == ["written", *["spooled"] * 19, "written"]
    assert _count(postgres.url, "outage-") == 21
    postgres.stop()


async def test_kill_9_with_a_full_spool_loses_no_row(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """The next process with the same spool writes the rows of all answers from before the kill."""
    nowhere = "postgresql://nobody@127.0.0.1:9/pleura"
    async with stand_in_predictor() as predictor:
        here = _on(parts, predictor)
        service = await asyncio.to_thread(
            start_transformer, tmp_path, here.build_environment(PLEURA_JOURNAL_DSN=nowhere)
        )
        try:
            answers = [await send_by_id(service, ["r1.png"], id=f"killed-{i}") for i in range(10)]
            assert {answer.body["parameters"]["journal"] for answer in answers} == {"spooled"}
        finally:
            os.kill(service.process.pid, signal.SIGKILL)
            await asyncio.to_thread(service.stop)
        async with _running(tmp_path / "second", here):
            await _counted(parts.journal_dsn, "killed-", 10)


async def test_neither_postgres_nor_spool_is_503(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """An answer whose row cannot be kept is not sent."""
    async with stand_in_predictor() as predictor:
        here = _on(parts, predictor, journal_dsn="postgresql://nobody@127.0.0.1:9/pleura")
        async with _running(tmp_path, here) as service:
            assert (await send_by_id(service, ["r2.png"])).status == 200
            for segment in here.spool_folder.iterdir():
                segment.unlink()
            here.spool_folder.rmdir()
            here.spool_folder.write_text("no folder any more")
            answer = await send_by_id(service, ["r2.png"])
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    assert "probability" not in str(answer.body)


async def test_requests_beyond_the_limit_are_refused_at_once(
    parts: TransformerParts, bucket: Minio, tmp_path: Path
) -> None:
    """Requests within the limit are answered, further requests are refused."""
    async with stand_in_predictor() as predictor:
        predictor.seconds = 1.0
        async with _running(tmp_path, _on(parts, predictor), PLEURA_MAX_IN_FLIGHT="2") as service:
            answers = await asyncio.gather(*(send_by_id(service, ["r3.png"]) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200, 200, *[503] * 6]
