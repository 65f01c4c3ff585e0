"""The audit trail of the aliases: numbered moves, each written once to MLflow and never changed.

MLflow sets an alias without comparing it with the old one, so that two promotions at once would overwrite
each other silently. But MLflow lets a parameter of a run be written only once. The moves are therefore
parameters ``move.000001``, ``move.000002`` and so on of one run: of two processes that write the same number,
one fails and notices it. The moves are authoritative; the aliases in MLflow follow them.
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
    """The aliases have moved since the caller read them; nothing was changed."""


class AuditTrail:
    """The moves of the aliases of one model, in one run of MLflow.

    Args:
        client: Client of MLflow.
        run: The id of the run; empty if no model was ever registered.
    """

    def __init__(self, client: "MlflowClient", run: str) -> None:
        self._client, self._run = client, run

    @property
    def exists(self) -> bool:
        """Whether a model was ever registered."""
        return bool(self._run)

    def read(self) -> tuple[AliasMove, ...]:
        """Read all moves, the oldest first.

        Raises:
            RegistryUnavailable: MLflow does not answer, or somebody changed the trail.
        """
        if not self._run:
            return ()
        with mlflow_call():
            parameters = self._client.get_run(self._run).data.params
        # Six digits in each name make the order of the names the order of the moves.
        lines = sorted(item for item in parameters.items() if item[0].startswith(_PREFIX))
        try:
            moves = tuple(AliasMove.model_validate_json(line) for _, line in lines)
        except ValidationError as error:
            raise RegistryUnavailable("the audit trail in MLflow holds a line that is not a move") from error
        # A gap shows that a line was deleted: the champion that follows from the rest may be wrong.
        if [move.number for move in moves] != list(range(1, len(moves) + 1)):
            raise RegistryUnavailable("the audit trail in MLflow has lost a line")
        return moves

    def append(
        self,
        moves: tuple[AliasMove, ...],
        kind: Literal["challenge", "promote", "rollback"],
        after: int,
        why: MoveReason,
    ) -> AliasState:
        """Write the next move after the moves that the caller has read.

        Returns:
            The aliases after the move.

        Raises:
            StaleView: Another process wrote the next move first.
            RegistryUnavailable: MLflow does not answer; ``read`` shows whether the move is written.
        """
        state = apply_moves(moves)
        move = AliasMove(
            number=len(moves) + 1,
            kind=kind,
            before=state.challenger if kind == "challenge" else state.champion,
            after=after,
            why=why,
            moved_at=datetime.now(UTC),
            token=token_hex(8),
        )
        self._write(move)
        return state.after(move)

    def _write(self, move: AliasMove) -> None:
        from mlflow.exceptions import MlflowException

        try:
            # MLflow gives this code if the parameter has another
            # value: another process wrote the move with this number.
            with mlflow_call("INVALID_PARAMETER_VALUE"):
                self._client.log_param(self._run, f"{_PREFIX}{move.number:06}", move.model_dump_json())
        except MlflowException as error:
            moves = self.read()
            if len(moves) < move.number:
                raise RegistryUnavailable("MLflow refuses to write the audit trail") from error
            if moves[move.number - 1] != move:
                other = moves[-1]
                raise StaleView(
                    f"{other.why.who} moved the {other.alias} to version {other.after} in the meantime"
                ) from error
