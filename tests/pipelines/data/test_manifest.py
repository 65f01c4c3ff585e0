"""The digest names a data set, in any order of its records."""

import json
from datetime import UTC, datetime

import pytest

from pipelines.data.manifest import Box, Manifest, NonChestImage, Record
from pipelines.value import InvalidDocument


def record(key: str, **changes: object) -> Record:
    """A radiograph of one patient."""
    return Record.model_validate(
        {
            "key": key,
            "sha256": "0" * 64,
            "patient": f"patient of {key}",
            "source": "a",
            "licence": "CC0",
            "split": "train",
            "labels": {"Edema": True, "Hernia": False},
        }
        | changes
    )


def manifest(*records: Record) -> Manifest:
    """A data set of these records."""
    made_at = datetime(2026, 11, 25, tzinfo=UTC)
    return Manifest(name="ours", bucket="data", made_from=("a test",), made_at=made_at, records=records)


def test_the_digest_does_not_depend_on_the_order() -> None:
    """The same records give the same digest, and another label gives another digest."""
    a, b = record("a"), record("b")
    assert manifest(a, b).digest == manifest(b, a).digest
    assert manifest(a, record("b", labels={"Edema": True})).digest != manifest(a, b).digest


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Unknown findings stay unknown, absent ones absent."""
    read = Manifest.from_json(manifest(record("a")).to_json())
    assert read == manifest(record("a"))
    assert read.records[0].labels == {"Edema": True, "Hernia": False}


def test_data_sets_from_before_there_were_boxes_keep_their_digest() -> None:
    """Without boxes and non-chest images the digest is that of older versions; with them it differs."""
    old = manifest(record("a"))
    assert old.digest == "b62846692fabfedf081a19abe027434e0d6f07b4f195bc2b6577dc56a5852ef7"
    box = Box(finding="Edema", x=0.1, y=0.2, width=0.3, height=0.4)
    boxed = manifest(record("a", boxes=(box,)))
    stranger = NonChestImage(key="s", sha256="1" * 64, kind="a leg", licence="CC0")
    with_stranger = old.model_copy(update={"strangers": (stranger,)})
    assert len({old.digest, boxed.digest, with_stranger.digest}) == 3
    for each in (boxed, with_stranger):
        assert Manifest.from_json(each.to_json()) == each


@pytest.mark.parametrize(
    "damage",
    [
        {"boxes": [{"finding": "Flu", "x": 0, "y": 0, "width": 0.1, "height": 0.1}]},
        {"boxes": [{"finding": "Mass", "x": 0, "y": 0, "width": 0, "height": 0.1}]},
        {"labels": {"Flu": True}},
        {"sha256": "x"},
        {"split": "all"},
        {"patient": ""},
        {"colour": "red"},
    ],
    ids=str,
)
def test_an_invalid_manifest_is_refused(damage: dict[str, object]) -> None:
    """Each invalid field is named."""
    document = manifest(record("a")).model_dump(mode="json")
    document["records"][0] |= damage
    with pytest.raises(InvalidDocument, match="records"):
        Manifest.from_json(json.dumps(document).encode())
