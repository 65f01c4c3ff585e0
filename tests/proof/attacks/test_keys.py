"""The issuer's keys: rotated under load, flooded with unknown keys, published wrongly, or out of reach."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from auth_proxy.tokens.errors import UnknownKey
from auth_proxy.tokens.key_set import parse_keys
from auth_proxy.tokens.key_sources import HttpKeySource
from auth_proxy.tokens.keys import REFETCH_INTERVAL_S, KeyCache
from proof.attacks.attacked_proxy import AttackedProxy, start_attack_proxy
from proof.attacks.forge import Forge
from proof.attacks.key_attack import PublishedKeys, find_keys_after, find_known_keys, flood, send_load
from proof.attacks.key_documents import EC, ODD_KEYS, RSA, SLOW, USELESS, Send, document
from proof.lab.clock import ManualClock
from proof.lab.proxy import AUDIENCE, Proxy
from proof.lab.recorder import RecordingServer, ok_response, recording_server

MAX_S = 10.0  # a fetch ends after 3 s; without a limit these would never end


@pytest.fixture(scope="module")
def outsider() -> Iterator[RecordingServer]:
    """A server that no program should call."""
    with recording_server(lambda request: iter([ok_response(document(EC | {"kid": "odd"}))])) as outsider:
        yield outsider


async def require_same_keys(send: Send, outsider: RecordingServer) -> None:
    """Require that the keys stay as they were, and that the answer comes in time."""
    async with asyncio.timeout(MAX_S):
        assert await find_keys_after(send, outsider) == {"ec", "rsa"}
    assert outsider.connections == 0


@pytest.mark.parametrize("case", USELESS)
async def test_a_bad_answer_of_the_issuer_changes_no_key(outsider: RecordingServer, case: str) -> None:
    """The last valid keys still count, and a redirect is not followed."""
    await require_same_keys(USELESS[case], outsider)


async def test_a_slow_answer_is_not_waited_for(outsider: RecordingServer) -> None:
    """A fetch ends after its time-out in every case."""
    await asyncio.gather(*(require_same_keys(send, outsider) for send in SLOW.values()))


@pytest.mark.parametrize("case", ODD_KEYS)
def test_an_unusable_key_is_ignored(case: str) -> None:
    """Good keys before and behind it count."""
    assert set(parse_keys(document(EC, ODD_KEYS[case], RSA))) == {"ec", "rsa"}


async def test_an_issuer_that_is_down_for_ten_minutes_changes_nothing() -> None:
    """Known keys are found at once, and a new key is found when the issuer is back."""
    clock, published = ManualClock(), PublishedKeys(["ec", "rsa"])
    with recording_server(published.answer) as issuer:
        cache = KeyCache(HttpKeySource(f"{issuer.url}/jwks.json"), clock)
        assert await find_known_keys(cache) == {"ec", "rsa"}
    for _ in range(20):
        clock.now += REFETCH_INTERVAL_S
        assert await find_known_keys(cache) == {"ec", "rsa"}
        async with asyncio.timeout(5):
            assert (await cache.find_key("ec")).algorithms == {"ES256"}
    published.key_ids = ["ec", "rsa", "other"]
    clock.now += REFETCH_INTERVAL_S
    with recording_server(published.answer, issuer.port):
        assert (await cache.find_key("other")).algorithms == {"ES256"}


async def test_a_thousand_unknown_keys_a_second_cause_one_fetch_in_thirty() -> None:
    """The issuer counts the requests during one minute of a manual clock."""
    clock, published = ManualClock(), PublishedKeys(["ec"])
    with recording_server(published.answer) as issuer:
        cache = KeyCache(HttpKeySource(f"{issuer.url}/jwks.json"), clock)
        for second in range(61):
            asked = (cache.find_key(f"unknown-{second}-{n}") for n in range(1000))
            errors = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(error) for error in errors} == {UnknownKey}
            clock.now += 1
        assert len(published.requested_s) == 3


@pytest.fixture
async def rotating(
    attacked: AttackedProxy, tmp_path: Path
) -> AsyncIterator[tuple[Proxy, PublishedKeys, Forge]]:
    """A proxy with an issuer whose keys the test changes."""
    published = PublishedKeys(["ec"])
    settings = {
        "transformer_url": attacked.transformer.url,
        "transformer_grpc": f"127.0.0.1:{attacked.grpc.grpc_port}",
    }
    with (
        recording_server(published.answer) as issuer,
        start_attack_proxy(tmp_path / "log", issuer, **settings) as proxy,
    ):
        yield proxy, published, Forge(issuer.url, AUDIENCE, int(time.time()))


async def test_a_rotation_under_load_refuses_nobody(
    rotating: tuple[Proxy, PublishedKeys, Forge],
) -> None:
    """Tokens of a new key and of the old key are all accepted."""
    proxy, published, forge = rotating
    in_use = ["ec"]

    async def rotate() -> None:
        await asyncio.sleep(0.7)
        published.key_ids = ["ec", "other"]
        in_use.append("other")
        await asyncio.sleep(0.7)
        published.key_ids = ["other"]
        in_use.remove("ec")
        await asyncio.sleep(0.7)

    numbers = iter(range(10**9))
    result = await send_load(proxy, lambda: forge.good(in_use[-1 - next(numbers) % len(in_use)]), rotate())
    assert result.refused == 0
    assert result.statuses[200] > 20
    assert len(published.requested_s) == 2


async def test_unknown_keys_delay_no_good_token(rotating: tuple[Proxy, PublishedKeys, Forge]) -> None:
    """While strangers send unknown keys, good tokens are accepted, and the issuer gets one more request."""
    proxy, published, forge = rotating
    before = len(published.requested_s)
    flooding = asyncio.to_thread(flood, proxy, forge, 1000, 3.0)
    refused: list[int] = []

    async def until_flooded() -> None:
        refused.append(await flooding)

    result = await send_load(proxy, lambda: forge.good(jti=str(time.monotonic_ns())), until_flooded())
    assert result.refused == 0
    assert result.p99_ms < 5000
    assert refused[0] > 50
    assert len(published.requested_s) - before == 1
