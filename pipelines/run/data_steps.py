"""The first step: require that the data set is sound."""

from pipelines.data.registration import register
from pipelines.data.sources import choose_source, list_sources
from pipelines.data.validation import require_sound, validate
from pipelines.run.context import NoChampion, RunContext
from pipelines.run.records import StepResult


def validate_data(context: RunContext) -> StepResult:
    """Require that the data set is fit for training and evaluation, and note the champion.

    Raises:
        UnsoundDataset: The data set has serious problems; the report is written.
        NoSuchSource: A split has no radiograph of the main source.
        NoChampion: The registry has no champion to start from.
    """
    # Noted at the start, so that training, gate and promotion mean the same champion.
    champion = context.registry.champion()
    if champion is None:
        raise NoChampion("the registry has no champion: promote the model that is served, and give a reason")
    manifest = context.manifest
    register(context.registry.client, manifest, context.datasets.uri(manifest))
    report = validate(manifest, context.cache.read)
    # Written before require_sound: the report is needed most if the data set is refused.
    links = {
        "data.md": context.records.write_file("data.md", report.to_markdown().encode(), "text/markdown"),
        "data.json": context.records.write_file("data.json", report.to_json().encode(), "application/json"),
    }
    require_sound(report, context.parameters.accepted)
    choose_source(list_sources(manifest.records), context.parameters.main_source, "main_source")
    counts = ", ".join(
        f"{len(manifest.records_of_split(split))} {split}" for split in ("train", "val", "test")
    )
    return StepResult(
        step="validate_data",
        verdict="sound",
        words=f"{manifest.name}: {counts} radiographs; {len(report.problems)} problems, none that stops",
        facts={"champion": str(champion.number)},
        links=links,
        seconds=0,
    )
