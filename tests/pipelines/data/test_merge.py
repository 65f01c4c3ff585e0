"""Merged data sets hold each radiograph once, and no contradiction."""

import pytest

from pipelines.data.manifest import Box, Manifest, NonChestImage
from pipelines.data.merge import ConflictingDatasets, merge_datasets
from tests.support.pipelines.datasets import manifest_of, picture, record_of

A, B = picture(1), picture(2)


def _two(**changes: object) -> list[Manifest]:
    """Two data sets with one radiograph in common, which differs in the second."""
    one = manifest_of(record_of(A, labels={"Edema": True, "Mass": False}), record_of(B), name="one")
    other = record_of(A).model_copy(update={"labels": {"Edema": True}} | changes)
    return [one, manifest_of(other, name="two")]


def test_known_labels_replace_unknown_ones() -> None:
    """A label that one data set lacks is no contradiction. The order of the merge changes nothing."""
    one, two = _two(labels={"Hernia": False, "Edema": True}, view="")
    both = merge_datasets("both", [one, two])
    (record,) = (each for each in both.records if each.sha256 == record_of(A).sha256)
    assert record.labels == {"Edema": True, "Mass": False, "Hernia": False}
    assert record.view == "PA"
    assert len(both.records) == 2
    assert both.records == merge_datasets("both", [two, one]).records
    assert one.digest[:12] in both.made_from[0]


def test_boxes_and_non_chest_images_are_merged() -> None:
    """The result has the boxes of either data set, and an image of both data sets once."""
    one, two = _two(boxes=(Box(finding="Edema", x=0.1, y=0.1, width=0.2, height=0.2),))
    leg = NonChestImage(key="radiographs/leg", sha256="1" * 64, kind="a leg", licence="CC0")
    one, two = (each.model_copy(update={"strangers": (leg,)}) for each in (one, two))
    both = merge_datasets("both", [one, two])
    (record,) = (each for each in both.records if each.sha256 == record_of(A).sha256)
    assert [box.finding for box in record.boxes] == ["Edema"]
    assert both.strangers == (leg,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"Edema": False}}, "Edema"),
        ({"split": "test"}, "two splits, train and test"),
        ({"patient": "Miller"}, "two patients"),
        ({"licence": "none"}, "two licences"),
    ],
    ids=str,
)
def test_a_contradiction_names_both(changes: dict[str, object], message: str) -> None:
    """The error names both data sets and the radiograph, and no patient."""
    one, two = _two(**changes)
    with pytest.raises(ConflictingDatasets, match=message) as refused:
        merge_datasets("both", [one, two])
    told = str(refused.value)
    assert all(name in told for name in (f"one@{one.digest[:12]}", f"two@{two.digest[:12]}"))
    assert record_of(A).sha256[:12] in told
    assert "Miller" not in told


def test_data_sets_of_two_buckets_are_not_merged() -> None:
    """A manifest has one bucket. A merge needs at least one data set."""
    with pytest.raises(ConflictingDatasets, match="two buckets"):
        merge_datasets("both", [manifest_of(record_of(A)), manifest_of(record_of(B), bucket="other")])
    with pytest.raises(ValueError, match="no data sets"):
        merge_datasets("both", [])
