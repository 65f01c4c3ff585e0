"""The audit trail of the aliases: numbered moves that MLflow takes once each and never lets anybody change.

MLflow sets an alias without asking what it was, so two who promote at once would overwrite each other
unseen. A parameter of a run, however, can be written once only, whatever the database and however many
write: the moves are parameters ``move.000001``, ... of one run, and whoever loses the race for the next
number learns it. The moves are the truth; the aliases in MLflow follow them.
"""

from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Literal

from pydantic import ValidationError

from pipelines.registry.mlflow_client import RegistryUnavailable, mlflow_call
from pipelines.registry.registration import AliasMove, AliasState, MoveReason, apply_moves

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PREFIX: Final = "move."


class StaleView(Exception):
    """The aliases have moved since the caller looked; nothing was changed."""


class AuditTrail:
    """The moves of one model, kept in one run.

    Args:
        client: MLflow.
        run: The id of the run; empty where nothing was ever registered.
    """

    def __init__(self, client: "MlflowClient", run: str) -> None:
        self._client, self._run = client, run

    @property
    def exists(self) -> bool:
        """Whether anything was ever registered."""
        return bool(self._run)

    def read(self) -> tuple[AliasMove, ...]:
        """All moves, the oldest first.

        Raises:
            RegistryUnavailable: MLflow does not answer, or the trail was tampered with.
        """
        if not self._run:
            return ()
        with mlflow_call():
            parameters = self._client.get_run(self._run).data.params
        lines = sorted(item for item in parameters.items() if item[0].startswith(_PREFIX))
        try:
            moves = tuple(AliasMove.model_validate_json(line) for _, line in lines)
        except ValidationError as error:
            raise RegistryUnavailable("the audit trail in MLflow holds a line that is no move") from error
        if [move.number for move in moves] != list(range(1, len(moves) + 1)):
            raise RegistryUnavailable("the audit trail in MLflow has lost a line")
        return moves

    def append(
        self,
        seen: tuple[AliasMove, ...],
        kind: Literal["challenge", "promote", "rollback"],
        after: int,
        why: MoveReason,
    ) -> AliasState:
        """Write the next move after those that the caller has seen.

        Returns:
            Where the aliases stand then.

        Raises:
            StaleView: Somebody else wrote it first.
            RegistryUnavailable: MLflow does not answer; the move is written or not, and ``read`` tells.
        """
        standing = apply_moves(seen)
        move = AliasMove(
            number=len(seen) + 1,
            kind=kind,
            before=standing.challenger if kind == "challenge" else standing.champion,
            after=after,
            why=why,
            moved_at=datetime.now(UTC),
            token=token_hex(8),
        )
        self._write(move)
        return standing.after(move)

    def _write(self, move: AliasMove) -> None:
        from mlflow.exceptions import MlflowException

        try:
            with mlflow_call("INVALID_PARAMETER_VALUE"):
                self._client.log_param(self._run, f"{_PREFIX}{move.number:06}", move.model_dump_json())
        except MlflowException as error:
            written = self.read()
            if len(written) < move.number:
                raise RegistryUnavailable("MLflow refuses to write the audit trail") from error
            if written[move.number - 1] != move:
                other = written[-1]
                raise StaleView(
                    f"{other.why.who} moved the {other.alias} to version {other.after} in the meantime"
                ) from error
