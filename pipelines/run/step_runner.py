"""One step of a run, done once: what a component of the pipeline calls."""

import contextlib
import fcntl
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog

from pipelines.reports.run_summary import RunSummary, html_summary, markdown_summary
from pipelines.run.context import RunContext
from pipelines.run.parameters import RunParameters
from pipelines.run.records import RunInProgress, StepFailure, StepResult
from pipelines.run.settings import Settings
from pleura.errors import StoreUnavailable
from pleura.observability.logs import configure_logging

STEPS: Final[Mapping[str, tuple[str, str]]] = {
    "validate_data": ("data_steps", "validate_data"),
    "train": ("training_steps", "train_challenger"),
    "judge": ("evaluation_steps", "evaluate_challenger"),
    "gate": ("evaluation_steps", "compare"),
    "register": ("evaluation_steps", "register_challenger"),
    "replay": ("evaluation_steps", "replay_journal"),
    "roll_out": ("rollout_steps", "roll_out_challenger"),
    "conclude": ("rollout_steps", "conclude"),
}
"""The steps in their order: module and function, imported when they are done, for TensorFlow takes long."""
_ONLY_AFTER: Final[Mapping[str, tuple[str, str]]] = {
    "replay": ("register", "challenger"),
    "roll_out": ("replay", "passed"),
}
"""The verdict without which a step does nothing, whatever the wiring around it believes."""
_WAIT_S: Final = 5.0
log = structlog.get_logger()


def run_step(step: str, run: str, parameters: str) -> str:
    """Do a step, unless this run has done it before.

    Returns:
        Its verdict, by which the pipeline goes on; "skipped" where an earlier one forbids the step.

    Raises:
        OtherRun: The run was begun with other parameters.
        UnderWay: A step of this run is being done, by a process that was left behind perhaps.
    """
    configure_logging("pipelines")
    context = _open(run, parameters)
    with _alone(context.folder):
        done = context.records.read(step)
        if done is None and not _may(context, step):
            log.info("step_skipped", run=run, step=step)
            return "skipped"
        done = done or _do(context, step)
    log.info("step_done", run=run, step=step, verdict=done.verdict)
    return done.verdict


def _may(context: RunContext, step: str) -> bool:
    if step == "conclude":
        return context.records.read("roll_out") is not None
    before, verdict = _ONLY_AFTER.get(step, ("", ""))
    done = context.records.read(before) if before else None
    return not before or (done is not None and done.verdict == verdict)


def _do(context: RunContext, step: str) -> StepResult:
    log.info("step_begun", run=context.run, step=step)
    began_s = time.monotonic()
    try:
        module, function = STEPS[step]
        do: Callable[[RunContext], StepResult] = getattr(
            importlib.import_module(f"pipelines.run.{module}"), function
        )
        done = do(context)
    except Exception as error:
        failure = StepFailure(step=step, reason=f"{type(error).__name__}: {error}")
        log.error("step_failed", run=context.run, step=step, reason=failure.reason)
        with contextlib.suppress(StoreUnavailable):
            context.records.note_failure(failure)
        raise
    done = done.model_copy(update={"seconds": round(time.monotonic() - began_s, 1)})
    context.records.keep(done)
    return done


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Do nothing while another process does a step of the same run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "step.lock").open("w") as lock:
        end_s = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end_s:
                    raise RunInProgress(f"a step is being done in {folder}") from error
                time.sleep(0.2)
        yield


def write_report(run: str, parameters: str) -> str:
    """Write down how the run went so far.

    Returns:
        The URI of the report.
    """
    configure_logging("pipelines")
    context = _open(run, parameters)
    done = [each for each in map(context.records.read, STEPS) if each]
    story = RunSummary(run, done, context.records.failure())
    context.records.write("report.md", markdown_summary(story).encode(), "text/markdown")
    return context.records.write("run.html", html_summary(story).encode(), "text/html")


def _open(run: str, parameters: str) -> RunContext:
    settings = Settings.read()
    context = RunContext(settings, RunParameters.from_json(parameters), run)
    context.records.begin(context.parameters)
    return context
