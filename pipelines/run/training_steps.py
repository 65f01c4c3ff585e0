"""The step that trains: from the champion to a draft, which is the challenger without its figures."""

import shutil
from pathlib import Path

from pipelines.data.labelled_radiographs import load_records
from pipelines.evaluation.description import build_description, unmeasured_findings
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pipelines.training.curves import draw_curves
from pipelines.training.model_source import read_source_weights, write_source
from pipelines.training.train_model import TrainingData, train_model
from pipelines.training.train_network import HISTORY_FILE
from predictor.build.bundle import build_bundle


def train_challenger(context: RunContext) -> StepResult:
    """Fine-tune the champion, and build the new model as a draft; its figures come from the evaluation.

    Raises:
        EmptySplit: A split has no radiograph of the main source.
        TooFewLabels: A finding is too rare in the validation split. This is found before the training.
        TrainingDiverged: The loss is not finite.
        DifferentGraphs: The two forms of the new model do not agree.
    """
    parameters, folder = context.parameters, context.folder / "training"
    auxiliary = parameters.training.auxiliary_source
    records = [
        *context.select_records("train"),
        *(context.select_records("train", auxiliary) if auxiliary else ()),
    ]
    data = TrainingData(
        load_records(records, context.cache.read),
        load_records(context.select_records("val"), context.cache.read),
    )
    champion = context.starting_champion()
    with context.fetch_source(champion.digest) as source:
        start = read_source_weights(source)
    # The folder survives the process: a step that is tried again resumes after its last epoch.
    model = train_model(data, start, parameters.training, folder)
    findings = unmeasured_findings(model.fitted.operating_points)
    draft = build_description(parameters.words, findings, {}, model.fitted.check_thresholds)
    write_source(folder / "source", model, draft)
    digest = _build_and_store(context, folder / "source", folder / "bundle")
    curves = draw_curves(folder / HISTORY_FILE).encode()
    return StepResult(
        step="train",
        verdict="trained",
        words=f"{parameters.words.version}, from version {champion.number} of the registry",
        facts={"draft": digest},
        links={"curves.svg": context.records.write_file("curves.svg", curves, "image/svg+xml")},
        seconds=0,
    )


def _build_and_store(context: RunContext, source: Path, bundle: Path) -> str:
    digest = build_bundle(source, bundle)
    context.bundles.upload(bundle)
    context.bundles.upload_source(digest, source)
    fetched = context.settings.work / "bundles" / digest
    if not fetched.exists():  # spares the next step the download
        fetched.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(bundle, fetched)
    return digest
