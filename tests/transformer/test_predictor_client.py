"""The client of the predictor: what it sends, how long it waits, when it tries again, and its errors."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from pleura.deadline import Deadline
from pleura.errors import (
    DeadlineExceeded,
    InvalidAnswer,
    Overloaded,
    PleuraError,
    PredictorUnavailable,
)
from pleura.local.pleura_services import Service
from proof.lab.stand_in_predictor import StandInPredictor, stand_in_predictor
from transformer.answer import Revision
from transformer.predictor_client import PredictorClient, RetryBudget

RADIOGRAPHS = np.arange(2 * 224 * 224, dtype=np.uint32).astype(np.uint8).reshape(2, 224, 224)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[StandInPredictor]:
    """A stand-in for the predictor."""
    async with stand_in_predictor() as predictor:
        yield predictor


@pytest_asyncio.fixture
async def client(server: StandInPredictor) -> AsyncIterator[PredictorClient]:
    """A client of the stand-in."""
    caller = PredictorClient(server.address, max_in_flight=2)
    yield caller
    await caller.close()


async def test_radiographs_are_judged_in_one_call(client: PredictorClient, server: StandInPredictor) -> None:
    """All radiographs of a request go in one call, with less time than the request has."""
    prediction = await client.predict(RADIOGRAPHS, Deadline.after(5), {})
    assert (server.calls, server.radiographs) == (1, 2)
    assert prediction.revision == server.revision
    np.testing.assert_allclose(prediction.probability[:, 0], RADIOGRAPHS.mean((1, 2)) / 255, rtol=1e-5)
    assert 3 < server.timeouts_s[0] < 5


async def test_the_model_is_described(client: PredictorClient, server: StandInPredictor) -> None:
    """The client reads the description that the predictor sends."""
    described = await client.describe()
    assert (described.description.version, described.digest) == ("0.0.1", server.revision.digest)


async def test_the_answer_of_a_real_predictor_is_read(predictor: Service) -> None:
    """The answer of our own predictor passes every check."""
    client = PredictorClient(predictor.grpc_address, max_in_flight=2)
    prediction = await client.predict(RADIOGRAPHS, Deadline.after(10), {"x-request-id": "one"})
    assert prediction.activation_map.shape == (2, 14, 7, 7)
    assert prediction.revision.version == (await client.describe()).description.version
    await client.close()


async def test_expired_work_is_not_sent(client: PredictorClient, server: StandInPredictor) -> None:
    """After the deadline nothing goes over the network."""
    with pytest.raises(DeadlineExceeded):
        await client.predict(RADIOGRAPHS, Deadline.after(-1), {})
    assert server.calls == 0


async def test_a_silent_predictor_is_unavailable_within_the_deadline(
    client: PredictorClient, server: StandInPredictor
) -> None:
    """The error comes while the caller still waits."""
    server.seconds, began_s = 30, time.monotonic()
    with pytest.raises(PredictorUnavailable):
        await client.predict(RADIOGRAPHS, Deadline.after(1), {})
    assert time.monotonic() - began_s < 1


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, None, PredictorUnavailable),
        (grpc.StatusCode.UNAVAILABLE, "unavailable", PredictorUnavailable),
        (grpc.StatusCode.UNAVAILABLE, "overloaded", Overloaded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, Overloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded", DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, "invalid_answer", InvalidAnswer),
        (grpc.StatusCode.INTERNAL, "internal", PredictorUnavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request", PredictorUnavailable),
    ],
)
async def test_each_failure_has_its_error(
    client: PredictorClient,
    server: StandInPredictor,
    status: grpc.StatusCode,
    code: str | None,
    expected: type[PleuraError],
) -> None:
    """A failure becomes an error of our family, is not retried, and does not quote the predictor's text."""
    server.failure = (status, (("pleura-error", code),) if code else ())
    with pytest.raises(expected) as caught:
        await client.predict(RADIOGRAPHS, Deadline.after(5), {})
    assert type(caught.value) is expected
    assert "some reason" not in str(caught.value)
    # an output that a predictor of an earlier version does not know is left out of a second call
    assert server.calls == (2 if code == "invalid_request" else 1)


async def test_an_invalid_answer_is_counted_for_its_version(
    client: PredictorClient, server: StandInPredictor
) -> None:
    """The metric shows by version whether the canary or the stable revision gives invalid answers."""

    def spoil(response: Any) -> None:
        response.raw_output_contents[0] = np.full((2, 14), np.nan, "<f4").tobytes()

    def counted(version: str) -> float:
        return (
            REGISTRY.get_sample_value("pleura_unusable_predictions_total", {"model_version": version}) or 0.0
        )

    before = counted("0.0.1"), counted("other")
    server.change = spoil
    with pytest.raises(InvalidAnswer):
        await client.predict(RADIOGRAPHS, Deadline.after(5), {})
    server.revision = Revision("no version", server.revision.digest)
    with pytest.raises(InvalidAnswer):
        await client.predict(RADIOGRAPHS, Deadline.after(5), {})
    assert (counted("0.0.1"), counted("other")) == (before[0] + 1, before[1] + 1)


async def test_a_predictor_that_is_down_is_unavailable_and_found_again(
    free_port: Callable[[], int],
) -> None:
    """The error comes at once. A predictor that is up again is noticed within seconds."""
    port = free_port()
    client = PredictorClient(f"127.0.0.1:{port}", max_in_flight=2)
    began_s = time.monotonic()
    with pytest.raises(PredictorUnavailable):
        await client.predict(RADIOGRAPHS, Deadline.after(10), {})
    assert time.monotonic() - began_s < 5
    async with stand_in_predictor(port) as server:
        until = time.monotonic() + 10
        while not server.calls and time.monotonic() < until:
            try:
                await client.predict(RADIOGRAPHS, Deadline.after(5), {})
            except PredictorUnavailable:
                await asyncio.sleep(0.2)
        assert server.calls == 1
    await client.close()


async def test_a_server_that_never_answers_is_unavailable() -> None:
    """A silent port costs no more than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = PredictorClient(f"127.0.0.1:{silent.getsockname()[1]}", max_in_flight=2)
        with pytest.raises(PredictorUnavailable):
            await client.predict(RADIOGRAPHS, Deadline.after(1), {})
        await client.close()


async def test_too_many_calls_in_flight_are_refused(
    client: PredictorClient, server: StandInPredictor
) -> None:
    """The client enforces its limit before anything is sent."""
    server.seconds = 0.2
    calls = [client.predict(RADIOGRAPHS, Deadline.after(5), {}) for _ in range(3)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, Overloaded) for outcome in outcomes] == [False, False, True]
    assert server.calls == 2


def test_the_retry_budget_is_a_tenth() -> None:
    """Even when every call fails, there is one retry for every ten calls."""
    budget, retries = RetryBudget(), 0
    for _ in range(1000):
        budget.count_call()
        retries += budget.allows()
    assert retries <= 100
