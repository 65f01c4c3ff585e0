"""An id that would leave the bucket causes no call to the object store."""

from collections.abc import Iterator

import pytest

from pleura.errors import InvalidRequest
from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.attacks.attacked_proxy import AttackedProxy
from proof.attacks.object_attack import (
    NEIGHBOUR,
    ObjectAttack,
    build_expected_calls,
    is_outside,
    start_object_attack,
)
from proof.attacks.object_ids import ODD, REFUSED, REFUSED_TEXTS
from proof.lab.bucket import BUCKET
from proof.lab.transformer import TransformerParts
from transformer.object_id import ObjectId


@pytest.fixture(scope="module")
def attack(
    shared_attacked: AttackedProxy,
    predictor: Service,
    seaweed: Server,
    postgres: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ObjectAttack]:
    """The real services with a real object store."""
    folder = tmp_path_factory.mktemp("object_read")
    parts = TransformerParts(predictor.grpc_address, seaweed.url, "", postgres.url, folder / "spool")
    with start_object_attack(folder, parts, shared_attacked) as running:
        yield running


@pytest.mark.parametrize("raw", REFUSED, ids=lambda raw: f"{raw[:40]!r} of {len(raw)}")
def test_a_dangerous_id_is_refused(raw: bytes) -> None:
    """Traversal, control characters, look-alike characters and wrong lengths are refused."""
    with pytest.raises(InvalidRequest):
        ObjectId.from_bytes(raw)


@pytest.mark.parametrize("raw", REFUSED, ids=lambda raw: f"{raw[:40]!r} of {len(raw)}")
def test_a_dangerous_id_in_bytes_causes_no_call(attack: ObjectAttack, raw: bytes) -> None:
    """A binary tensor and gRPC get a client error, and the object store gets no call."""
    assert attack.run(lambda: attack.send_binary(raw)) == ("400", [])
    assert attack.run(lambda: attack.send_grpc(raw)) == ("INVALID_ARGUMENT", [])


@pytest.mark.parametrize("text", REFUSED_TEXTS, ids=lambda text: f"{text[:40]!r} of {len(text)}")
def test_a_dangerous_id_in_json_causes_no_call(attack: ObjectAttack, text: str) -> None:
    """V2 JSON and ``POST /classify`` get a client error, and the object store gets no call."""
    assert attack.run(lambda: attack.send_json(text)) == ("400", [])
    outcome, calls = attack.run(lambda: attack.send_to_classify(text))
    assert (outcome in ("400", "413"), calls) == (True, [])


@pytest.mark.parametrize("name", ODD)
def test_an_unusual_id_causes_one_call_for_its_own_name(attack: ObjectAttack, name: str) -> None:
    """Escapes, queries and names of other buckets are part of the name, and the call stays in the bucket."""
    results = [
        attack.run(lambda: attack.send_json(ODD[name])),
        attack.run(lambda: attack.send_to_classify(ODD[name])),
        attack.run(lambda: attack.send_binary(ODD[name].encode())),
        attack.run(lambda: attack.send_grpc(ODD[name].encode())),
    ]
    assert [outcome for outcome, _ in results] == ["404", "404", "404", "NOT_FOUND"]
    assert [calls for _, calls in results] == [build_expected_calls(ODD[name], is_there=False)] * 4
    assert not any(is_outside(call) for _, calls in results for call in calls)


def test_an_ordinary_id_is_read(attack: ObjectAttack) -> None:
    """The tap records one HEAD and one GET."""
    expected_calls = build_expected_calls("r0.png", is_there=True)
    assert attack.run(lambda: attack.send_json("r0.png")) == ("200", expected_calls)
    assert attack.run(lambda: attack.send_grpc(b"r0.png")) == ("OK", expected_calls)


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
def test_a_call_outside_the_bucket_is_found(call: str) -> None:
    """Another bucket, a query, a change and a step upwards differ from a read of an object."""
    assert is_outside(call)
    assert not is_outside(f"GET /{BUCKET}/%252e%252e/{NEIGHBOUR}")
