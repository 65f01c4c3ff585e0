"""The last steps: the challenger gets the traffic step by step, or is led back; the registry follows."""

import os
import secrets
import socket
from typing import Final

from pipelines.registry.registration import Why
from pipelines.rollout.run import roll_out
from pipelines.rollout.state import RolloutParts
from pipelines.run.context import RunContext
from pipelines.run.records import Done
from pipelines.run.rollout_target import place_of

_WORDS: Final = {"promoted": "all traffic is the challenger's", "stuck": "the target does not follow"}


def roll_challenger_out(shop: RunContext) -> Done:
    """Lead the challenger through the steps of the plan, or back; a step that died goes on where it was."""
    place = place_of(shop)
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    parts = RolloutParts(place.target, place.watcher, place.ledger, shop.parameters.rollout, holder)
    outcome = roll_out(parts, place.change, shop.run)
    return Done(
        step="roll_out",
        verdict=outcome.result,
        words=outcome.reason or _WORDS.get(outcome.result, outcome.result),
        links={
            "rollout.json": shop.records.write(
                "rollout.json", outcome.model_dump_json(indent=1).encode(), "application/json"
            )
        },
        seconds=0,
    )


def conclude(shop: RunContext) -> Done:
    """Let the registry's champion follow what is served.

    Raises:
        StaleView: Somebody made another version the champion meanwhile.
        NotPromotable: The decision does not vouch for this version.
    """
    number, outcome = int(shop.fact("register", "version")), shop.done("roll_out")
    if outcome.verdict != "promoted":
        words = f"version {number} was not promoted: {outcome.words}"
        return Done(step="conclude", verdict=outcome.verdict, words=words, seconds=0)
    champion = shop.champion()
    why = Why(who=shop.parameters.who, reason=f"run {shop.run}: gate, replay and rollout let it pass")
    shop.registry.promote(number, why, champion.number)
    words = f"version {number} is the champion; version {champion.number} was"
    return Done(step="conclude", verdict="promoted", words=words, seconds=0)
