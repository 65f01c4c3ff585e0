"""The issuer's keys: rotated under load, asked for by strangers, published wrongly, and not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from auth_proxy.tokens.keys import REFETCH_INTERVAL_S, HttpKeySource, KeyCache, parse_keys
from auth_proxy.tokens.verification import UnknownKey
from proof.attacks.attacked_proxy import AttackedProxy, start_attack_proxy
from proof.attacks.forge import Forge
from proof.attacks.key_attack import PublishedKeys, find_keys_after, find_known_keys, flood, load
from proof.attacks.key_documents import EC, ODD_KEYS, RSA, SLOW, USELESS, Send, document
from proof.lab.clock import ManualClock
from proof.lab.proxy import AUDIENCE, Proxy
from proof.lab.recorder import RecordingServer, ok_response, recording_server

MOST_S = 10.0  # a fetch ends after 3 s; without a bound these would never


@pytest.fixture(scope="module")
def evil() -> Iterator[RecordingServer]:
    """A server that nobody should ask."""
    with recording_server(lambda request: iter([ok_response(document(EC | {"kid": "odd"}))])) as evil:
        yield evil


async def require_unmoved(send: Send, evil: RecordingServer) -> None:
    """The keys stay as they were, whatever the issuer sends, and the answer comes in time."""
    async with asyncio.timeout(MOST_S):
        assert await find_keys_after(send, evil) == {"ec", "rsa"}
    assert evil.connections == 0


@pytest.mark.parametrize("case", USELESS)
async def test_a_useless_answer_replaces_nothing(evil: RecordingServer, case: str) -> None:
    """The last good keys count on, and a redirect is not followed."""
    await require_unmoved(USELESS[case], evil)


async def test_a_slow_answer_is_not_waited_for(evil: RecordingServer) -> None:
    """Not beyond the time of a fetch, however it is slow."""
    await asyncio.gather(*(require_unmoved(send, evil) for send in SLOW.values()))


@pytest.mark.parametrize("case", ODD_KEYS)
def test_an_odd_key_is_passed_over(case: str) -> None:
    """Good keys before and behind it count, it does not."""
    assert set(parse_keys(document(EC, ODD_KEYS[case], RSA))) == {"ec", "rsa"}


async def test_an_issuer_that_is_down_for_ten_minutes_changes_nothing() -> None:
    """Known keys are given at once all the while; when it is back, its new key is found."""
    clock, published = ManualClock(), PublishedKeys(["ec", "rsa"])
    with recording_server(published.answer) as issuer:
        cache = KeyCache(HttpKeySource(f"{issuer.url}/jwks.json"), clock)
        assert await find_known_keys(cache) == {"ec", "rsa"}
    for _ in range(20):
        clock.now += REFETCH_INTERVAL_S
        assert await find_known_keys(cache) == {"ec", "rsa"}
        async with asyncio.timeout(5):
            assert (await cache.find_key("ec")).algorithm == "ES256"
    published.key_ids = ["ec", "rsa", "other"]
    clock.now += REFETCH_INTERVAL_S
    with recording_server(published.answer, issuer.port):
        assert (await cache.find_key("other")).algorithm == "ES256"


async def test_a_thousand_unknown_keys_a_second_cause_one_fetch_in_thirty() -> None:
    """Counted at the issuer, over a minute of a clock that is moved."""
    clock, published = ManualClock(), PublishedKeys(["ec"])
    with recording_server(published.answer) as issuer:
        cache = KeyCache(HttpKeySource(f"{issuer.url}/jwks.json"), clock)
        for second in range(61):
            asked = (cache.find_key(f"unknown-{second}-{n}") for n in range(1000))
            errors = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(error) for error in errors} == {UnknownKey}
            clock.now += 1
        assert len(published.asked_s) == 3


@pytest.fixture
async def rotating(
    attacked: AttackedProxy, tmp_path: Path
) -> AsyncIterator[tuple[Proxy, PublishedKeys, Forge]]:
    """A proxy of an issuer whose keys the test changes."""
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
    """Tokens of a new key, before anybody has asked for it, and those of the old one all count."""
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
    tally = await load(proxy, lambda: forge.good(in_use[-1 - next(numbers) % len(in_use)]), rotate())
    assert tally.refused == 0
    assert tally.statuses[200] > 20
    assert len(published.asked_s) == 2


async def test_strangers_delay_nobody(rotating: tuple[Proxy, PublishedKeys, Forge]) -> None:
    """While they name unknown keys, good tokens count, and the issuer is asked once more."""
    proxy, published, forge = rotating
    before = len(published.asked_s)
    flooding = asyncio.to_thread(flood, proxy, forge, 1000, 3.0)
    refused: list[int] = []

    async def until_flooded() -> None:
        refused.append(await flooding)

    tally = await load(proxy, lambda: forge.good(jti=str(time.monotonic_ns())), until_flooded())
    assert tally.refused == 0
    assert tally.p99_ms < 5000
    assert refused[0] > 50
    assert len(published.asked_s) - before == 1
