"""The calls of the object store, and objects that change while a request about them is answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest_asyncio
from minio import Minio

from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.faults.proxy import Fault, FaultProxy
from proof.lab.bucket import BUCKET, put_object
from proof.lab.scrape import read_metrics
from proof.lab.stand_in_predictor import StandInPredictor, stand_in_predictor
from proof.lab.transformer import (
    TransformerParts,
    V2Answer,
    make_radiograph_png,
    send_by_id,
    start_transformer,
)
from tests.proof.faults.conftest import Before

SLOW_MS = 400.0


@dataclass(frozen=True)
class Stage:
    """A transformer, its predictor, and a proxy before its object store."""

    service: Service
    predictor: StandInPredictor
    store: FaultProxy

    def calls(self, key: str) -> list[str]:
        """The verbs with which the store was asked about an object."""
        lines = [each.line.split() for each in self.store.read_traffic()]
        return [verb for verb, target, _ in lines if target == f"/{BUCKET}/{key}"]

    async def asked_twice(
        self, key: str, after_s: float, change: Callable[[], None], afterwards: int = 1, **first: str
    ) -> list[V2Answer]:
        """Ask about an object; while that is under way change it, and ask again, so many times at once."""
        headers = {name.replace("_", "-"): value for name, value in first.items()}
        begun = asyncio.ensure_future(send_by_id(self.service, [key], headers))
        await asyncio.sleep(after_s)
        await asyncio.to_thread(change)
        assert not begun.done()
        return list(
            await asyncio.gather(begun, *(send_by_id(self.service, [key]) for _ in range(afterwards)))
        )


@pytest_asyncio.fixture
async def stage(
    before: Before, seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> AsyncIterator[Stage]:
    """All of it, running."""
    store = await asyncio.to_thread(before, urlsplit(seaweed.url).port or 0)
    async with stand_in_predictor() as predictor:
        parts = TransformerParts(
            predictor.address, f"http://127.0.0.1:{store.port}", valkey.url, postgres.url, tmp_path / "spool"
        )
        service = await asyncio.to_thread(start_transformer, tmp_path, parts.build_environment())
        try:
            yield Stage(service, predictor, store)
        finally:
            await asyncio.to_thread(service.stop)


async def test_a_radiograph_costs_two_calls_of_the_store(stage: Stage, bucket: Minio) -> None:
    """A new radiograph costs a HEAD for its ETag and a GET. A cached answer costs the HEAD only."""
    for key in ("once.png", "once-more.png"):
        put_object(bucket, key, make_radiograph_png(50))
    first, second = [await send_by_id(stage.service, ["once.png"]) for _ in range(2)]
    assert [each.body["parameters"]["cached"] for each in (first, second)] == [False, True]
    assert stage.calls("once.png") == ["HEAD", "GET", "HEAD"]
    put_object(bucket, "once.png", make_radiograph_png(51))
    third, fourth = [await send_by_id(stage.service, ["once.png", "once-more.png"]) for _ in range(2)]
    assert [each.body["parameters"]["cached"] for each in (third, fourth)] == [False, True]
    assert stage.calls("once.png") == ["HEAD", "GET", "HEAD", "HEAD", "GET", "HEAD"]
    assert stage.calls("once-more.png") == ["HEAD", "GET", "HEAD"]
    metrics = await asyncio.to_thread(read_metrics, f"{stage.service.url}/metrics")
    lookups = metrics.count_samples("pleura_cache_lookups_total")
    assert (lookups["hit",], lookups["replaced",], lookups["miss",]) == (3, 1, 2)


async def test_a_radiograph_that_a_request_names_twice_is_read_once(stage: Stage, bucket: Minio) -> None:
    """Each position of the request has its answer."""
    for key, seed in (("twice.png", 61), ("other.png", 62)):
        put_object(bucket, key, make_radiograph_png(seed))
    answer = await send_by_id(stage.service, ["twice.png", "other.png", "twice.png"])
    first, other, again = answer.read_output("probability")[:, 0]
    assert first == again != other
    assert stage.predictor.radiographs == 2
    assert stage.calls("twice.png").count("GET") == 1


async def test_requests_that_overlap_are_answered_apart(stage: Stage, bucket: Minio) -> None:
    """A request for several radiographs shares no work, and its answers are those of single requests."""
    for key, seed in (("left.png", 63), ("both.png", 64), ("right.png", 65)):
        put_object(bucket, key, make_radiograph_png(seed))
    stage.predictor.seconds = 1.0
    requests = (["left.png", "both.png"], ["both.png", "right.png"], ["both.png"], ["both.png"])
    answers = await asyncio.gather(*(send_by_id(stage.service, ids) for ids in requests))
    probabilities = [answer.read_output("probability")[:, 0] for answer in answers]
    assert probabilities[0][1] == probabilities[1][0] == probabilities[2][0] == probabilities[3][0]
    assert stage.predictor.calls == 3


async def test_a_request_after_a_change_is_answered_on_the_new_content(stage: Stage, bucket: Minio) -> None:
    """Requests before and after the change do not share an answer. Those after it share one."""
    put_object(bucket, "replaced.png", make_radiograph_png(52))
    stage.predictor.seconds = 3.0
    before, *after = await stage.asked_twice(
        "replaced.png",
        0.5,
        lambda: put_object(bucket, "replaced.png", make_radiograph_png(53)),
        afterwards=20,
    )
    later = await send_by_id(stage.service, ["replaced.png"])
    assert later.body["parameters"]["cached"]
    (first,) = {each.read_output("probability")[0, 0] for each in (*after, later)}
    assert before.read_output("probability")[0, 0] != first
    assert stage.predictor.calls == 2


async def test_requests_about_the_same_content_share_the_answer(stage: Stage, bucket: Minio) -> None:
    """One inference answers both requests, and each request reads the ETag."""
    put_object(bucket, "same.png", make_radiograph_png(54))
    stage.predictor.seconds = 1.0
    before, after = await stage.asked_twice("same.png", 0.5, lambda: None)
    assert (before.status, after.status, stage.predictor.calls) == (200, 200, 1)
    assert stage.calls("same.png") == ["HEAD", "GET", "HEAD"]


async def test_a_request_with_time_is_answered_though_the_first_had_none(stage: Stage, bucket: Minio) -> None:
    """An answer that came too late for the first request is in time for the others."""
    put_object(bucket, "hasty.png", make_radiograph_png(57))
    stage.predictor.seconds = 1.0
    hasty, patient = await stage.asked_twice("hasty.png", 0.3, lambda: None, x_request_timeout_ms="700")
    assert (hasty.status in (503, 504), patient.status) == (True, 200)


async def test_cached_answers_need_only_the_etag(stage: Stage, bucket: Minio) -> None:
    """Many requests at once fetch and infer nothing. Each of them reads the ETag once."""
    put_object(bucket, "cached.png", make_radiograph_png(58))
    await send_by_id(stage.service, ["cached.png"])
    with stage.store.apply(Fault("slow", ms=SLOW_MS)):
        answers = await stage.asked_twice("cached.png", SLOW_MS / 1000, lambda: None, afterwards=30)
    assert all(each.body["parameters"]["cached"] for each in answers)
    assert (stage.calls("cached.png"), stage.predictor.calls) == (["HEAD", "GET", *["HEAD"] * 31], 1)


async def test_a_request_after_an_object_was_removed_is_404(stage: Stage, bucket: Minio) -> None:
    """A request does not get the answer that an earlier request still waits for."""
    put_object(bucket, "removed.png", make_radiograph_png(55))
    stage.predictor.seconds = 1.0
    before, after = await stage.asked_twice(
        "removed.png", 0.5, lambda: bucket.remove_object(BUCKET, "removed.png")
    )
    assert (before.status, after.status) == (200, 404)


async def test_a_failure_is_not_shared_with_a_request_about_new_content(stage: Stage, bucket: Minio) -> None:
    """A radiograph that was added or repaired meanwhile is read for the later request."""
    put_object(bucket, "mended.png", b"no radiograph")
    with stage.store.apply(Fault("slow", ms=SLOW_MS)):
        # each call reaches the store after SLOW_MS, and its answer is back after twice that
        for key, status, slow_ways in (("mended.png", 400, 3.5), ("come.png", 404, 1.5)):
            before, after = await stage.asked_twice(
                key,
                slow_ways * SLOW_MS / 1000,
                lambda key=key: put_object(bucket, key, make_radiograph_png(56)),  # type: ignore[misc]
            )
            assert (before.status, after.status) == (status, 200)


async def test_a_failed_element_does_not_delay_other_requests(stage: Stage, bucket: Minio) -> None:
    """A later request is answered while the earlier request still waits for its other radiograph."""
    put_object(bucket, "there.png", make_radiograph_png(59))
    stage.predictor.seconds = 5.0
    both = asyncio.ensure_future(send_by_id(stage.service, ["there.png", "late.png"]))
    await asyncio.sleep(1.0)
    await asyncio.to_thread(put_object, bucket, "late.png", make_radiograph_png(60))
    stage.predictor.seconds = 0.0
    late = await send_by_id(stage.service, ["late.png"])
    assert (late.status, both.done()) == (200, False)
    assert (await both).status == 404
