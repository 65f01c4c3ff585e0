"""The steps that decide: judged on the sealed split, compared with the champion, registered, replayed."""

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.data.labelled_radiographs import load_records
from pipelines.evaluation.description import add_figures
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluate_once import ModelAndDataset, evaluate_once
from pipelines.evaluation.evaluation_data import load_evaluation_data
from pipelines.evaluation.report import Dataset, EvaluationReport, Subject
from pipelines.evaluation.scoring import run_bundle, score_radiographs
from pipelines.gate.contenders import Contender
from pipelines.gate.decision import ModelIdentity
from pipelines.gate.gate import Provenance, decide
from pipelines.gate.signature import read_private_key, sign_decision, verify_decision
from pipelines.journal_reader import Window, read_answers
from pipelines.registry.registration import DecisionReference, MoveReason, Registration
from pipelines.replay.replay import RadiographArchive, ReplayedModel, replay_challenger
from pipelines.reports.decision import markdown_decision
from pipelines.reports.replay import markdown_replay
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pleura.bundle import seal, verify
from pleura.findings import FINDINGS
from predictor.engines.engine import input_shape

_TYPES: Final = {".html": "text/html", ".json": "application/json", ".md": "text/markdown"}
_MOST_PIXELS: Final = 100_000_000


def evaluate_challenger(context: RunContext) -> StepResult:
    """Judge the draft on the sealed split, once, and make of it the model with its figures."""
    draft = context.fact("train", "draft")
    bundle, records = context.bundle(draft), context.records_of("test")
    manifest = context.manifest
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)

    def judge() -> EvaluationReport:
        material = load_evaluation_data(manifest, context.parameters.main_source, context.cache.read)
        return evaluate_bundle(
            bundle, material, dataset, context.settings.code_version, context.parameters.judgement
        )

    dossier = evaluate_once(context.objects, ModelAndDataset(manifest.digest, draft), judge)
    digest = _with_figures(context, draft, dossier)
    description, _ = verify(context.bundle(digest))
    subject = Subject.of(description, digest, dataset, dossier.subject.code_version)
    folder = context.folder / "report"
    write_report_files(dossier.model_copy(update={"subject": subject}), context.bundle(digest), folder)
    links = {
        path.name: context.records.write(path.name, path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(folder.iterdir())
    }
    macro = dossier.judgement.macro
    words = "too few positives for any figure"
    if macro:
        words = f"mean AUROC {macro.auroc.value:.3f} ({macro.auroc.low:.3f} to {macro.auroc.high:.3f})"
    return StepResult(
        step="judge",
        verdict="judged",
        words=f"{words} on {len(records)} radiographs",
        facts={"challenger": digest},
        links=links,
        seconds=0,
    )


def _with_figures(context: RunContext, draft: str, dossier: EvaluationReport) -> str:
    """Seal the draft's graphs anew under a description that has the figures, and store it."""
    folder = context.folder / "judged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(context.bundle(draft), folder / "bundle")
    description, _ = verify(folder / "bundle")
    judged = add_figures(description, dossier).model_copy(update={"files": {}})
    digest = seal(folder / "bundle", judged)
    context.bundles.upload(folder / "bundle")
    with context.source(draft) as source:
        (source / "source.json").write_text(judged.model_dump_json(indent=2) + "\n")
        context.bundles.upload_source(digest, source)
    return digest


def compare(context: RunContext) -> StepResult:
    """Put champion and challenger before the gate, on the same sealed radiographs; sign what it decides."""
    records = context.records_of("test")
    tensors = load_records(records, context.cache.read).tensors

    def contender(digest: str) -> Contender:
        bundle = context.bundle(digest)
        description, _ = verify(bundle)
        return Contender.of(
            description, digest, input_shape(bundle), score_radiographs(bundle, records, tensors)[0]
        )

    challenger = context.fact("judge", "challenger")
    decision = decide(
        context.parameters.gate,
        contender(context.champion().digest),
        contender(challenger),
        Provenance(context.manifest.digest, context.settings.code_version),
    )
    signed = sign_decision(decision, read_private_key(context.signing_key()), datetime.now(UTC))
    links = {
        "decision.json": context.records.write("decision.json", signed.to_json(), "application/json"),
        "decision.md": context.records.write(
            "decision.md", markdown_decision(signed).encode(), "text/markdown"
        ),
    }
    words = "; ".join(decision.reasons) if decision.reasons else "within every margin"
    return StepResult(step="gate", verdict=decision.verdict, words=words, links=links, seconds=0)


def register_challenger(context: RunContext) -> StepResult:
    """Register the model with all that is known of it; the challenger it is where the gate lets it pass."""
    gate, judged = context.done("gate"), context.done("judge")
    document = context.records.content("decision.json")
    decision = verify_decision(document, [read_private_key(context.signing_key()).public_key()]).decision
    registration = Registration(
        digest=judged.facts["challenger"],
        dataset_digest=context.manifest.digest,
        code_version=context.settings.code_version,
        parameters={"parameters": context.parameters.digest, "run": context.run},
        figures={},
        report_uri=judged.links["report.html"],
        judgement_uri=judged.links["figures.json"],
        decision=DecisionReference(
            uri=gate.links["decision.json"],
            sha256=hashlib.sha256(document).hexdigest(),
            is_passed=decision.is_promoted,
            challenger=decision.inputs.challenger.digest,
            champion=decision.inputs.champion.digest,
        ),
    )
    version = context.registry.register(registration)
    verdict = "refused"
    if decision.is_promoted:
        why = MoveReason(who=context.parameters.who, reason=f"run {context.run}: the gate lets it pass")
        context.registry.set_challenger(version.number, why)
        verdict = "challenger"
    return StepResult(
        step="register",
        verdict=verdict,
        words=f"version {version.number} of the registry",
        facts={"version": str(version.number)},
        links={"bundle": version.bundle_uri},
        seconds=0,
    )


def replay_journal(context: RunContext) -> StepResult:
    """Show the challenger the radiographs that were answered of late, beside what was answered."""
    limits, now = context.parameters.replay, datetime.now(UTC)
    window = Window(now - timedelta(days=limits.days), now, limits.most)
    answers = read_answers(context.settings.journal_dsn.get_secret_value(), window)
    digest = context.fact("judge", "challenger")
    bundle = context.bundle(digest)
    description, _ = verify(bundle)
    challenger = ReplayedModel(
        ModelIdentity(version=description.version, digest=digest),
        FINDINGS,
        description.thresholds,
        lambda tensors: run_bundle(bundle, tensors).probabilities,
    )
    archive = RadiographArchive(context.read_radiograph, _MOST_PIXELS)
    found = replay_challenger(
        answers, context.champion().digest, challenger, archive, context.parameters.gate
    )
    links = {
        "replay.json": context.records.write("replay.json", found.to_json(), "application/json"),
        "replay.md": context.records.write("replay.md", markdown_replay(found).encode(), "text/markdown"),
    }
    verdict, words = str(found.verdict), "; ".join(found.reasons) or "within every limit"
    if verdict == "cannot be shown" and limits.unshown == "go on":
        verdict, words = "passed", f"not shown, and let pass by the parameters: {words}"
    words = f"{found.radiographs} radiographs: {words}"
    return StepResult(step="replay", verdict=verdict, words=words, links=links, seconds=0)
