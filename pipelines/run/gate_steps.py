"""The steps that decide: the gate compares champion and challenger, and the registry takes the result."""

import hashlib
from datetime import UTC, datetime

from pipelines.data.labelled_radiographs import load_records
from pipelines.evaluation.scoring import score_radiographs
from pipelines.gate.contenders import Contender
from pipelines.gate.gate import Provenance, decide
from pipelines.gate.signature import read_private_key, sign_decision, verify_decision
from pipelines.registry.registration import DecisionReference, MoveReason, Registration
from pipelines.reports.decision import markdown_decision
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pleura.bundle import verify
from predictor.engines.litert import read_input_shape


def decide_by_gate(context: RunContext) -> StepResult:
    """Compare champion and challenger on the same sealed radiographs, and sign the decision of the gate."""
    records = context.select_records("test")
    tensors = load_records(records, context.cache.read).tensors

    def make_contender(digest: str) -> Contender:
        bundle = context.fetch_bundle(digest)
        description, _ = verify(bundle)
        return Contender.of(
            description, digest, read_input_shape(bundle), score_radiographs(bundle, records, tensors)[0]
        )

    challenger = context.fact("judge", "challenger")
    decision = decide(
        context.parameters.gate,
        make_contender(context.starting_champion().digest),
        make_contender(challenger),
        Provenance(context.manifest.digest, context.settings.code_version),
    )
    signed = sign_decision(decision, read_private_key(context.signing_key()), datetime.now(UTC))
    links = {
        "decision.json": context.records.write_file("decision.json", signed.to_json(), "application/json"),
        "decision.md": context.records.write_file(
            "decision.md", markdown_decision(signed).encode(), "text/markdown"
        ),
    }
    words = "; ".join(decision.reasons) if decision.reasons else "within every margin"
    return StepResult(step="gate", verdict=decision.verdict, words=words, links=links, seconds=0)


def register_challenger(context: RunContext) -> StepResult:
    """Register the model; it becomes the challenger if the gate let it pass."""
    gate, evaluation = context.finished("gate"), context.finished("judge")
    document = context.records.read_file("decision.json")
    # The registry's step may run much later: only the signature shows that the stored decision is the gate's.
    decision = verify_decision(document, [read_private_key(context.signing_key()).public_key()]).decision
    registration = Registration(
        digest=evaluation.facts["challenger"],
        dataset_digest=context.manifest.digest,
        code_version=context.settings.code_version,
        parameters={"parameters": context.parameters.digest, "run": context.run},
        figures={},
        report_uri=evaluation.links["report.html"],
        judgement_uri=evaluation.links["figures.json"],
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
        why = MoveReason(who=context.parameters.who, reason=f"run {context.run}: the gate let it pass")
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
