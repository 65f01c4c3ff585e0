"""Show the progress of a local run: one line on the screen for each event of a step, all output in a file."""

import io
import json
from typing import TextIO


class StepOutput(io.TextIOBase):
    """Writes all output to a file, and one line for each event of a step to the screen."""

    def __init__(self, log: TextIO, screen: TextIO) -> None:
        self._log, self._screen, self._rest = log, screen, ""

    def write(self, text: str) -> int:
        """Write the text to the file, and describe its complete lines on the screen."""
        self._log.write(text)
        # A write may end in the middle of a line.
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if description := describe_log_line(line):
                self._screen.write(f"{description}\n")
                self._screen.flush()
        return len(text)

    def flush(self) -> None:
        """Flush the file."""
        self._log.flush()


def describe_log_line(line: str) -> str:
    """Describe a line of a step's log to the user; empty if the line is about something else."""
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
