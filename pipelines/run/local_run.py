"""Run the pipeline on one machine, against the stack that runs on it."""

import contextlib
import fcntl
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pipelines.gate.signature import generate_key
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.registration import MoveReason, Registration
from pipelines.registry.registry import Registry
from pipelines.rollout.local import LocalTarget
from pipelines.run.parameters import RunParameters
from pipelines.run.records import RunInProgress
from pipelines.run.step_output import StepOutput
from pleura.local.default_bundle import find_default_source
from pleura.local.object_store import build_store_client
from pleura.local.stack_settings import read_stack_settings
from pleura.local.state_folder import StateFolder
from pleura.object_bucket import ObjectBucket

_STORE_TIMEOUT_S: Final = 60.0
_NO_DATA_SET: Final = "0" * 64


class StackNotRunning(Exception):
    """No stack runs here, or the address of its journal is not known."""


@dataclass(frozen=True)
class LocalEnvironment:
    """The stack of this machine, as the environment of a run.

    ``state`` is its state folder. ``journal_dsn`` is the PostgreSQL connection string of its journal, if the
    stack was started with ``--postgres``.
    """

    state: Path
    journal_dsn: str | None = None

    @property
    def work(self) -> Path:
        """The folder that runs keep between their steps, and after a step whose process died."""
        return self.state / "pipelines"

    def step_environment(self) -> Mapping[str, str]:
        """The environment variables that the steps read.

        Raises:
            StackNotRunning: No stack runs, or ``journal_dsn`` of an external journal is missing.
        """
        record = StateFolder(self.state).read()
        if record is None or not record.is_running:
            raise StackNotRunning(f"no stack runs in {self.state}: start it with pleura up")
        settings = read_stack_settings(self.state, record)
        if self.journal_dsn:
            settings = {"PLEURA_JOURNAL_DSN": self.journal_dsn, **settings}
        if "PLEURA_JOURNAL_DSN" not in settings:
            raise StackNotRunning(
                "the stack uses an external PostgreSQL: set PLEURA_JOURNAL_DSN to its connection string"
            )
        return {
            **settings,
            "PLEURA_DECISION_KEY_FILE": str(self._make_key()),
            "PLEURA_WORK": str(self.work),
            "PLEURA_TARGET": "stack",
            "PLEURA_STACK": str(self.state),
            "PLEURA_CODE_VERSION": f"pleura {version('pleura')}",
        }

    def _make_key(self) -> Path:
        """Make the private key that signs the decisions, at the first run; give its file."""
        path = self.state / "decision_key.pem"
        with contextlib.suppress(FileExistsError):
            # Never replaced: decisions of earlier runs are verified with the key that signed them.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(generate_key())
        return path

    @contextlib.contextmanager
    def lock_run(self, run: str) -> Iterator[None]:
        """Keep other processes from advancing a run.

        Raises:
            RunInProgress: Another process advances the run.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / f"{run}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunInProgress(f"the run {run} is in progress") from error
            yield


def register_first_champion(stack: LocalEnvironment, registry: Registry, who: str) -> None:
    """Register the model that the stack serves as the first champion, unless there is a champion.

    Raises:
        TargetUnavailable: The stack does not serve exactly one model.
        InvalidBundle: The model that is served was not built from the source that comes with Pleura.
    """
    if registry.champion() is not None:
        return
    serving = LocalTarget(stack.state).serving_model()
    registry.store.upload(Path(serving.uri))
    source = registry.store.upload_source(serving.digest, find_default_source())
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
    reason = "the model that this stack serves; there was no champion to compare it with"
    registry.promote(number, MoveReason(who=who, reason=reason, override=reason), None)


def connect_bundle_store(environment: Mapping[str, str], bucket: str) -> BundleStore:
    """Connect to the bundles in the object store of the stack."""
    keys = environment["PLEURA_S3_ACCESS_KEY"], environment["PLEURA_S3_SECRET_KEY"]
    client = build_store_client(environment["PLEURA_S3_URL"], *keys, timeout_s=_STORE_TIMEOUT_S)
    objects = ObjectBucket(client, bucket)
    objects.make_bucket()
    return BundleStore(objects)


def run_locally(stack: LocalEnvironment, run: str, parameters: RunParameters) -> None:
    """Run the pipeline in processes of this machine; the steps inherit the environment of this process.

    KFP's local runner does not run the exit task after a failure, and ignores conditions within an exit
    handler. Therefore ``step_runner`` checks the conditions too, and the report is written here.

    Args:
        stack: The stack that the run works with.
        run: Name of the run.
        parameters: Parameters of the run.
    """
    from kfp import local

    from pipelines.run.pipeline import model_pipeline
    from pipelines.run.step_runner import write_report

    folder = stack.work / run
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "log").open("a", buffering=1) as log,  # line by line: a step can take hours
        contextlib.redirect_stdout(StepOutput(log, sys.stdout)),
    ):
        # KFP would make a virtual environment without our packages for each step. A failed step
        # must not end this function either: docs/decisions/0029, the report is written below.
        local.init(
            local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "kfp"), raise_on_error=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # KFP warns that it does not run in our image
            model_pipeline(parameters=parameters.to_json(), run=run)
        write_report(run, parameters.to_json())
