"""The step that replays: the challenger answers radiographs that the champion has answered lately."""

from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.evaluation.scoring import run_bundle
from pipelines.gate.decision import ModelIdentity
from pipelines.journal_reader import Window, read_answers
from pipelines.replay.replay import RadiographArchive, ReplayedModel, replay_challenger
from pipelines.reports.replay import markdown_replay
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pleura.bundle import verify
from pleura.findings import FINDINGS

_MAX_PIXELS: Final = 100_000_000


def replay_journal(context: RunContext) -> StepResult:
    """Compare the challenger's answers with the journaled answers, on the newest radiographs."""
    limits, now = context.parameters.replay, datetime.now(UTC)
    window = Window(now - timedelta(days=limits.days), now, limits.most)
    answers = read_answers(context.settings.journal_dsn.get_secret_value(), window)
    digest = context.fact("judge", "challenger")
    bundle = context.fetch_bundle(digest)
    description, _ = verify(bundle)
    challenger = ReplayedModel(
        ModelIdentity(version=description.version, digest=digest),
        FINDINGS,
        description.thresholds,
        lambda tensors: run_bundle(bundle, tensors).probabilities,
    )
    archive = RadiographArchive(context.read_radiograph, _MAX_PIXELS)
    report = replay_challenger(
        answers, context.starting_champion().digest, challenger, archive, context.parameters.gate
    )
    links = {
        "replay.json": context.records.write_file("replay.json", report.to_json(), "application/json"),
        "replay.md": context.records.write_file(
            "replay.md", markdown_replay(report).encode(), "text/markdown"
        ),
    }
    verdict, words = str(report.verdict), "; ".join(report.reasons) or "within every limit"
    if verdict == "cannot be shown" and limits.unshown == "go on":
        verdict, words = "passed", f"not shown, but the parameters let it pass: {words}"
    words = f"{report.radiographs} radiographs: {words}"
    return StepResult(step="replay", verdict=verdict, words=words, links=links, seconds=0)
