"""The calls of the object store, and objects that change while a request about them is answered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
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

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW_MS = 400.0


@dataclass(frozen=True)
class StoreLab:
    """A transformer, its predictor, and a fault proxy in front of its object store."""

    service: Service
    predictor: StandInPredictor
    store: FaultProxy

    def list_calls(self, key: str) -> list[str]:
        """List the verbs of the calls that the store got for an object."""
        lines = [request.line.split() for request in self.store.read_traffic()]
        return [verb for verb, target, _ in lines if target == f"/{BUCKET}/{key}"]

    async def count_lookups(self) -> Counter[tuple[str, ...]]:
        """Count the look-ups in the cache by their results."""
        metrics = await asyncio.to_thread(read_metrics, f"{self.service.url}/metrics")
        return metrics.count_samples("pleura_cache_lookups_total")

    async def send_around_change(
        self, key: str, after_s: float, change: Callable[[], None], afterwards: int = 1, **first_headers: str
    ) -> list[V2Answer]:
        """Send a request for an object, change the object, and send ``afterwards`` more requests."""
        headers = {name.replace("_", "-"): value for name, value in first_headers.items()}
        first_answer = asyncio.ensure_future(send_by_id(self.service, [key], headers))
        await asyncio.sleep(after_s)
        await asyncio.to_thread(change)
        assert not first_answer.done()
        return list(
            await asyncio.gather(first_answer, *(send_by_id(self.service, [key]) for _ in range(afterwards)))
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_lab(
    seaweed: Server,
    valkey: Server,
    postgres: Server,
    bucket: Minio,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[StoreLab]:
    """The only laboratory of this module: each transformer takes seconds to start."""
    folder = tmp_path_factory.mktemp("replaced")
    store = await asyncio.to_thread(FaultProxy, urlsplit(seaweed.url).port or 0)
    async with stand_in_predictor() as predictor:
        url = f"http://127.0.0.1:{store.port}"
        parts = TransformerParts(predictor.address, url, valkey.url, postgres.url, folder / "spool")
        service = await asyncio.to_thread(start_transformer, folder, parts.build_environment())
        try:
            yield StoreLab(service, predictor, store)
        finally:
            await asyncio.to_thread(service.stop)
            await asyncio.to_thread(store.stop)


@pytest.fixture
def lab(running_lab: StoreLab) -> StoreLab:
    """The laboratory with a quick predictor that has not been called yet. Each test has its own keys."""
    predictor = running_lab.predictor
    predictor.seconds, predictor.calls, predictor.radiographs = 0.0, 0, 0
    return running_lab


async def test_a_radiograph_costs_two_calls_of_the_store(lab: StoreLab, bucket: Minio) -> None:
    """A new radiograph costs a HEAD for its ETag and a GET. A cached answer costs the HEAD only."""
    before = await lab.count_lookups()
    for key in ("once.png", "once-more.png"):
        put_object(bucket, key, make_radiograph_png(50))
    first, second = [await send_by_id(lab.service, ["once.png"]) for _ in range(2)]
    assert [answer.body["parameters"]["cached"] for answer in (first, second)] == [False, True]
    assert lab.list_calls("once.png") == ["HEAD", "GET", "HEAD"]
    put_object(bucket, "once.png", make_radiograph_png(51))
    third, fourth = [await send_by_id(lab.service, ["once.png", "once-more.png"]) for _ in range(2)]
    assert [answer.body["parameters"]["cached"] for answer in (third, fourth)] == [False, True]
    assert lab.list_calls("once.png") == ["HEAD", "GET", "HEAD", "HEAD", "GET", "HEAD"]
    assert lab.list_calls("once-more.png") == ["HEAD", "GET", "HEAD"]
    lookups = await lab.count_lookups() - before
    assert (lookups["hit",], lookups["replaced",], lookups["miss",]) == (3, 1, 2)


async def test_a_radiograph_that_a_request_names_twice_is_read_once(lab: StoreLab, bucket: Minio) -> None:
    """Each position of the request has its answer."""
    for key, seed in (("twice.png", 61), ("other.png", 62)):
        put_object(bucket, key, make_radiograph_png(seed))
    answer = await send_by_id(lab.service, ["twice.png", "other.png", "twice.png"])
    first, other, again = answer.read_output("probability")[:, 0]
    assert first == again != other
    assert lab.predictor.radiographs == 2
    assert lab.list_calls("twice.png").count("GET") == 1


async def test_requests_that_overlap_are_answered_apart(lab: StoreLab, bucket: Minio) -> None:
    """A request for several radiographs shares no work, and its answers are those of single requests."""
    for key, seed in (("left.png", 63), ("both.png", 64), ("right.png", 65)):
        put_object(bucket, key, make_radiograph_png(seed))
    lab.predictor.seconds = 1.0
    requests = (["left.png", "both.png"], ["both.png", "right.png"], ["both.png"], ["both.png"])
    answers = await asyncio.gather(*(send_by_id(lab.service, ids) for ids in requests))
    probabilities = [answer.read_output("probability")[:, 0] for answer in answers]
    assert probabilities[0][1] == probabilities[1][0] == probabilities[2][0] == probabilities[3][0]
    assert lab.predictor.calls == 3


async def test_a_request_after_a_change_is_answered_on_the_new_content(lab: StoreLab, bucket: Minio) -> None:
    """Requests before and after the change do not share an answer. Those after it share one."""
    put_object(bucket, "replaced.png", make_radiograph_png(52))
    lab.predictor.seconds = 3.0
    before, *after = await lab.send_around_change(
        "replaced.png",
        0.5,
        lambda: put_object(bucket, "replaced.png", make_radiograph_png(53)),
        afterwards=20,
    )
    later = await send_by_id(lab.service, ["replaced.png"])
    assert later.body["parameters"]["cached"]
    (first,) = {answer.read_output("probability")[0, 0] for answer in (*after, later)}
    assert before.read_output("probability")[0, 0] != first
    assert lab.predictor.calls == 2


async def test_requests_about_the_same_content_share_the_answer(lab: StoreLab, bucket: Minio) -> None:
    """One inference answers both requests, and each request reads the ETag."""
    put_object(bucket, "same.png", make_radiograph_png(54))
    lab.predictor.seconds = 1.0
    before, after = await lab.send_around_change("same.png", 0.5, lambda: None)
    assert (before.status, after.status, lab.predictor.calls) == (200, 200, 1)
    assert lab.list_calls("same.png") == ["HEAD", "GET", "HEAD"]


async def test_a_request_with_time_is_answered_though_the_first_had_none(
    lab: StoreLab, bucket: Minio
) -> None:
    """An answer that came too late for the first request is in time for the others."""
    put_object(bucket, "hasty.png", make_radiograph_png(57))
    lab.predictor.seconds = 1.0
    hasty, patient = await lab.send_around_change("hasty.png", 0.3, lambda: None, x_request_timeout_ms="700")
    assert (hasty.status in (503, 504), patient.status) == (True, 200)


async def test_cached_answers_need_only_the_etag(lab: StoreLab, bucket: Minio) -> None:
    """Many requests at once fetch and infer nothing. Each of them reads the ETag once."""
    put_object(bucket, "cached.png", make_radiograph_png(58))
    await send_by_id(lab.service, ["cached.png"])
    with lab.store.apply(Fault("slow", ms=SLOW_MS)):
        answers = await lab.send_around_change("cached.png", SLOW_MS / 1000, lambda: None, afterwards=30)
    assert all(answer.body["parameters"]["cached"] for answer in answers)
    assert (lab.list_calls("cached.png"), lab.predictor.calls) == (["HEAD", "GET", *["HEAD"] * 31], 1)


async def test_a_request_after_an_object_was_removed_is_404(lab: StoreLab, bucket: Minio) -> None:
    """A request does not get the answer that an earlier request still waits for."""
    put_object(bucket, "removed.png", make_radiograph_png(55))
    lab.predictor.seconds = 1.0
    before, after = await lab.send_around_change(
        "removed.png", 0.5, lambda: bucket.remove_object(BUCKET, "removed.png")
    )
    assert (before.status, after.status) == (200, 404)


async def test_a_failure_is_not_shared_with_a_request_about_new_content(lab: StoreLab, bucket: Minio) -> None:
    """A radiograph that was added or repaired meanwhile is read for the later request."""
    put_object(bucket, "mended.png", b"no radiograph")
    with lab.store.apply(Fault("slow", ms=SLOW_MS)):
        # each call reaches the store after SLOW_MS, and its answer is back after twice that
        for key, status, slow_ways in (("mended.png", 400, 3.5), ("come.png", 404, 1.5)):
            before, after = await lab.send_around_change(
                key,
                slow_ways * SLOW_MS / 1000,
                lambda key=key: put_object(bucket, key, make_radiograph_png(56)),  # type: ignore[misc]
            )
            assert (before.status, after.status) == (status, 200)


async def test_a_failed_element_does_not_delay_other_requests(lab: StoreLab, bucket: Minio) -> None:
    """A later request is answered while the earlier request still waits for its other radiograph."""
    put_object(bucket, "there.png", make_radiograph_png(59))
    lab.predictor.seconds = 5.0
    both = asyncio.ensure_future(send_by_id(lab.service, ["there.png", "late.png"]))
    await asyncio.sleep(1.0)
    await asyncio.to_thread(put_object, bucket, "late.png", make_radiograph_png(60))
    lab.predictor.seconds = 0.0
    late = await send_by_id(lab.service, ["late.png"])
    assert (late.status, both.done()) == (200, False)
    assert (await both).status == 404
