"""The source of the radiographs that a model is trained and judged on: a data set may hold several."""

from collections.abc import Collection, Iterable
from typing import Final

from pipelines.data.manifest import SPLITS, Record

DEFAULT_SOURCE: Final = "nih_cxr14"
SplitSource = tuple[str, str]
"""A split, and a source that has a radiograph in it."""


class NoSuchSource(Exception):
    """A split has no radiograph of the source, or no source is chosen. The text names the sources."""


def list_sources(records: Iterable[Record]) -> frozenset[SplitSource]:
    """List the sources of each split."""
    return frozenset((record.split, record.source) for record in records)


def choose_source(
    sources: Collection[SplitSource],
    wanted: str | None,
    chosen_with: str,
    splits: Collection[str] = SPLITS,
) -> str:
    """Choose the wanted source, or the only source if none is wanted.

    Args:
        sources: The sources of each split.
        wanted: The name of a source; None or empty for the only source.
        chosen_with: The option or parameter that names the source, for the error.
        splits: The splits that must have radiographs of the source.

    Raises:
        NoSuchSource: One of these splits has none, or there are several sources and none is wanted.
    """
    names = sorted({source for _, source in sources})
    if not wanted and len(names) != 1:
        raise NoSuchSource(f"name one of the sources {', '.join(names)} with {chosen_with}")
    chosen = wanted or names[0]
    for split in splits:
        if (split, chosen) not in sources:
            found = ", ".join(sorted(source for each, source in sources if each == split))
            raise NoSuchSource(
                f"the split {split} has no radiograph of the source {chosen!r} "
                f"(its sources: {found or 'none'}); name another source with {chosen_with}"
            )
    return chosen
