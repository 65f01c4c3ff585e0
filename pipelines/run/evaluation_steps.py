"""The steps that decide: judged on the sealed split, compared with the champion, registered, replayed."""

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.data.labelled_radiographs import load_records
from pipelines.evaluation.description import described
from pipelines.evaluation.dossier import Dataset, EvaluationReport, Subject
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_files
from pipelines.evaluation.material import material_of
from pipelines.evaluation.scoring import ask, score
from pipelines.evaluation.sealed import ModelAndDataset, evaluate_once
from pipelines.gate.contenders import Contender
from pipelines.gate.decision import ModelIdentity
from pipelines.gate.gate import Provenance, decide
from pipelines.gate.signature import read_private_key, sign
from pipelines.gate.signature import verify as verify_decision
from pipelines.journal_reader import Window, read_answers
from pipelines.registry.registration import DecisionReference, Registration, Why
from pipelines.replay.replay import Archive, Challenger, replay
from pipelines.reports.decision import decision_page
from pipelines.reports.replay import replay_page
from pipelines.run.context import RunContext
from pipelines.run.records import Done
from pleura.bundle import seal, verify
from pleura.findings import FINDINGS
from predictor.engines.engine import input_shape

_TYPES: Final = {".html": "text/html", ".json": "application/json", ".md": "text/markdown"}
_MOST_PIXELS: Final = 100_000_000


def evaluate_challenger(shop: RunContext) -> Done:
    """Judge the draft on the sealed split, once, and make of it the model with its figures."""
    draft = shop.fact("train", "draft")
    bundle, records = shop.bundle(draft), shop.records_of("test")
    manifest = shop.manifest
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)

    def judge() -> EvaluationReport:
        material = material_of(manifest, shop.parameters.main_source, shop.cache.read)
        return evaluate_bundle(
            bundle, material, dataset, shop.settings.code_version, shop.parameters.judgement
        )

    dossier = evaluate_once(shop.objects, ModelAndDataset(manifest.digest, draft), judge)
    digest = _with_figures(shop, draft, dossier)
    description, _ = verify(shop.bundle(digest))
    subject = Subject.of(description, digest, dataset, dossier.subject.code_version)
    folder = shop.folder / "report"
    write_files(dossier.model_copy(update={"subject": subject}), shop.bundle(digest), folder)
    links = {
        path.name: shop.records.write(path.name, path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(folder.iterdir())
    }
    macro = dossier.judgement.macro
    words = "too few positives for any figure"
    if macro:
        words = f"mean AUROC {macro.auroc.value:.3f} ({macro.auroc.low:.3f} to {macro.auroc.high:.3f})"
    return Done(
        step="judge",
        verdict="judged",
        words=f"{words} on {len(records)} radiographs",
        facts={"challenger": digest},
        links=links,
        seconds=0,
    )


def _with_figures(shop: RunContext, draft: str, dossier: EvaluationReport) -> str:
    """Seal the draft's graphs anew under a description that has the figures, and store it."""
    folder = shop.folder / "judged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shop.bundle(draft), folder / "bundle")
    description, _ = verify(folder / "bundle")
    judged = described(description, dossier).model_copy(update={"files": {}})
    digest = seal(folder / "bundle", judged)
    shop.bundles.upload(folder / "bundle")
    with shop.source(draft) as source:
        (source / "source.json").write_text(judged.model_dump_json(indent=2) + "\n")
        shop.bundles.upload_source(digest, source)
    return digest


def compare(shop: RunContext) -> Done:
    """Put champion and challenger before the gate, on the same sealed radiographs; sign what it decides."""
    records = shop.records_of("test")
    tensors = load_records(records, shop.cache.read).tensors

    def contender(digest: str) -> Contender:
        bundle = shop.bundle(digest)
        description, _ = verify(bundle)
        return Contender.of(description, digest, input_shape(bundle), score(bundle, records, tensors)[0])

    challenger = shop.fact("judge", "challenger")
    decision = decide(
        shop.parameters.gate,
        contender(shop.champion().digest),
        contender(challenger),
        Provenance(shop.manifest.digest, shop.settings.code_version),
    )
    signed = sign(decision, read_private_key(shop.signing_key()), datetime.now(UTC))
    links = {
        "decision.json": shop.records.write("decision.json", signed.to_json(), "application/json"),
        "decision.md": shop.records.write("decision.md", decision_page(signed).encode(), "text/markdown"),
    }
    words = "; ".join(decision.reasons) if decision.reasons else "within every margin"
    return Done(step="gate", verdict=decision.verdict, words=words, links=links, seconds=0)


def register_challenger(shop: RunContext) -> Done:
    """Register the model with all that is known of it; the challenger it is where the gate lets it pass."""
    gate, judged = shop.done("gate"), shop.done("judge")
    document = shop.records.content("decision.json")
    decision = verify_decision(document, [read_private_key(shop.signing_key()).public_key()]).decision
    registration = Registration(
        digest=judged.facts["challenger"],
        dataset_digest=shop.manifest.digest,
        code_version=shop.settings.code_version,
        parameters={"parameters": shop.parameters.digest, "run": shop.run},
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
    version = shop.registry.register(registration)
    verdict = "refused"
    if decision.is_promoted:
        why = Why(who=shop.parameters.who, reason=f"run {shop.run}: the gate lets it pass")
        shop.registry.set_challenger(version.number, why)
        verdict = "challenger"
    return Done(
        step="register",
        verdict=verdict,
        words=f"version {version.number} of the registry",
        facts={"version": str(version.number)},
        links={"bundle": version.bundle_uri},
        seconds=0,
    )


def replay_journal(shop: RunContext) -> Done:
    """Show the challenger the radiographs that were answered of late, beside what was answered."""
    limits, now = shop.parameters.replay, datetime.now(UTC)
    window = Window(now - timedelta(days=limits.days), now, limits.most)
    answers = read_answers(shop.settings.journal_dsn.get_secret_value(), window)
    digest = shop.fact("judge", "challenger")
    bundle = shop.bundle(digest)
    description, _ = verify(bundle)
    challenger = Challenger(
        ModelIdentity(version=description.version, digest=digest),
        FINDINGS,
        description.thresholds,
        lambda tensors: ask(bundle, tensors).probabilities,
    )
    archive = Archive(shop.read_radiograph, _MOST_PIXELS)
    found = replay(answers, shop.champion().digest, challenger, archive, shop.parameters.gate)
    links = {
        "replay.json": shop.records.write("replay.json", found.to_json(), "application/json"),
        "replay.md": shop.records.write("replay.md", replay_page(found).encode(), "text/markdown"),
    }
    verdict, words = str(found.verdict), "; ".join(found.reasons) or "within every limit"
    if verdict == "cannot be shown" and limits.unshown == "go on":
        verdict, words = "passed", f"not shown, and let pass by the parameters: {words}"
    words = f"{found.radiographs} radiographs: {words}"
    return Done(step="replay", verdict=verdict, words=words, links=links, seconds=0)
