"""Run one step of a run, once. The components of the pipeline call this module."""

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
    "gate": ("gate_steps", "decide_by_gate"),
    "register": ("gate_steps", "register_challenger"),
    "replay": ("replay_steps", "replay_journal"),
    "roll_out": ("rollout_steps", "roll_out_challenger"),
    "conclude": ("rollout_steps", "conclude"),
}
"""The steps in their order: module and function. A module is imported late, because TensorFlow is slow."""
_REQUIRED_VERDICTS: Final[Mapping[str, tuple[str, str]]] = {
    "replay": ("register", "challenger"),
    "roll_out": ("replay", "passed"),
}
"""A step is skipped without this verdict of this earlier step: KFP's local runner ignores conditions."""
_LOCK_TIMEOUT_S: Final = 5.0
log = structlog.get_logger()


def run_step(step: str, run: str, parameters: str) -> str:
    """Run a step, unless this run has done it before.

    Returns:
        The verdict of the step; "skipped" if the verdict of an earlier step forbids it.

    Raises:
        ParametersChanged: The run was started with other parameters.
        RunInProgress: Another process is running a step of this run.
    """
    configure_logging("pipelines")
    context = _open_context(run, parameters)
    with _lock_folder(context.folder):
        # Under the lock: another process may just have done this step.
        result = context.records.read(step)
        if result is None and not _is_allowed(context, step):
            log.info("step_skipped", run=run, step=step)
            return "skipped"
        result = result or _run(context, step)
    log.info("step_done", run=run, step=step, verdict=result.verdict)
    return result.verdict


def _is_allowed(context: RunContext, step: str) -> bool:
    if step == "conclude":
        return context.records.read("roll_out") is not None
    if step not in _REQUIRED_VERDICTS:
        return True
    earlier_step, verdict = _REQUIRED_VERDICTS[step]
    earlier = context.records.read(earlier_step)
    return earlier is not None and earlier.verdict == verdict


def _run(context: RunContext, step: str) -> StepResult:
    log.info("step_begun", run=context.run, step=step)
    began_s = time.monotonic()
    try:
        module, function = STEPS[step]
        step_function: Callable[[RunContext], StepResult] = getattr(
            importlib.import_module(f"pipelines.run.{module}"), function
        )
        result = step_function(context)
    # Whatever a step raises must stand in the report of the run. It is raised again below.
    except Exception as error:
        failure = StepFailure(step=step, reason=f"{type(error).__name__}: {error}")
        log.error("step_failed", run=context.run, step=step, reason=failure.reason)
        # An unavailable store must not hide why the step failed.
        with contextlib.suppress(StoreUnavailable):
            context.records.write_failure(failure)
        raise
    result = result.model_copy(update={"seconds": round(time.monotonic() - began_s, 1)})
    context.records.write(result)
    return result


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from running a step of the same run in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # The kernel releases the lock of a process that is killed, so the run can be resumed at once.
    with (folder / "step.lock").open("w") as lock:
        end_s = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end_s:
                    raise RunInProgress(f"another process is running a step in {folder}") from error
                time.sleep(0.2)
        yield


def write_report(run: str, parameters: str) -> str:
    """Write the report of the run so far, as HTML and as Markdown.

    Returns:
        The URI of the report.
    """
    configure_logging("pipelines")
    context = _open_context(run, parameters)
    results = [result for result in map(context.records.read, STEPS) if result]
    summary = RunSummary(run, results, context.records.read_failure())
    context.records.write_file("report.md", markdown_summary(summary).encode(), "text/markdown")
    return context.records.write_file("run.html", html_summary(summary).encode(), "text/html")


def _open_context(run: str, parameters: str) -> RunContext:
    settings = Settings.read()
    context = RunContext(settings, RunParameters.from_json(parameters), run)
    context.records.begin(context.parameters)
    return context
