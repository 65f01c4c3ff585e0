"""Read the registry: the versions of the model, their figures and decisions, and their aliases."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from pipelines.registry.audit_trail import AuditTrail
from pipelines.registry.mlflow_client import RegistryUnavailable, mlflow_call
from pipelines.registry.registration import (
    CHALLENGER,
    CHAMPION,
    AliasMove,
    DecisionReference,
    ModelVersion,
    Registration,
    apply_moves,
)
from pleura.contract import MODEL_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOVES_TAG: Final = "moves_run"
DECISION_TAG: Final = "decision"
PREVIOUS_CHAMPION_TAG: Final = "previous_champion"
_PAGE: Final = 200
_SHORTEST_DIGEST: Final = 8


class NoSuchVersion(Exception):
    """The registry has no version with that number, alias or digest."""


class Catalogue:
    """Reads the registered model ``chest-xray`` from MLflow.

    Every method raises RegistryUnavailable if MLflow does not answer, or somebody changed its entries.
    """

    def __init__(self, client: "MlflowClient") -> None:
        self.client = client

    def moves(self) -> tuple[AliasMove, ...]:
        """Read the moves of the aliases, the oldest first."""
        return self.trail().read()

    def trail(self) -> AuditTrail:
        """The audit trail of the aliases."""
        from mlflow.exceptions import MlflowException

        try:
            with mlflow_call("RESOURCE_DOES_NOT_EXIST"):
                tags = self.client.get_registered_model(MODEL_NAME).tags
        except MlflowException:
            return AuditTrail(self.client, "")
        # A model of this name that somebody else registered must stay as it is.
        if MOVES_TAG not in tags:
            raise RegistryUnavailable(
                f"the registered model {MODEL_NAME} was not made by Pleura: it has no audit trail"
            )
        return AuditTrail(self.client, tags[MOVES_TAG])

    def versions(self) -> tuple[ModelVersion, ...]:
        """Read all versions by number; a crash can leave duplicates of a digest, only the first counts."""
        state = apply_moves(self.moves())
        first: dict[str, ModelVersion] = {}
        for entry in self.entries():
            version = self._read_version(entry, state.aliases_of(int(entry.version)))
            first.setdefault(version.digest, version)
        return tuple(first.values())

    def version(self, name: int | str) -> ModelVersion:
        """Find a version by number, alias, or digest (at least its first eight characters).

        Raises:
            NoSuchVersion: There is no such version, or several.
        """
        versions = [version for version in self.versions() if _has_name(version, str(name))]
        if not versions:
            raise NoSuchVersion(f"the registry has no version {name}")
        if len(versions) > 1:
            raise NoSuchVersion(f"{len(versions)} versions have a digest that begins with {name}")
        return versions[0]

    def champion(self) -> ModelVersion | None:
        """Find the champion; None if there is none."""
        number = apply_moves(self.moves()).champion
        return None if number is None else self.version(number)

    def entries(self) -> list[Any]:
        """Read MLflow's entries of the versions, by number, without entries that somebody added by hand."""
        entries: list[Any] = []
        token: str | None = None
        while True:
            with mlflow_call():
                page = self.client.search_model_versions(f"name='{MODEL_NAME}'", _PAGE, page_token=token)
            entries += page
            token = page.token
            if not token:
                ours = [entry for entry in entries if "digest" in entry.tags]
                return sorted(ours, key=lambda entry: int(entry.version))

    def _read_version(self, entry: Any, aliases: tuple[str, ...]) -> ModelVersion:
        with mlflow_call():
            run = self.client.get_run(entry.run_id).data
        try:
            decision = entry.tags.get(DECISION_TAG)
            registration = Registration(
                digest=entry.tags["digest"],
                dataset_digest=entry.tags["dataset_digest"],
                code_version=entry.tags["code_version"],
                parameters=run.params,
                figures=run.metrics,
                report_uri=entry.tags["report_uri"],
                judgement_uri=entry.tags["judgement_uri"],
                decision=decision and DecisionReference.model_validate_json(decision),
            )
        except (KeyError, ValidationError) as error:
            raise RegistryUnavailable(f"version {entry.version} in MLflow was changed there") from error
        # A predictor loads the source: it must be the bundle that was judged, even if somebody edits MLflow.
        if not entry.source.endswith(f"/{registration.digest}"):
            raise RegistryUnavailable(f"version {entry.version} in MLflow was changed there")
        registered_at = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)
        return ModelVersion(int(entry.version), registration, entry.source, registered_at, aliases)


def _has_name(version: ModelVersion, name: str) -> bool:
    if name in (CHAMPION, CHALLENGER):
        return name in version.aliases
    # A digest is named by eight characters or more. These may all be digits, so a number has at most seven.
    if re.fullmatch(r"[0-9]{1,7}", name):
        return version.number == int(name)
    return len(name) >= _SHORTEST_DIGEST and version.digest.startswith(name)
