"""A run of the pipeline on one machine, against the stack that runs on it."""

import contextlib
import fcntl
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, TextIO

from pipelines.gate.signature import generate_key
from pipelines.object_store import ObjectStore
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.registration import MoveReason, Registration
from pipelines.registry.registry import Registry
from pipelines.rollout.local import LocalTarget
from pipelines.run.parameters import RunParameters
from pipelines.run.records import RunInProgress
from pleura.local.default_bundle import default_source
from pleura.local.object_store import store_client
from pleura.local.state_folder import StackRecord, StateFolder

_TIMEOUT_S: Final = 60.0
_NO_DATA_SET: Final = "0" * 64


class StackNotRunning(Exception):
    """No stack runs here, or it is not known where its journal is."""


@dataclass(frozen=True)
class LocalEnvironment:
    """The stack of this machine, and where a run keeps what it needs of it.

    ``journal_dsn`` is the PostgreSQL connection string of a stack whose journal is not its own.
    """

    state: Path
    journal_dsn: str | None = None

    @property
    def work(self) -> Path:
        """The folder that runs keep between their steps."""
        return self.state / "pipelines"

    def environment(self) -> Mapping[str, str]:
        """What the steps read from their environment.

        Raises:
            NoStack: None runs, or its journal is elsewhere and nobody says where.
        """
        recorded = StateFolder(self.state).read()
        if recorded is None or not recorded.is_running:
            raise StackNotRunning(f"no stack runs in {self.state}: start it with pleura up")
        return {
            "PLEURA_S3_URL": recorded.store["url"],
            "PLEURA_S3_ACCESS_KEY": recorded.store["access_key"],
            "PLEURA_S3_SECRET_KEY": recorded.store["secret_key"],
            "PLEURA_MLFLOW_URI": f"sqlite:///{self.state / 'mlflow.db'}",
            "PLEURA_JOURNAL_DSN": self._journal(recorded),
            "PLEURA_DECISION_KEY_FILE": str(self._key()),
            "PLEURA_WORK": str(self.work),
            "PLEURA_TARGET": "stack",
            "PLEURA_STACK": str(self.state),
            "PLEURA_CODE_VERSION": f"pleura {version('pleura')}",
        }

    def _journal(self, recorded: StackRecord) -> str:
        """The embedded journal, or the one that ``pleura up --postgres`` was given."""
        if "postgres" not in recorded.parts:
            if self.journal_dsn:
                return self.journal_dsn
            raise StackNotRunning("the stack's PostgreSQL is not its own: name it in PLEURA_JOURNAL_DSN")
        password = (self.state / "postgres" / "password").read_text()
        return f"postgresql://pleura:{password}@{recorded.parts['postgres'].url}"

    def _key(self) -> Path:
        """The key that decisions are signed with here, made at the first run."""
        path = self.state / "decision_key.pem"
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(generate_key())
        return path

    @contextlib.contextmanager
    def leading(self, run: str) -> Iterator[None]:
        """Be the only one who leads a run.

        Raises:
            UnderWay: Another process does.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / f"{run}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunInProgress(f"the run {run} is under way") from error
            yield


def register_first_champion(stack: LocalEnvironment, registry: Registry, who: str) -> None:
    """Where the registry has no champion yet, register the model that is served as the first.

    Raises:
        TargetUnavailable: The stack does not serve one model alone.
        InvalidBundle: What is served was not built from the source that comes with Pleura.
    """
    if registry.champion() is not None:
        return
    serving = LocalTarget(stack.state).serving_model()
    registry.store.upload(Path(serving.uri))
    source = registry.store.upload_source(serving.digest, default_source())
    registration = Registration(
        digest=serving.digest,
        dataset_digest=_NO_DATA_SET,
        code_version="as it came",
        parameters={"source": source},
        figures={},
        report_uri="",
        judgement_uri="",
    )
    number = registry.register(registration).number
    reason = "the model that this stack serves; there was none to compare it with"
    registry.promote(number, MoveReason(who=who, reason=reason, override=reason), None)


def connect_bundle_store(environment: Mapping[str, str], bucket: str) -> BundleStore:
    """The bundles of the stack."""
    keys = environment["PLEURA_S3_ACCESS_KEY"], environment["PLEURA_S3_SECRET_KEY"]
    client = store_client(environment["PLEURA_S3_URL"], *keys, timeout_s=_TIMEOUT_S)
    objects = ObjectStore(client, bucket)
    objects.make_bucket()
    return BundleStore(objects)


class _Sieve(io.TextIOBase):
    """Takes what KFP and the steps print: all of it into a file, what people want to know onto the screen."""

    def __init__(self, log: TextIO, screen: TextIO) -> None:
        self._log, self._screen, self._rest = log, screen, ""

    def write(self, text: str) -> int:
        """Keep the text, and tell of the steps in it."""
        self._log.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if words := describe_log_line(line):
                self._screen.write(f"{words}\n")
                self._screen.flush()
        return len(text)

    def flush(self) -> None:
        """Hand over what is kept back."""
        self._log.flush()


def describe_log_line(line: str) -> str:
    """What a line of a step's log says to people; nothing where it says nothing to them."""
    try:
        event = json.loads(line.strip())
    except ValueError:
        return ""
    match event:
        case {"event": "step_begun", "step": step}:
            return f"  {step} ..."
        case {"event": "step_done", "step": step, "verdict": verdict}:
            return f"  {step}: {verdict}"
        case {"event": "epoch_ended", "epoch": epoch, "of": of, "auroc": auroc, "loss": loss}:
            return f"    epoch {epoch} of {of}: loss {loss}, mean AUROC on validation {auroc}"
        case {"event": "step_failed", "step": step, "reason": reason}:
            return f"  {step} failed: {reason}"
    return ""


def run_locally(stack: LocalEnvironment, run: str, parameters: RunParameters) -> None:
    """Run the pipeline in processes of this machine; the environment is that of the steps.

    KFP's local runner runs no exit task after a failure, and does not look at conditions within an exit
    handler: the steps themselves see what they may do, and the report is written here.

    Args:
        stack: What it runs against.
        run: Name of the run.
        parameters: What decides it.
    """
    from kfp import local

    from pipelines.run.pipeline import model_pipeline
    from pipelines.run.step_runner import write_report

    folder = stack.work / run
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("a") as log, contextlib.redirect_stdout(_Sieve(log, sys.stdout)):
        local.init(
            local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "kfp"), raise_on_error=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that our image is not the one it runs in
            model_pipeline(parameters=parameters.to_json(), run=run)
        write_report(run, parameters.to_json())
