"""Kills and rolling restarts under load; ``make proof-kills`` and ``make proof-restarts`` take longer."""

import dataclasses
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from pleura.local.dependencies import Server
from proof.faults import kills, restarts
from proof.lab.load import BROKEN, Caller, CallResult, RetryingCaller
from proof.lab.parts import DependencyServers, ServiceEnvironment
from proof.lab.report import ClaimRow
from proof.lab.running_stack import RunningStack

_PARTS = 10


def _failing(rows: Sequence[ClaimRow]) -> list[ClaimRow]:
    return [row for row in rows if row.holds is False]


async def test_kill_nine_of_every_part_loses_nothing(stack: RunningStack) -> None:
    """Each part dies once under load: no row is lost or doubled, no answer wrong, and all comes back."""
    number = count()

    def next_part(parts: Sequence[str]) -> str:
        assert len(parts) == _PARTS
        return parts[next(number)]

    campaign = await kills.run_kills(stack, _PARTS, next_part)
    assert _failing(kills.build_loss_rows(campaign)) == []
    assert {kill.part for kill in campaign.kills} >= {"postgres", "transformer", "transformer/child", "envoy"}
    told = campaign.caller.answers
    assert any(not answer.is_ok for answer in told)
    silent = [dataclasses.replace(answer, request_id="never-asked") for answer in told[:3]]
    assert campaign.journal.count_lost(silent) == sum(answer.is_ok for answer in silent) > 0


def _answer(status: int, sent_s: float, reason: str = "") -> CallResult:
    return CallResult(
        "some-id", status, sent_s, 0.1, document={"error": reason} if reason else None, image_id="a.png"
    )


def test_a_caller_who_gives_up_is_told_of_with_what_he_was_told() -> None:
    """Who was never answered fails the campaign, which names his radiograph and what came of each try."""
    unlucky = [_answer(503, 0.0, "too busy"), _answer(BROKEN, 50.0), _answer(503, 121.0, "too busy")]
    lucky = [_answer(503, 0.0), _answer(200, 1.0)]
    caller = RetryingCaller(Caller("http://127.0.0.1:1", ""), tries=[lucky, unlucky])
    never, often = kills.build_retry_rows(caller)
    assert never.holds is False
    assert never.measured == "1 of 2 (a.png, 3 tries in 121 s: 2 x 503 (too busy), 1 x broken)"
    assert often.measured == "2, 1, 0, 0, 0, 0"


async def test_rolling_restarts_fail_no_request(
    postgres: Server, valkey: Server, seaweed: Server, bundle: Path, tmp_path: Path
) -> None:
    """Predictor and transformer are replaced under load: every request is answered, all end with 0."""
    servers = DependencyServers(postgres, valkey, seaweed, ("test-access", "test-secret-key"))
    rows = await restarts.run_restarts(ServiceEnvironment.prepare(tmp_path, bundle, servers), 2, fresh=100)
    assert _failing(rows) == []
