"""Reading the registry: the versions of the model, what is known of each, and where the aliases stand."""

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
_PAGE: Final = 200
_SHORTEST_DIGEST: Final = 8


class NoSuchVersion(Exception):
    """The registry holds no version of that number, alias or digest."""


class Catalogue:
    """The registered model ``chest-xray``, as MLflow keeps it.

    Every call raises RegistryUnavailable where MLflow does not answer, or holds what Pleura did not write.
    """

    def __init__(self, client: "MlflowClient") -> None:
        self.client = client

    def moves(self) -> tuple[AliasMove, ...]:
        """The audit trail, the oldest move first."""
        return self.trail().read()

    def trail(self) -> AuditTrail:
        """Where the moves are kept."""
        from mlflow.exceptions import MlflowException

        try:
            with mlflow_call("RESOURCE_DOES_NOT_EXIST"):
                tags = self.client.get_registered_model(MODEL_NAME).tags
        except MlflowException:
            return AuditTrail(self.client, "")
        if MOVES_TAG not in tags:
            raise RegistryUnavailable(
                f"the registered model {MODEL_NAME} was not made by Pleura: it has no trail"
            )
        return AuditTrail(self.client, tags[MOVES_TAG])

    def versions(self) -> tuple[ModelVersion, ...]:
        """All versions by number; where a crash left a digest registered twice, the first of them only."""
        standing = apply_moves(self.moves())
        first: dict[str, ModelVersion] = {}
        for entry in self.entries():
            number = int(entry.version)
            version = self._read(entry, standing.aliases_of(number))
            first.setdefault(version.digest, version)
        return tuple(first.values())

    def version(self, which: int | str) -> ModelVersion:
        """The version of a number, an alias, or a digest (or its first eight characters and more).

        Raises:
            NoSuchVersion: There is none.
        """
        versions = self.versions()
        found = [version for version in versions if _is_named(version, str(which))]
        if not found:
            raise NoSuchVersion(f"the registry has no version {which}")
        if len(found) > 1:
            raise NoSuchVersion(f"{len(found)} versions have a digest that begins with {which}")
        return found[0]

    def champion(self) -> ModelVersion | None:
        """The champion, if there is one."""
        number = apply_moves(self.moves()).champion
        return None if number is None else self.version(number)

    def entries(self) -> list[Any]:
        """MLflow's own entries of the versions, by number; what others added by hand is none."""
        found: list[Any] = []
        token: str | None = None
        while True:
            with mlflow_call():
                page = self.client.search_model_versions(f"name='{MODEL_NAME}'", _PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                ours = [entry for entry in found if "digest" in entry.tags]
                return sorted(ours, key=lambda entry: int(entry.version))

    def _read(self, entry: Any, aliases: tuple[str, ...]) -> ModelVersion:
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
        if not entry.source.endswith(f"/{registration.digest}"):
            raise RegistryUnavailable(f"version {entry.version} in MLflow was changed there")
        at = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC)
        return ModelVersion(int(entry.version), registration, entry.source, at, aliases)


def _is_named(version: ModelVersion, which: str) -> bool:
    if which in (CHAMPION, CHALLENGER):
        return which in version.aliases
    if re.fullmatch(r"[0-9]{1,7}", which):
        return version.number == int(which)
    return len(which) >= _SHORTEST_DIGEST and version.digest.startswith(which)
