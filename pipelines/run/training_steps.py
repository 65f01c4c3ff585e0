"""The step that trains: from the champion to a draft of the challenger."""

import shutil
from pathlib import Path

import numpy as np

from pipelines.data.labelled_radiographs import load_records
from pipelines.evaluation.description import build_description, unmeasured_findings
from pipelines.run.context import RunContext
from pipelines.run.records import StepResult
from pipelines.training.curves import draw_curves
from pipelines.training.export import fit, reader_of, require_enough_labels, source_weights, write_source
from pipelines.training.train import HISTORY_FILE, train_network
from predictor.build.bundle import build_bundle
from predictor.build.weights import WEIGHTS_FILE


def train_challenger(context: RunContext) -> StepResult:
    """Fine-tune the champion, fit what belongs to the new model on the validation split, and build it.

    What is built is a draft: its figures come from the judgement.

    Raises:
        NoRadiographs: A split has none of the main source.
        TooFewLabels: A finding is too rare in the validation split; known before anything is trained.
        Diverged: The loss became no number.
        DifferentGraphs: The two forms of the new model do not agree.
    """
    parameters, folder = context.parameters, context.folder / "training"
    main, auxiliary = parameters.main_source, parameters.training.auxiliary_source
    records = [
        *context.select_records("train"),
        *(context.select_records("train", auxiliary) if auxiliary else ()),
    ]
    training = load_records(records, context.cache.read)
    validation = load_records(context.select_records("val"), context.cache.read)
    require_enough_labels(validation.labels)
    champion = context.starting_champion()
    with (
        context.fetch_source(champion.digest) as source,
        np.load(source / WEIGHTS_FILE, allow_pickle=False) as file,
    ):
        start = dict(file)
    network = train_network(training, validation, parameters.training, folder, start)
    weights = source_weights(network, start)
    see = reader_of(weights)
    fitted = fit(see(training.select_sources(main).tensors), see(validation.tensors), validation.labels)
    draft = build_description(parameters.words, unmeasured_findings(fitted.operating_points), {})
    write_source(folder / "source", weights, fitted, draft)
    digest = _store(context, folder / "source", folder / "bundle")
    curves = draw_curves(folder / HISTORY_FILE).encode()
    return StepResult(
        step="train",
        verdict="trained",
        words=f"{parameters.words.version}, from version {champion.number} of the registry",
        facts={"draft": digest},
        links={"curves.svg": context.records.write_file("curves.svg", curves, "image/svg+xml")},
        seconds=0,
    )


def _store(context: RunContext, source: Path, bundle: Path) -> str:
    digest = build_bundle(source, bundle)
    context.bundles.upload(bundle)
    context.bundles.upload_source(digest, source)
    kept = context.settings.work / "bundles" / digest
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(bundle, kept)
    return digest
