"""Attack the issuer's keys in real time: rotation under load, floods of unknown keys, and an outage."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from auth_proxy.tokens.keys import REFETCH_INTERVAL_S
from proof.attacks.attacked_proxy import AttackedProxy, publish_keys, start_attack_proxy
from proof.attacks.forge import Forge
from proof.attacks.key_attack import PublishedKeys, TokenLoadResult, find_keys_after, flood, send_load
from proof.attacks.key_documents import SLOW, USELESS
from proof.lab.proxy import AUDIENCE, Proxy
from proof.lab.recorder import RecordingServer, recording_server
from proof.lab.report import ClaimRow

_FLOODERS: Final = 4
_UNKNOWN_PER_S: Final = 1000
_JITTER_S: Final = 0.5
_ROTATIONS: Final = ("other", "rsa", "ed")


def _build_transformer_settings(attacked: AttackedProxy) -> dict[str, object]:
    return {
        "transformer_url": attacked.transformer.url,
        "transformer_grpc": f"127.0.0.1:{attacked.grpc.grpc_port}",
    }


@contextmanager
def _start_proxy(
    log: Path, attacked: AttackedProxy, published: PublishedKeys
) -> Iterator[tuple[Proxy, Forge]]:
    with (
        recording_server(published.answer) as issuer,
        start_attack_proxy(log, issuer, **_build_transformer_settings(attacked)) as proxy,
    ):
        yield proxy, _make_forge(issuer)


def _make_forge(issuer: RecordingServer) -> Forge:
    """Return a forge whose tokens are valid for a quarter of an hour."""
    return Forge(issuer.url, AUDIENCE, int(time.time()) + 300)


async def _rotate_under_load(
    proxy: Proxy, forge: Forge, published: PublishedKeys, pause_s: float
) -> TokenLoadResult:
    """Replace the keys one by one under load. Each is used from the moment that it is published."""
    in_use = ["ec"]

    async def rotate() -> None:
        for key_id in _ROTATIONS:
            await asyncio.sleep(pause_s)
            # Callers stop using the older key before it disappears.
            in_use[:] = in_use[-1:]
            await asyncio.sleep(1.0)
            published.key_ids = [in_use[-1], key_id]
            in_use[:] = published.key_ids
        await asyncio.sleep(pause_s)

    numbers = iter(range(10**9))
    return await send_load(
        proxy, lambda: _make_good_token(forge, in_use[next(numbers) % len(in_use)]), rotate()
    )


def _make_good_token(forge: Forge, key_id: str) -> str:
    # The forge's clock is 300 s ahead, and nbf must lie in the past. A new jti makes each
    # token another one, so that the proxy's cache of verified tokens does not know it.
    return forge.good(key_id, nbf=forge.now_s - 400, iat=forge.now_s - 400, jti=str(time.monotonic_ns()))


async def _flood_under_load(
    proxy: Proxy, forge: Forge, published: PublishedKeys, seconds: float
) -> tuple[TokenLoadResult, int, list[float]]:
    """Send unknown keys and good tokens. Return the result of the tokens, the key count and the fetches."""
    before, unknown_keys_sent = len(published.requested_s), 0

    async def flood_from_threads() -> None:
        nonlocal unknown_keys_sent
        share = _UNKNOWN_PER_S / _FLOODERS
        floods = [asyncio.to_thread(flood, proxy, forge, share, seconds) for _ in range(_FLOODERS)]
        unknown_keys_sent = sum(await asyncio.gather(*floods))

    result = await send_load(proxy, lambda: _make_good_token(forge, "ec"), flood_from_threads(), callers=2)
    return result, unknown_keys_sent, published.requested_s[before:]


async def _count_changes() -> int:
    """Count the bad answers of an issuer that changed a key or caused a call elsewhere."""
    with recording_server(publish_keys) as outsider:
        key_sets = [await find_keys_after(send, outsider) for send in USELESS.values()]
        key_sets += await asyncio.gather(*(find_keys_after(send, outsider) for send in SLOW.values()))
    return sum(keys != {"ec", "rsa"} for keys in key_sets) + outsider.connections


async def _stop_issuer_under_load(log: Path, attacked: AttackedProxy, seconds: float) -> TokenLoadResult:
    """Stop the issuer, and go on to use good tokens."""
    with ExitStack() as running:
        with recording_server(PublishedKeys(["ec"]).answer) as issuer:
            proxy = running.enter_context(
                start_attack_proxy(log, issuer, **_build_transformer_settings(attacked))
            )
            forge = _make_forge(issuer)
        return await send_load(
            proxy, lambda: _make_good_token(forge, "ec"), asyncio.sleep(seconds), callers=1
        )


async def attack_keys(
    folder: Path, attacked: AttackedProxy, flood_s: float, outage_s: float
) -> list[ClaimRow]:
    """Run every attack on keys. The outage is long, so the other attacks run during it."""
    changes = await _count_changes()
    outage = asyncio.create_task(_stop_issuer_under_load(folder / "outage.log", attacked, outage_s))
    published = PublishedKeys(["ec"])
    with _start_proxy(folder / "flood.log", attacked, published) as (proxy, forge):
        during_flood, unknown_keys_sent, fetches = await _flood_under_load(proxy, forge, published, flood_s)
    published = PublishedKeys(["ec"])
    with _start_proxy(folder / "rotation.log", attacked, published) as (proxy, forge):
        during_rotation = await _rotate_under_load(proxy, forge, published, REFETCH_INTERVAL_S + 1)
    issuer_down = await outage
    closest_s = min((later - earlier for earlier, later in pairwise(fetches)), default=flood_s)
    # If the issuer was never asked, the distance of its fetches shows nothing.
    expected = max(1, int(flood_s // (REFETCH_INTERVAL_S + 1)))
    useless = len(USELESS) + len(SLOW)
    return [
        ClaimRow(
            f"of {useless} useless answers of the issuer that changed a key", "0", str(changes), not changes
        ),
        ClaimRow(
            "unknown keys sent at the highest rate",
            "counted",
            f"{unknown_keys_sent / flood_s:.0f}/s",
            unknown_keys_sent > 0,
        ),
        ClaimRow(
            "seconds between the key fetches that unknown keys caused, at the issuer",
            f">= {REFETCH_INTERVAL_S:.0f}, less {_JITTER_S} of jitter, and {expected} fetches or more",
            f"{closest_s:.1f} ({len(fetches)} in {flood_s:.0f} s)",
            len(fetches) >= expected and closest_s >= REFETCH_INTERVAL_S - _JITTER_S,
        ),
        _claim_none_refused("good tokens refused during the flood", during_flood),
        _claim_none_refused(f"good tokens refused in {len(_ROTATIONS)} rotations", during_rotation),
        _claim_none_refused(
            f"good tokens refused while the issuer is down for {outage_s:.0f} s", issuer_down
        ),
    ]


def _claim_none_refused(claim: str, result: TokenLoadResult) -> ClaimRow:
    measured = f"{result.refused} of {result.statuses.total()}, p99 {result.p99_ms:.0f} ms"
    return ClaimRow(claim, "0", measured, result.refused == 0 < result.statuses.total())
