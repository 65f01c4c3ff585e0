"""Kills and rolling restarts under load. ``make proof-kills`` and ``make proof-restarts`` run longer."""

import dataclasses
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from pleura.local.dependencies import Server
from proof.faults import kills, restarts
from proof.faults.kill_campaign import run_kills
from proof.lab.load import BROKEN, Caller, CallResult, RetryingCaller
from proof.lab.parts import DependencyServers, ServiceEnvironment
from proof.lab.report import ClaimRow
from proof.lab.running_stack import RunningStack

_PARTS = 10


def _find_failing(rows: Sequence[ClaimRow]) -> list[ClaimRow]:
    return [row for row in rows if row.holds is False]


async def test_kill_nine_of_every_part_loses_nothing(stack: RunningStack) -> None:
    """Each part dies once under load. No row is lost or duplicated, no answer is wrong, each part returns."""
    number = count()

    def next_part(parts: Sequence[str]) -> str:
        assert len(parts) == _PARTS
        return parts[next(number)]

    campaign = await run_kills(stack, _PARTS, next_part)
    assert _find_failing(kills.build_loss_rows(campaign)) == []
    assert {kill.part for kill in campaign.kills} >= {"postgres", "transformer", "transformer/child", "envoy"}
    answers = campaign.caller.answers
    assert any(not answer.is_ok for answer in answers)
    unknown = [dataclasses.replace(answer, request_id="never-sent") for answer in answers[:3]]
    assert campaign.journal.count_lost(unknown) == sum(answer.is_ok for answer in unknown) > 0


def _make_result(status: int, sent_s: float, reason: str = "") -> CallResult:
    return CallResult(
        "some-id", status, sent_s, 0.1, document={"error": reason} if reason else None, image_id="a.png"
    )


def test_a_caller_without_an_answer_is_reported_with_its_tries() -> None:
    """A caller without an answer fails the campaign. The claim names the radiograph and each result."""
    unlucky = [
        _make_result(503, 0.0, "too busy"),
        _make_result(BROKEN, 50.0),
        _make_result(503, 121.0, "too busy"),
    ]
    lucky = [_make_result(503, 0.0), _make_result(200, 1.0)]
    caller = RetryingCaller(Caller("http://127.0.0.1:1", ""), tries=[lucky, unlucky])
    unanswered, tries = kills.build_retry_rows(caller)
    assert unanswered.holds is False
    assert unanswered.measured == "1 of 2 (a.png, 3 tries in 121 s: 2 x 503 (too busy), 1 x broken)"
    assert tries.measured == "2, 1, 0, 0, 0, 0"


async def test_rolling_restarts_fail_no_request(
    postgres: Server, valkey: Server, seaweed: Server, bundle: Path, tmp_path: Path
) -> None:
    """Predictor and transformer are replaced under load. Every request is answered, every exit code is 0."""
    servers = DependencyServers(postgres, valkey, seaweed, ("test-access", "test-secret-key"))
    rows = await restarts.run_restarts(ServiceEnvironment.prepare(tmp_path, bundle, servers), 2, fresh=100)
    assert _find_failing(rows) == []
