"""The last steps: the challenger gets the traffic step by step, or is led back; the registry follows."""

import os
import secrets
import socket
from typing import Final

from pipelines.registry.registration import MoveReason
from pipelines.rollout.rollout import roll_out
from pipelines.rollout.state import RolloutParts
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pipelines.run.rollout_target import place_of

_WORDS: Final = {"promoted": "all traffic is the challenger's", "stuck": "the target does not follow"}


def roll_out_challenger(context: RunContext) -> StepResult:
    """Lead the challenger through the steps of the plan, or back; a step that died goes on where it was."""
    place = place_of(context)
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    parts = RolloutParts(place.target, place.watcher, place.ledger, context.parameters.rollout, holder)
    outcome = roll_out(parts, place.change, context.run)
    return StepResult(
        step="roll_out",
        verdict=outcome.result,
        words=outcome.reason or _WORDS.get(outcome.result, outcome.result),
        links={
            "rollout.json": context.records.write(
                "rollout.json", outcome.model_dump_json(indent=1).encode(), "application/json"
            )
        },
        seconds=0,
    )


def conclude(context: RunContext) -> StepResult:
    """Let the registry's champion follow what is served.

    Raises:
        StaleView: Somebody made another version the champion meanwhile.
        NotPromotable: The decision does not vouch for this version.
    """
    number, outcome = int(context.fact("register", "version")), context.done("roll_out")
    if outcome.verdict != "promoted":
        words = f"version {number} was not promoted: {outcome.words}"
        return StepResult(step="conclude", verdict=outcome.verdict, words=words, seconds=0)
    champion = context.champion()
    why = MoveReason(
        who=context.parameters.who, reason=f"run {context.run}: gate, replay and rollout let it pass"
    )
    context.registry.promote(number, why, champion.number)
    words = f"version {number} is the champion; version {champion.number} was"
    return StepResult(step="conclude", verdict="promoted", words=words, seconds=0)
