"""The first steps: is the data sound, and what does training make of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.curves import draw_curves
from pipelines.dataset_registration import register
from pipelines.dataset_validation import require_sound, validate
from pipelines.export import describe, fit, half_precision_weights, reader_of, unmeasured, write_source
from pipelines.labelled import labelled
from pipelines.life.records import Done
from pipelines.life.shop import NoChampion, Shop
from pipelines.manifest import Split
from pipelines.radiographs import LabelledRadiographs
from pipelines.training import HISTORY_FILE, train
from predictor.build import build_bundle
from predictor.weights import WEIGHTS_FILE


def validate_data(shop: Shop) -> Done:
    """See that the data set is fit to train and judge on.

    Raises:
        StopOnSerious: It is not; the report is kept.
        NoChampion: There is no model to start from.
    """
    champion = shop.registry.champion()
    if champion is None:
        raise NoChampion("the registry has no champion: promote the model that is served, with a reason")
    manifest = shop.manifest
    register(shop.registry.client, manifest, shop.datasets.uri(manifest))
    found = validate(manifest, shop.cache.read)
    links = {
        "data.md": shop.records.write("data.md", found.to_markdown().encode(), "text/markdown"),
        "data.json": shop.records.write("data.json", found.to_json().encode(), "application/json"),
    }
    require_sound(found, shop.parameters.accepted)
    counts = ", ".join(f"{len(manifest.of_split(split))} {split}" for split in ("train", "val", "test"))
    return Done(
        step="validate_data",
        verdict="sound",
        words=f"{manifest.name}: {counts} radiographs; {len(found.problems)} problems, none that stops",
        facts={
            "data_set": manifest.digest,
            "champion": str(champion.number),
            "champion_digest": champion.digest,
        },
        links=links,
        seconds=0,
    )


def _radiographs(shop: Shop, split: Split, *sources: str) -> LabelledRadiographs:
    records = [each for each in shop.manifest.of_split(split) if each.source in sources]
    return labelled(records, shop.cache.read)


def train_challenger(shop: Shop) -> Done:
    """Fine-tune the champion, fit what belongs to the new model on the validation split, and build it.

    What is built is a draft: its figures come from the judgement.
    """
    parameters, folder = shop.parameters, shop.folder / "training"
    main, auxiliary = parameters.main_source, parameters.training.auxiliary_source
    training = _radiographs(shop, "train", main, *filter(None, [auxiliary]))
    validation = _radiographs(shop, "val", main)
    champion = shop.champion()
    with shop.source(champion.digest) as source, np.load(source / WEIGHTS_FILE, allow_pickle=False) as start:
        network = train(training, validation, parameters.training, folder, dict(start))
    weights = half_precision_weights(network)
    see = reader_of(weights)
    fitted = fit(see(training.of_source(main).tensors), see(validation.tensors), validation.labels)
    draft = describe(replace(parameters.words), unmeasured(fitted), {})
    write_source(folder / "source", weights, fitted, draft)
    digest = _store(shop, folder / "source", folder / "bundle")
    curves = draw_curves(folder / HISTORY_FILE).encode()
    return Done(
        step="train",
        verdict="trained",
        words=f"{parameters.words.version}, from version {champion.number} of the registry",
        facts={"draft": digest},
        links={"curves.svg": shop.records.write("curves.svg", curves, "image/svg+xml")},
        seconds=0,
    )


def _store(shop: Shop, source: Path, bundle: Path) -> str:
    digest = build_bundle(source, bundle)
    shop.bundles.upload(bundle)
    shop.bundles.upload_source(digest, source)
    kept = shop.settings.work / "bundles" / digest
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(bundle, kept)
    return digest
