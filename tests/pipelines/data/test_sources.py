"""The source that a model is judged on is a wanted one, or the only one."""

import pytest

from pipelines.data.manifest import SPLITS
from pipelines.data.sources import NoSuchSource, choose_source, list_sources
from tests.support.pipelines.datasets import picture, record_of

_OURS = {(split, "ours") for split in SPLITS}
_BOTH = _OURS | {("train", "theirs")}


def test_each_split_has_its_sources() -> None:
    """A source that is only in one split is listed for that split."""
    records = [record_of(picture(1)), record_of(picture(2), "test", source="theirs")]
    assert list_sources(records) == {("train", "ours"), ("test", "theirs")}


def test_the_only_source_needs_no_name() -> None:
    """One source is chosen without a name; of several, the wanted one is chosen."""
    assert choose_source(_OURS, None, "--source") == "ours"
    assert choose_source(_BOTH, "ours", "--source") == "ours"
    assert choose_source(_BOTH, "theirs", "--source", ("train",)) == "theirs"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, "name one of the sources ours, theirs with --source"),
        ("nih", "the split train has no radiograph of the source 'nih' (its sources: ours, theirs); "),
        ("theirs", "the split val has no radiograph of the source 'theirs' (its sources: ours); "),
    ],
)
def test_the_error_names_the_sources_and_the_option(wanted: str | None, words: str) -> None:
    """A reader sees what to choose from, and with what."""
    with pytest.raises(NoSuchSource) as error:
        choose_source(_BOTH, wanted, "--source")
    assert words in str(error.value)
    assert "--source" in str(error.value)
