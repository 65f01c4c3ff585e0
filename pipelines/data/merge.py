"""One data set from several: each radiograph once, and nothing said of it that contradicts itself."""

from collections.abc import Mapping, Sequence

from pipelines.data.manifest import Manifest, Record
from pleura.findings import FINDINGS


class ConflictingDatasets(Exception):
    """Two data sets say of one radiograph what cannot both be; the text names them and the radiograph."""


def merge_datasets(name: str, manifests: Sequence[Manifest]) -> Manifest:
    """Join data sets of one bucket; where one knows a finding and the other does not, it is known.

    Args:
        name: Of the result.
        manifests: At least one. Of a radiograph in two of them the first one's source, view, sex, age
            and boxes stand where it has them.

    Raises:
        ConflictingDatasets: A radiograph has a finding in one and lacks it in another, is in two splits, has
            two patients or two licences; or they are kept in two buckets.
        ValueError: There is none.
    """
    if not manifests:
        raise ValueError("no data sets to join")
    joined: dict[str, tuple[Manifest, Record]] = {}
    for manifest in manifests:
        if manifest.bucket != manifests[0].bucket:
            raise ConflictingDatasets(f"{_called(manifests[0])} and {_called(manifest)}: in two buckets")
        for record in manifest.records:
            known = joined.get(record.sha256)
            if known is None:
                joined[record.sha256] = manifest, record
                continue
            if fault := _fault(known[1], record):
                where = f"{_called(known[0])} and {_called(manifest)}: radiograph {record.sha256[:12]}"
                raise ConflictingDatasets(f"{where} has {fault}")
            joined[record.sha256] = known[0], _both(known[1], record)
    strangers = {each.sha256: each for manifest in manifests for each in manifest.strangers}
    return Manifest(
        name=name,
        bucket=manifests[0].bucket,
        made_from=tuple(f"{_called(each)}: {words}" for each in manifests for words in each.made_from),
        made_at=max(each.made_at for each in manifests),
        records=tuple(sorted((record for _, record in joined.values()), key=lambda each: each.key)),
        strangers=tuple(sorted(strangers.values(), key=lambda each: each.key)),
    )


def _called(manifest: Manifest) -> str:
    return f"{manifest.name}@{manifest.digest[:12]}"


def _fault(one: Record, other: Record) -> str | None:
    """What two records cannot both say of a radiograph, without naming its patient."""
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


def _both(one: Record, other: Record) -> Record:
    return one.model_copy(
        update={
            "labels": _in_order({**one.labels, **other.labels}),
            "view": one.view or other.view,
            "sex": one.sex or other.sex,
            "age": other.age if one.age is None else one.age,
            "boxes": one.boxes or other.boxes,
        }
    )


def _in_order(labels: Mapping[str, bool]) -> dict[str, bool]:
    """Labels in the order of ``FINDINGS``, as their digest is of a text."""
    return {finding: labels[finding] for finding in FINDINGS if finding in labels}
