"""The first step: is the data sound."""

from pipelines.data.registration import register
from pipelines.data.validation import require_sound, validate
from pipelines.run.context import NoChampion, RunContext
from pipelines.run.records import Done


def validate_data(shop: RunContext) -> Done:
    """See that the data set is fit to train and judge on.

    Raises:
        UnsoundDataset: It is not; the report is kept.
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
    counts = ", ".join(
        f"{len(manifest.records_of_split(split))} {split}" for split in ("train", "val", "test")
    )
    return Done(
        step="validate_data",
        verdict="sound",
        words=f"{manifest.name}: {counts} radiographs; {len(found.problems)} problems, none that stops",
        facts={"champion": str(champion.number)},
        links=links,
        seconds=0,
    )
