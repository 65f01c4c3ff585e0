"""The first step: is the data sound."""

from pipelines.data.registration import register
from pipelines.data.validation import require_sound, validate
from pipelines.run.context import NoChampion, RunContext
from pipelines.run.records import StepResult


def validate_data(context: RunContext) -> StepResult:
    """See that the data set is fit to train and judge on.

    Raises:
        UnsoundDataset: It is not; the report is kept.
        NoChampion: There is no model to start from.
    """
    champion = context.registry.champion()
    if champion is None:
        raise NoChampion("the registry has no champion: promote the model that is served, with a reason")
    manifest = context.manifest
    register(context.registry.client, manifest, context.datasets.uri(manifest))
    found = validate(manifest, context.cache.read)
    links = {
        "data.md": context.records.write("data.md", found.to_markdown().encode(), "text/markdown"),
        "data.json": context.records.write("data.json", found.to_json().encode(), "application/json"),
    }
    require_sound(found, context.parameters.accepted)
    counts = ", ".join(
        f"{len(manifest.records_of_split(split))} {split}" for split in ("train", "val", "test")
    )
    return StepResult(
        step="validate_data",
        verdict="sound",
        words=f"{manifest.name}: {counts} radiographs; {len(found.problems)} problems, none that stops",
        facts={"champion": str(champion.number)},
        links=links,
        seconds=0,
    )
