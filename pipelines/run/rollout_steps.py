"""The last steps of a run: roll the challenger out, then move the registry's champion."""

from typing import Final

from pipelines.registry.registration import MoveReason
from pipelines.rollout.rollout import roll_out
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pipelines.run.rollout_target import connect_rollout, read_model_change

_WORDS: Final = {
    "promoted": "the challenger has all traffic",
    "stuck": "the target does not confirm the rollback",
}


def roll_out_challenger(context: RunContext) -> StepResult:
    """Roll the challenger out by the plan, or back; resume a rollout whose process died."""
    change = read_model_change(context)
    outcome = roll_out(connect_rollout(context, change), change, context.run)
    document = outcome.model_dump_json(indent=1).encode()
    return StepResult(
        step="roll_out",
        verdict=outcome.result,
        words=outcome.reason or _WORDS.get(outcome.result, outcome.result),
        links={"rollout.json": context.records.write_file("rollout.json", document, "application/json")},
        seconds=0,
    )


def conclude(context: RunContext) -> StepResult:
    """Make the challenger the champion in the registry, if it was promoted.

    Raises:
        StaleView: Somebody made another version the champion meanwhile.
        NotPromotable: The gate's decision does not cover this version.
    """
    number, rollout = int(context.fact("register", "version")), context.finished("roll_out")
    if rollout.verdict != "promoted":
        words = f"version {number} was not promoted: {rollout.words}"
        return StepResult(step="conclude", verdict=rollout.verdict, words=words, seconds=0)
    # The registry refuses the promotion if somebody else has promoted a model since the run began.
    champion = context.starting_champion()
    reason = f"run {context.run}: gate, replay and rollout passed"
    why = MoveReason(who=context.parameters.who, reason=reason)
    context.registry.promote(number, why, champion.number)
    words = f"version {number} is the champion; version {champion.number} was the champion before"
    return StepResult(step="conclude", verdict="promoted", words=words, seconds=0)
