"""The registry of models: register a version, make it challenger or champion, roll the champion back.

MLflow holds the versions; their bundles lie in S3. Each change is decided by one write. The other writes
follow from that write: after a crash the same call, or ``settle``, completes them.
"""

from typing import TYPE_CHECKING

from pipelines.registry.audit_trail import StaleView
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.catalogue import Catalogue
from pipelines.registry.registration import (
    AliasState,
    DecisionReference,
    ModelVersion,
    MoveReason,
    Registration,
    apply_moves,
    read_bundle_figures,
)
from pipelines.registry.version_writer import VersionWriter

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NotPromotable(Exception):
    """The gate's decision does not cover this version, or it was rolled back, and there is no override."""


class NoPreviousChampion(Exception):
    """There is no earlier champion to roll back to."""


class Registry(Catalogue):
    """The registered model ``chest-xray`` and its aliases ``challenger`` and ``champion``.

    Args:
        client: Client of MLflow, from ``connect_mlflow``.
        store: The bundles.
    """

    def __init__(self, client: "MlflowClient", store: BundleStore) -> None:
        super().__init__(client)
        self.store = store
        self._writer = VersionWriter(client, store.objects.uri("mlflow"))

    def register(self, registration: Registration) -> ModelVersion:
        """Register a model whose bundle is stored; the same digest again is the same version.

        The figures in the bundle's description are added. A decision, also a later one, is attached.

        Raises:
            NotStored, InvalidBundle, StoreUnavailable: The bundle is not in S3, or it differs from its seal.
        """
        description = self.store.verify(registration.digest)
        if not self.trail().exists:
            self._writer.create_model()
        numbers = self._find_numbers(registration.digest)
        if not numbers:
            figures = {**registration.figures, **read_bundle_figures(description)}
            self._writer.create_version(
                registration.model_copy(update={"figures": figures}), self.store.uri(registration.digest)
            )
            numbers = self._find_numbers(registration.digest)
        for duplicate in numbers[1:]:  # another process registered the same model at the same time
            self._writer.delete_version(duplicate)
        if registration.decision:
            self.attach_decision(numbers[0], registration.decision)
        return self.version(numbers[0])

    def attach_decision(self, number: int, decision: DecisionReference) -> None:
        """Attach the gate's decision to a version; a later decision replaces an earlier one."""
        self._writer.set_decision(number, decision)

    def set_challenger(self, number: int, why: MoveReason) -> ModelVersion:
        """Make a version the challenger."""
        version = self.version(number)
        moves = self.moves()
        if apply_moves(moves).challenger != number:
            self.trail().append(moves, "challenge", number, why)
        self.settle()
        return self.version(version.number)

    def promote(self, number: int, why: MoveReason, expected_champion: int | None) -> ModelVersion:
        """Make a version the champion.

        Args:
            number: The version; nothing happens if it is the champion already.
            why: Who promotes it, why, and the reason to ignore the gate if there is one.
            expected_champion: The champion that the caller compared it with; None if there was none.

        Raises:
            NoSuchVersion: There is no such version.
            StaleView: Another version is the champion by now.
            NotPromotable: The decision is missing or refuses the version, or the version was rolled back.
            NotStored, InvalidBundle, StoreUnavailable: The bundle is not in S3, or it differs from its seal.
            NoSuchObject, ChangedObject: The record of the decision is not in S3 as it was signed.
        """
        version = self.version(number)
        moves = self.moves()
        state = apply_moves(moves)
        if state.champion != number:
            _require_champion(state, expected_champion)
            if why.override is None:
                self._require_promotable(version, state)
            # Before the move: a champion with a damaged bundle could not be served.
            self.store.verify(version.digest)
            self.trail().append(moves, "promote", number, why)
        self.settle()
        return self.version(number)

    def rollback(self, why: MoveReason, expected_champion: int) -> ModelVersion:
        """Make the previous champion the champion again.

        Raises:
            StaleView: Another version is the champion by now.
            NoPreviousChampion: This is the first champion.
            NotStored, InvalidBundle, StoreUnavailable: The previous champion's bundle is not in S3, or it
                differs from its seal.
        """
        moves = self.moves()
        state = apply_moves(moves)
        _require_champion(state, expected_champion)
        if not state.former:
            raise NoPreviousChampion("there is no champion before this one to roll back to")
        previous = self.version(state.former[-1])
        self.store.verify(previous.digest)
        self.trail().append(moves, "rollback", previous.number, why)
        self.settle()
        return self.version(previous.number)

    def settle(self) -> AliasState:
        """Set the aliases in MLflow to those of the audit trail, also after a crash of another process."""
        trail = self.trail()
        moves = trail.read()
        while trail.exists:
            state = apply_moves(moves)
            self._writer.set_aliases(state)
            # We may have overwritten the alias of a process that moved it meanwhile: read the moves again.
            moves_now = trail.read()
            if moves_now == moves:
                return state
            moves = moves_now
        return AliasState()

    def _require_promotable(self, version: ModelVersion, state: AliasState) -> None:
        decision = version.registration.decision
        name = f"version {version.number}"
        # The next run of the pipeline would otherwise promote again what somebody rolled back.
        if version.number in state.rolled_back:
            raise NotPromotable(f"{name} was champion and was rolled back")
        if decision is None:
            raise NotPromotable(f"{name} has no decision record: the gate has not judged it")
        if decision.challenger != version.digest:
            raise NotPromotable(f"the decision record of {name} is about another model: {decision.uri}")
        if not decision.is_passed:
            raise NotPromotable(f"the gate refused {name}: {decision.uri}")
        champion = None if state.champion is None else self.version(state.champion).digest
        if decision.champion != champion:
            raise NotPromotable(f"the gate compared {name} with another champion than the present one")
        # Called for its errors: a decision that was deleted or forged lets no model pass.
        self.store.objects.read_verified(decision.uri, decision.sha256)

    def _find_numbers(self, digest: str) -> list[int]:
        return [int(entry.version) for entry in self.entries() if entry.tags.get("digest") == digest]


def _require_champion(state: AliasState, expected: int | None) -> None:
    if state.champion != expected:
        raise StaleView(f"the champion is {_name_version(state.champion)}, not {_name_version(expected)}")


def _name_version(number: int | None) -> str:
    return "none" if number is None else f"version {number}"
