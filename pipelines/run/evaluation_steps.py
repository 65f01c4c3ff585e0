"""The step that evaluates: the draft is judged on the sealed split, once, and gets its figures."""

import shutil
from typing import Final

from pipelines.evaluation.description import add_figures
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluate_once import ModelAndDataset, evaluate_once
from pipelines.evaluation.evaluation_data import load_evaluation_data
from pipelines.evaluation.report import Dataset, EvaluationReport, Subject
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pleura.bundle import seal, verify

_CONTENT_TYPES: Final = {".html": "text/html", ".json": "application/json", ".md": "text/markdown"}


def evaluate_challenger(context: RunContext) -> StepResult:
    """Judge the draft on the sealed split, once; the draft with its figures is the challenger."""
    draft = context.fact("train", "draft")
    bundle, records = context.fetch_bundle(draft), context.select_records("test")
    manifest = context.manifest
    dataset = Dataset(name=manifest.name, digest=manifest.digest, split="test", made_from=manifest.made_from)

    def judge() -> EvaluationReport:
        # Only here: if the report is stored already, the test split is not read again.
        data = load_evaluation_data(manifest, context.parameters.main_source, context.cache.read)
        return evaluate_bundle(
            bundle, data, dataset, context.settings.code_version, context.parameters.judgement
        )

    report = evaluate_once(context.objects, ModelAndDataset(manifest.digest, draft), judge)
    digest = _seal_with_figures(context, draft, report)
    description, _ = verify(context.fetch_bundle(digest))
    subject = Subject.of(description, digest, dataset, report.subject.code_version)
    folder = context.folder / "report"
    write_report_files(report.model_copy(update={"subject": subject}), context.fetch_bundle(digest), folder)
    links = {
        path.name: context.records.write_file(path.name, path.read_bytes(), _CONTENT_TYPES[path.suffix])
        for path in sorted(folder.iterdir())
    }
    macro = report.evaluation.macro
    words = "too few positives for any figure"
    if macro:
        words = f"mean AUROC {macro.auroc.value:.3f} ({macro.auroc.low:.3f} to {macro.auroc.high:.3f})"
    return StepResult(
        # The old name, because records of runs are stored under it.
        step="judge",
        verdict="judged",
        words=f"{words} on {len(records)} radiographs",
        facts={"challenger": digest},
        links=links,
        seconds=0,
    )


def _seal_with_figures(context: RunContext, draft: str, report: EvaluationReport) -> str:
    """Seal the draft's graphs under a description that has the figures, and store that bundle."""
    folder = context.folder / "judged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(context.fetch_bundle(draft), folder / "bundle")
    description, _ = verify(folder / "bundle")
    description_with_figures = add_figures(description, report).model_copy(update={"files": {}})
    digest = seal(folder / "bundle", description_with_figures)
    context.bundles.upload(folder / "bundle")
    with context.fetch_source(draft) as source:
        (source / "source.json").write_text(description_with_figures.model_dump_json(indent=2) + "\n")
        context.bundles.upload_source(digest, source)
    return digest
