"""The registry on MLflow's SQLite file and a real S3: versions, aliases, and crashes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipelines.registry.audit_trail import StaleView
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.catalogue import NoSuchVersion
from pipelines.registry.mlflow_client import RegistryUnavailable, connect_mlflow
from pipelines.registry.registration import AliasState, apply_moves
from pipelines.registry.registry import NoPreviousChampion, NotPromotable, Registry
from pleura.bundle import InvalidBundle, NotStored
from pleura.contract import MODEL_NAME
from pleura.errors import StoreUnavailable
from pleura.local import dependencies
from pleura.local.dependencies import Server
from pleura.object_bucket import ChangedObject
from tests.support.pipelines.models import KEYS, WHY, decided, new_bundle, new_store, registration


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty tables, made once because that takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    connect_mlflow(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def store(seaweed: Server) -> BundleStore:
    """The bundle store of this module."""
    return new_store(seaweed.url)


@pytest.fixture(scope="module")
def digests(store: BundleStore, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three stored bundles."""
    folder = tmp_path_factory.mktemp("bundles")
    return [store.upload(new_bundle(folder / str(n), f"0.0.{n}")) for n in (1, 2, 3)]


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    """An empty database for one test."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def registry(database: str, store: BundleStore) -> Registry:
    """An empty registry."""
    return Registry(connect_mlflow(database), store)


def register_champion(registry: Registry, digest: str) -> int:
    """Register a model that the gate let pass, and make it the champion."""
    champion = registry.champion()
    decision = decided(registry.store, digest, champion.digest if champion else None)
    number = registry.register(registration(digest, decision)).number
    return registry.promote(number, WHY, champion.number if champion else None).number


def mlflow_aliases(registry: Registry) -> dict[str, int]:
    """Read the aliases from MLflow itself."""
    aliases = registry.client.get_registered_model(MODEL_NAME).aliases
    return {alias: int(number) for alias, number in aliases.items()}


def test_a_version_has_what_was_registered(registry: Registry, digests: list[str]) -> None:
    """A version has all that was registered, and the figures of its bundle."""
    version = registry.register(registration(digests[0]))
    read = registry.version(version.number)
    assert read == version
    assert read.bundle_uri == registry.store.uri(digests[0])
    assert read.registration.parameters == {"training.seed": "7"}
    assert read.registration.figures["mean_auroc"] == 0.75
    assert read.registration.figures["auroc/Atelectasis"] == 0.8
    assert "auroc/Hernia" not in read.registration.figures
    given = registration(digests[0]).model_dump(exclude={"figures"})
    assert read.registration.model_dump(exclude={"figures"}) == given


def test_the_same_digest_is_the_same_version(registry: Registry, digests: list[str]) -> None:
    """Two registrations make one version; a decision in the second one is attached to the version."""
    first = registry.register(registration(digests[0]))
    decision = decided(registry.store, digests[0], None)
    again = registry.register(registration(digests[0], decision))
    assert again.number == first.number
    assert [version.registration.decision for version in registry.versions()] == [decision]


def test_a_version_is_found_by_number_alias_and_digest(registry: Registry, digests: list[str]) -> None:
    """Number, alias and digest find the version; a name of no version, or of two, is an error."""
    number = register_champion(registry, digests[0])
    other = registry.register(registration(digests[1])).number
    registry.set_challenger(other, WHY)
    assert registry.version("champion").number == registry.version(digests[0]).number == number
    assert registry.version("challenger").number == registry.version(digests[1][:8]).number == other
    assert registry.version(str(other)).aliases == ("challenger",)
    for unknown in (99, "99", "Champion", digests[2], digests[0][:7], ""):
        with pytest.raises(NoSuchVersion):
            registry.version(unknown)


def test_a_model_without_its_bundle_is_not_registered(registry: Registry) -> None:
    """A bundle must be in S3, and as it was sealed."""
    with pytest.raises(NotStored):
        registry.register(registration("0" * 64))
    assert registry.versions() == ()


def test_a_promotion_moves_the_aliases_and_is_recorded(registry: Registry, digests: list[str]) -> None:
    """MLflow has the aliases of the audit trail, and each move has its kind, versions and reason."""
    first = register_champion(registry, digests[0])
    second = registry.register(
        registration(digests[1], decided(registry.store, digests[1], digests[0]))
    ).number
    registry.set_challenger(second, WHY)
    assert mlflow_aliases(registry) == {"champion": first, "challenger": second}
    registry.promote(second, WHY, expected_champion=first)
    assert mlflow_aliases(registry) == {"champion": second}
    moves = [(move.kind, move.before, move.after, move.why) for move in registry.moves()]
    assert moves == [
        ("promote", None, first, WHY),
        ("challenge", None, second, WHY),
        ("promote", first, second, WHY),
    ]
    assert registry.client.get_registered_model(MODEL_NAME).tags["previous_champion"] == str(first)


def test_a_repeated_promotion_changes_nothing(registry: Registry, digests: list[str]) -> None:
    """The same call after a success writes no move."""
    number = register_champion(registry, digests[0])
    assert registry.promote(number, WHY, expected_champion=None).aliases == ("champion",)
    assert len(registry.moves()) == 1


def test_rollbacks_return_to_each_former_champion(registry: Registry, digests: list[str]) -> None:
    """Two rollbacks return to the champion before the last one; the first champion cannot be rolled back."""
    numbers = [register_champion(registry, digest) for digest in digests]
    assert registry.rollback(WHY, numbers[2]).number == numbers[1]
    assert registry.rollback(WHY, numbers[1]).number == numbers[0]
    assert mlflow_aliases(registry) == {"champion": numbers[0]}
    with pytest.raises(NoPreviousChampion):
        registry.rollback(WHY, numbers[0])


def test_a_version_that_was_rolled_back_is_promoted_only_by_override(
    registry: Registry, digests: list[str]
) -> None:
    """A pipeline cannot promote a version that somebody rolled back; a person who overrides can."""
    first, second = (register_champion(registry, digest) for digest in digests[:2])
    registry.rollback(WHY, second)
    with pytest.raises(NotPromotable, match="was rolled back"):
        registry.promote(second, WHY, first)
    overridden = WHY.model_copy(update={"override": "the fault was elsewhere"})
    assert registry.promote(second, overridden, first).aliases == ("champion",)
    assert registry.moves()[-1].why.override == "the fault was elsewhere"


def test_the_gate_cannot_be_bypassed(registry: Registry, digests: list[str]) -> None:
    """With no decision, a refusal, a decision on other models, or a forged one, the champion stays."""
    first = register_champion(registry, digests[0])
    second = registry.register(registration(digests[1])).number
    with pytest.raises(NotPromotable, match="no decision record"):
        registry.promote(second, WHY, first)
    registry.attach_decision(second, decided(registry.store, digests[1], digests[0], is_passed=False))
    with pytest.raises(NotPromotable, match="refused"):
        registry.promote(second, WHY, first)
    registry.attach_decision(second, decided(registry.store, digests[1], digests[2]))
    with pytest.raises(NotPromotable, match="another champion"):
        registry.promote(second, WHY, first)
    registry.attach_decision(second, decided(registry.store, digests[2], digests[0]))
    with pytest.raises(NotPromotable, match="about another model"):
        registry.promote(second, WHY, first)
    record = decided(registry.store, digests[1], digests[0])
    registry.attach_decision(second, record)
    registry.store.objects.put(record.uri.removeprefix(registry.store.objects.uri("")), b"forged")
    with pytest.raises(ChangedObject):
        registry.promote(second, WHY, first)
    assert mlflow_aliases(registry) == {"champion": first}
    assert len(registry.moves()) == 1


def test_a_promotion_decided_on_a_stale_view_is_refused(registry: Registry, digests: list[str]) -> None:
    """A caller that compared with an earlier champion gets an error."""
    first = register_champion(registry, digests[0])
    second = registry.register(registration(digests[1], decided(registry.store, digests[1], None))).number
    for expected in (None, second):
        with pytest.raises(StaleView, match=f"the champion is version {first}"):
            registry.promote(second, WHY, expected)
        with pytest.raises(StaleView):
            registry.rollback(WHY, second)


def test_of_two_moves_after_the_same_read_one_is_refused(registry: Registry, digests: list[str]) -> None:
    """Two processes that read the same trail cannot both write its next line."""
    number = register_champion(registry, digests[0])
    moves = registry.moves()
    registry.trail().append(moves, "challenge", number, WHY)
    with pytest.raises(StaleView, match="a test moved the challenger"):
        registry.trail().append(moves, "challenge", number, WHY)
    assert len(registry.moves()) == 2


def test_a_damaged_bundle_does_not_become_champion(
    registry: Registry, seaweed: Server, tmp_path: Path, database: str
) -> None:
    """A bundle that changed after its registration stops a promotion and a rollback; no alias moves."""
    registry = Registry(connect_mlflow(database), new_store(seaweed.url))
    digests = [registry.store.upload(new_bundle(tmp_path / str(n), f"0.0.{n}")) for n in (1, 2, 3)]
    first, second = (register_champion(registry, digest) for digest in digests[:2])
    third = registry.register(
        registration(digests[2], decided(registry.store, digests[2], digests[1]))
    ).number
    for digest in (digests[0], digests[2]):
        registry.store.objects.put(f"models/chest-xray/{digest}/model.tflite", b"another network")
    with pytest.raises(InvalidBundle):
        registry.promote(third, WHY, second)
    with pytest.raises(InvalidBundle):
        registry.rollback(WHY, second)
    assert mlflow_aliases(registry) == {"champion": second}
    assert apply_moves(registry.moves()).former == (first,)


def test_a_store_that_is_down_stops_moves_until_it_is_back(database: str, tmp_path: Path) -> None:
    """While S3 is stopped no alias moves; when S3 is back, the same call succeeds."""
    port = dependencies.free_port()
    server = dependencies.start_seaweed(tmp_path / "s3", port, *KEYS)
    registry = Registry(connect_mlflow(database), new_store(server.url))
    digests = [registry.store.upload(new_bundle(tmp_path / str(n), f"0.0.{n}")) for n in (1, 2)]
    first, second = (register_champion(registry, digest) for digest in digests)
    server.stop()
    with pytest.raises(StoreUnavailable):
        registry.rollback(WHY, second)
    with pytest.raises(StoreUnavailable):
        registry.register(registration(digests[0]))
    assert mlflow_aliases(registry) == {"champion": second}
    server = dependencies.start_seaweed(tmp_path / "s3", port, *KEYS)
    try:
        assert registry.rollback(WHY, second).number == first
    finally:
        server.stop()


def test_an_alias_moved_by_hand_is_put_back(registry: Registry, digests: list[str]) -> None:
    """The audit trail decides who is champion; ``settle`` corrects the alias in MLflow."""
    first, second = (register_champion(registry, digest) for digest in digests[:2])
    registry.client.set_registered_model_alias(MODEL_NAME, "champion", str(first))
    assert registry.version("champion").number == second
    registry.settle()
    assert mlflow_aliases(registry) == {"champion": second}


def test_an_empty_registry_can_be_read_and_settled(registry: Registry) -> None:
    """A registry without models is not an error."""
    assert not registry.versions()
    assert not registry.moves()
    assert registry.champion() is None
    assert registry.settle() == AliasState()


class Died(BaseException):
    """Raised where the process would be killed."""


class MortalClient(MlflowClient):
    """A client of MLflow whose process is killed before its n-th write."""

    writes_left = 1_000

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("create_", "set_", "delete_", "log_")):
            self.writes_left -= 1
            if self.writes_left < 0:
                raise Died
        return super().__getattribute__(name)


def repeat_until_alive(database: str, store: BundleStore, do: Callable[[Registry], object]) -> int:
    """Call ``do`` in a process that is killed before its first write, then its second, until it survives.

    Each write is one transaction, so that the exception leaves the same state as a killed process.
    """
    for writes in range(100):
        client = MortalClient(database, database)
        client.writes_left = writes
        try:
            do(Registry(client, store))
        except Died:
            continue
        return writes
    raise AssertionError("the process is killed at every write")


def test_a_killed_registration_is_completed_by_the_next_one(
    registry: Registry, database: str, digests: list[str]
) -> None:
    """After kills at every write there is one complete version."""
    killed = repeat_until_alive(database, registry.store, lambda r: r.register(registration(digests[0])))
    assert killed >= 5
    (version,) = registry.versions()
    assert version == registry.register(registration(digests[0]))
    assert len(registry.entries()) == 1


def test_a_killed_promotion_leaves_the_old_champion_or_the_new(
    registry: Registry, database: str, digests: list[str]
) -> None:
    """After each kill one of the two is champion; at the end there is one move more."""
    first = register_champion(registry, digests[0])
    second = registry.register(
        registration(digests[1], decided(registry.store, digests[1], digests[0]))
    ).number
    registry.set_challenger(second, WHY)

    def promote(mortal: Registry) -> None:
        assert apply_moves(registry.moves()).champion in (first, second)
        mortal.promote(second, WHY, expected_champion=first)

    assert repeat_until_alive(database, registry.store, promote) >= 3
    assert mlflow_aliases(registry) == {"champion": second}
    assert [move.kind for move in registry.moves()] == ["promote", "challenge", "promote"]


def test_an_entry_that_pleura_did_not_write_is_not_a_version(registry: Registry, digests: list[str]) -> None:
    """A version added by hand is ignored; a version changed by hand is an error with its number."""
    first = registry.register(registration(digests[0]))
    run = registry.entries()[0].run_id
    registry.client.create_model_version(MODEL_NAME, "s3://elsewhere/model.pkl", run)
    assert registry.versions() == (first,)
    registry.client.set_model_version_tag(MODEL_NAME, str(first.number), "digest", digests[1])
    with pytest.raises(RegistryUnavailable, match="version 1 in MLflow was changed"):
        registry.versions()


def test_somebody_elses_registered_model_is_not_taken_over(registry: Registry, digests: list[str]) -> None:
    """A registered model with our name but without an audit trail is not changed."""
    registry.client.create_registered_model(MODEL_NAME)
    with pytest.raises(RegistryUnavailable, match="not made by Pleura"):
        registry.register(registration(digests[0]))


def test_a_file_that_is_not_a_database_is_an_error_of_one_line(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RegistryUnavailable, match=r"mlflow\.db cannot be opened") as refused:
        connect_mlflow(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert "\n" not in str(refused.value)
