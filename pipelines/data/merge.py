"""Merge data sets: each radiograph once, and no contradictions between its labels."""

from collections.abc import Mapping, Sequence

from pipelines.data.manifest import Manifest, Record
from pleura.findings import FINDINGS


class ConflictingDatasets(Exception):
    """Two data sets contradict each other about a radiograph. The text names all three."""


def merge_datasets(name: str, manifests: Sequence[Manifest]) -> Manifest:
    """Merge data sets of one bucket. A finding that one of them knows is known in the result.

    Args:
        name: The name of the result.
        manifests: At least one. If two hold the same radiograph, the source, view, sex, age and boxes of the
            first count, where it has them.

    Raises:
        ConflictingDatasets: A radiograph has a finding in one data set and lacks it in another, or has two
            splits, two patients or two licences; or the data sets are in different buckets.
        ValueError: No data set is given.
    """
    if not manifests:
        raise ValueError("there are no data sets to merge")
    merged: dict[str, tuple[Manifest, Record]] = {}
    for manifest in manifests:
        if manifest.bucket != manifests[0].bucket:
            raise ConflictingDatasets(
                f"{_short_name(manifests[0])} and {_short_name(manifest)}: in two buckets"
            )
        for record in manifest.records:
            earlier = merged.get(record.sha256)
            if earlier is None:
                merged[record.sha256] = manifest, record
                continue
            if contradiction := _contradiction(earlier[1], record):
                where = (
                    f"{_short_name(earlier[0])} and {_short_name(manifest)}: radiograph {record.sha256[:12]}"
                )
                raise ConflictingDatasets(f"{where} has {contradiction}")
            merged[record.sha256] = earlier[0], _merge_records(earlier[1], record)
    images = {image.sha256: image for manifest in manifests for image in manifest.strangers}
    return Manifest(
        name=name,
        bucket=manifests[0].bucket,
        made_from=tuple(
            f"{_short_name(manifest)}: {origin}" for manifest in manifests for origin in manifest.made_from
        ),
        made_at=max(manifest.made_at for manifest in manifests),
        records=tuple(sorted((record for _, record in merged.values()), key=lambda record: record.key)),
        strangers=tuple(sorted(images.values(), key=lambda image: image.key)),
    )


def _short_name(manifest: Manifest) -> str:
    return f"{manifest.name}@{manifest.digest[:12]}"


def _contradiction(one: Record, other: Record) -> str | None:
    """Describe how two records of a radiograph contradict each other, without the patient."""
    for finding in sorted(set(one.labels) & set(other.labels)):
        if one.labels[finding] != other.labels[finding]:
            return f"{finding} in one, and not in the other"
    if one.split != other.split:
        return f"two splits, {one.split} and {other.split}"
    if one.patient != other.patient:
        return "two patients"
    if one.licence != other.licence:
        return "two licences"
    return None


def _merge_records(one: Record, other: Record) -> Record:
    return one.model_copy(
        update={
            "labels": _order_labels({**one.labels, **other.labels}),
            "view": one.view or other.view,
            "sex": one.sex or other.sex,
            "age": other.age if one.age is None else one.age,
            "boxes": one.boxes or other.boxes,
        }
    )


def _order_labels(labels: Mapping[str, bool]) -> dict[str, bool]:
    """Order labels as ``FINDINGS``, because the digest depends on the order."""
    return {finding: labels[finding] for finding in FINDINGS if finding in labels}
