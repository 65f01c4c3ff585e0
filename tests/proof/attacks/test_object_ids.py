"""Ids of radiographs that would leave the bucket: the object store, behind a tap, never hears of them."""

from collections.abc import Iterator

import pytest

from pleura.errors import InvalidRequest
from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.attacks.object_attack import NEIGHBOUR, ObjectRead, expected_call, is_outside, object_read
from proof.attacks.object_ids import ODD, REFUSED, REFUSED_TEXTS
from proof.attacks.stage import AttackStage
from proof.lab.bucket import BUCKET
from proof.lab.transformer import TransformerParts
from transformer.object_id import ObjectId


@pytest.fixture(scope="module")
def read(
    shared_stage: AttackStage,
    predictor: Service,
    seaweed: Server,
    postgres: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ObjectRead]:
    """The real services before a real object store."""
    folder = tmp_path_factory.mktemp("object_read")
    parts = TransformerParts(predictor.grpc_address, seaweed.url, "", postgres.url, folder / "spool")
    with object_read(folder, parts, shared_stage) as running:
        yield running


@pytest.mark.parametrize("raw", REFUSED, ids=lambda raw: f"{raw[:40]!r} of {len(raw)}")
def test_a_dangerous_id_is_no_id(raw: bytes) -> None:
    """Traversal, control characters, look-alikes and other lengths, as bytes."""
    with pytest.raises(InvalidRequest):
        ObjectId.from_bytes(raw)


@pytest.mark.parametrize("raw", REFUSED, ids=lambda raw: f"{raw[:40]!r} of {len(raw)}")
def test_a_dangerous_id_asks_nothing_in_bytes(read: ObjectRead, raw: bytes) -> None:
    """In a binary tensor and over gRPC it is the caller's mistake, and the object store is not asked."""
    assert read.asked(lambda: read.by_binary(raw)) == ("400", [])
    assert read.asked(lambda: read.by_grpc(raw)) == ("INVALID_ARGUMENT", [])


@pytest.mark.parametrize("text", REFUSED_TEXTS, ids=lambda text: f"{text[:40]!r} of {len(text)}")
def test_a_dangerous_id_asks_nothing_in_json(read: ObjectRead, text: str) -> None:
    """In V2 JSON and by the plain route it is the caller's mistake, and the object store is not asked."""
    assert read.asked(lambda: read.by_json(text)) == ("400", [])
    outcome, calls = read.asked(lambda: read.by_classify(text))
    assert (outcome in ("400", "413"), calls) == (True, [])


@pytest.mark.parametrize("name", ODD)
def test_an_odd_id_is_asked_for_under_its_own_name(read: ObjectRead, name: str) -> None:
    """Escapes, queries and names of other buckets are a part of its name: one call, within the bucket."""
    ways = [
        read.asked(lambda: read.by_json(ODD[name])),
        read.asked(lambda: read.by_classify(ODD[name])),
        read.asked(lambda: read.by_binary(ODD[name].encode())),
        read.asked(lambda: read.by_grpc(ODD[name].encode())),
    ]
    assert [outcome for outcome, _ in ways] == ["404", "404", "404", "NOT_FOUND"]
    assert [calls for _, calls in ways] == [[expected_call(ODD[name])]] * 4
    assert not any(is_outside(call) for _, calls in ways for call in calls)


def test_an_id_that_is_there_is_read(read: ObjectRead) -> None:
    """The tap hears of what is asked, in one call."""
    there = [expected_call("r0.png")]
    assert read.asked(lambda: read.by_json("r0.png")) == ("200", there)
    assert read.asked(lambda: read.by_grpc(b"r0.png")) == ("OK", there)


@pytest.mark.parametrize(
    "call",
    [
        f"GET /{NEIGHBOUR}/secret.png",
        f"GET /{BUCKET}/../{NEIGHBOUR}/secret.png",
        f"GET /{BUCKET}/%2e%2e/{NEIGHBOUR}/secret.png",
        f"GET /{BUCKET}/..%5c{NEIGHBOUR}",
        f"GET /{BUCKET}/r0.png?versionId=1",
        f"GET /{BUCKET}?list-type=2",
        f"PUT /{BUCKET}/r0.png",
        f"GET /{BUCKET}2/r0.png",
    ],
)
def test_a_call_outside_would_be_seen(call: str) -> None:
    """Another bucket, a query, a change and a step upwards are told apart from a look at an object."""
    assert is_outside(call)
    assert not is_outside(f"GET /{BUCKET}/%252e%252e/{NEIGHBOUR}")
