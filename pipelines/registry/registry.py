"""The registry of models: what is registered, which is champion, and how that changes.

MLflow holds what is known of a version; its bundle lies in S3 under its digest. Each change has one write
that makes it so, the rest follows from it: a crash leaves the state before or the state after, and the
same call again, or ``settle``, completes it.
"""

from typing import TYPE_CHECKING, Final

from pipelines.registry.audit_trail import StaleView
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.catalogue import DECISION_TAG, MOVES_TAG, Catalogue
from pipelines.registry.mlflow_client import mlflow_call
from pipelines.registry.registration import (
    CHALLENGER,
    CHAMPION,
    AliasState,
    DecisionReference,
    ModelVersion,
    MoveReason,
    Registration,
    apply_moves,
    read_bundle_figures,
)
from pleura.contract import MODEL_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH: Final = 100  # parameters that MLflow takes at once
_EXPERIMENT: Final = MODEL_NAME
_PREVIOUS_TAG: Final = "previous_champion"


class NotPromotable(Exception):
    """The gate does not vouch for this version, or it was rolled back, and nobody overrides that."""


class NoPreviousChampion(Exception):
    """There is no champion to go back to."""


class Registry(Catalogue):
    """The registered model ``chest-xray`` and its aliases ``challenger`` and ``champion``.

    Args:
        client: MLflow, from ``mlflow_client.connect``.
        store: Where the bundles are.
    """

    def __init__(self, client: "MlflowClient", store: BundleStore) -> None:
        super().__init__(client)
        self.store = store

    def register(self, registration: Registration) -> ModelVersion:
        """Register a model whose bundle is stored; the same digest again is the same version.

        What the bundle says of itself is added to the figures. A decision given later is attached.

        Raises:
            NotStored, InvalidBundle, StoreUnavailable: Its bundle is not in S3, or not as it was sealed.
        """
        description = self.store.verify(registration.digest)
        self._make_model()
        numbers = self._numbers_of(registration.digest)
        if not numbers:
            figures = {**registration.figures, **read_bundle_figures(description)}
            self._create(registration.model_copy(update={"figures": figures}))
            numbers = self._numbers_of(registration.digest)
        for double in numbers[1:]:  # somebody registered the same model at the same time
            self._delete(double)
        if registration.decision:
            self.attach_decision(numbers[0], registration.decision)
        return self.version(numbers[0])

    def _delete(self, number: int) -> None:
        from mlflow.exceptions import MlflowException

        try:
            with mlflow_call("RESOURCE_DOES_NOT_EXIST"):
                self.client.delete_model_version(MODEL_NAME, str(number))
        except MlflowException:  # somebody else has deleted it
            return

    def attach_decision(self, number: int, decision: DecisionReference) -> None:
        """Set what the gate decided of a version; a later decision takes the place of an earlier one."""
        with mlflow_call():
            self.client.set_model_version_tag(
                MODEL_NAME, str(number), DECISION_TAG, decision.model_dump_json()
            )

    def set_challenger(self, number: int, why: MoveReason) -> ModelVersion:
        """Make a version the challenger."""
        version = self.version(number)
        seen = self.moves()
        if apply_moves(seen).challenger != number:
            self.trail().append(seen, "challenge", number, why)
        self.settle()
        return self.version(version.number)

    def promote(self, number: int, why: MoveReason, expected_champion: int | None) -> ModelVersion:
        """Make a version the champion.

        Args:
            number: The version; nothing happens where it is the champion already.
            why: Who, for what reason, and why the gate is passed over if it is.
            expected_champion: The champion that the caller decided against; None where there was none.

        Raises:
            NoSuchVersion: There is no such version.
            StaleView: Another version is the champion by now.
            NotPromotable: Its decision is missing or refuses it, or it was rolled back.
            NotStored, InvalidBundle, StoreUnavailable: Its bundle is not in S3, or not as it was sealed.
            NoSuchObject, ChangedObject: The record of its decision is not in S3 as it was signed.
        """
        version = self.version(number)
        seen = self.moves()
        standing = apply_moves(seen)
        if standing.champion != number:
            _require_champion(standing, expected_champion)
            if why.override is None:
                self._require_promotable(version, standing)
            self.store.verify(version.digest)
            self.trail().append(seen, "promote", number, why)
        self.settle()
        return self.version(number)

    def rollback(self, why: MoveReason, expected_champion: int) -> ModelVersion:
        """Make the previous champion the champion again.

        Raises:
            StaleView: Another version is the champion by now.
            NoPreviousChampion: This is the first champion.
            NotStored, InvalidBundle, StoreUnavailable: The bundle to return to is not in S3 as it was sealed.
        """
        seen = self.moves()
        standing = apply_moves(seen)
        _require_champion(standing, expected_champion)
        if not standing.former:
            raise NoPreviousChampion("there is no champion before this one to roll back to")
        previous = self.version(standing.former[-1])
        self.store.verify(previous.digest)
        self.trail().append(seen, "rollback", previous.number, why)
        self.settle()
        return self.version(previous.number)

    def settle(self) -> AliasState:
        """Let the aliases in MLflow follow the audit trail, whoever left them behind it."""
        trail = self.trail()
        moves = trail.read()
        while trail.exists:
            standing = apply_moves(moves)
            self._set_alias(CHAMPION, standing.champion)
            self._set_alias(CHALLENGER, standing.challenger)
            self._set_previous(standing.former[-1] if standing.former else None)
            now = trail.read()  # whoever moves an alias meanwhile may be overwritten by us: look again
            if now == moves:
                return standing
            moves = now
        return AliasState()

    def _require_promotable(self, version: ModelVersion, standing: AliasState) -> None:
        decision = version.registration.decision
        name = f"version {version.number}"
        if version.number in standing.rolled_back:
            raise NotPromotable(f"{name} was champion and was rolled back")
        if decision is None:
            raise NotPromotable(f"{name} has no decision record: the gate has not judged it")
        if decision.challenger != version.digest:
            raise NotPromotable(f"the decision record of {name} is about another model: {decision.uri}")
        if not decision.is_passed:
            raise NotPromotable(f"the gate refused {name}: {decision.uri}")
        champion = None if standing.champion is None else self.version(standing.champion).digest
        if decision.champion != champion:
            raise NotPromotable(f"the gate compared {name} with another champion than the present one")
        self.store.objects.read_as(decision.uri, decision.sha256)

    def _numbers_of(self, digest: str) -> list[int]:
        return [int(entry.version) for entry in self.entries() if entry.tags.get("digest") == digest]

    def _make_model(self) -> None:
        """Make the registered model with the run that will hold its moves, both or neither."""
        from mlflow.exceptions import MlflowException

        if self.trail().exists:
            return
        run = self._make_run("moves of the aliases")
        try:
            with mlflow_call("RESOURCE_ALREADY_EXISTS"):
                self.client.create_registered_model(MODEL_NAME, tags={MOVES_TAG: run})
        except MlflowException:  # somebody else was first, with a run of their own
            with mlflow_call():
                self.client.delete_run(run)

    def _make_run(self, name: str) -> str:
        experiment = self._experiment()
        with mlflow_call():
            return str(self.client.create_run(experiment, run_name=name).info.run_id)

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        with mlflow_call():
            found = self.client.get_experiment_by_name(_EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            with mlflow_call("RESOURCE_ALREADY_EXISTS"):
                where = self.store.objects.uri("mlflow")
                return self.client.create_experiment(_EXPERIMENT, artifact_location=where)
        except MlflowException:  # somebody else made it meanwhile
            return self._experiment()

    def _create(self, registration: Registration) -> None:
        from mlflow.entities import Metric, Param

        run = self._make_run(f"model {registration.digest[:12]}")
        parameters = [Param(name, value) for name, value in registration.parameters.items()]
        figures = [Metric(name, value, 0, 0) for name, value in registration.figures.items()]
        facts = registration.model_dump(
            include={"digest", "dataset_digest", "code_version", "report_uri", "judgement_uri"}
        )
        with mlflow_call():
            for start in range(0, len(parameters), _BATCH):
                self.client.log_batch(run, params=parameters[start : start + _BATCH])
            self.client.log_batch(run, metrics=figures)
            self.client.set_terminated(run)
            self.client.create_model_version(MODEL_NAME, self.store.uri(registration.digest), run, tags=facts)

    def _set_alias(self, alias: str, number: int | None) -> None:
        with mlflow_call():
            if number is None:
                self.client.delete_registered_model_alias(MODEL_NAME, alias)
            else:
                self.client.set_registered_model_alias(MODEL_NAME, alias, str(number))

    def _set_previous(self, number: int | None) -> None:
        with mlflow_call():
            self.client.set_registered_model_tag(MODEL_NAME, _PREVIOUS_TAG, str(number or ""))


def _require_champion(standing: AliasState, expected: int | None) -> None:
    if standing.champion != expected:
        raise StaleView(f"the champion is {_named(standing.champion)}, not {_named(expected)}")


def _named(number: int | None) -> str:
    return "none" if number is None else f"version {number}"
