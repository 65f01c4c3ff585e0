"""What a reader can paste works: the marked blocks of the documents run against a running stack."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from proof.lab.running_stack import RunningStack, build_clean_environment
from tests.docs.markdown import ROOT, CodeBlock, code_blocks

_DOCUMENTS: Final = ("README.md", "docs/integrate.md")
_TIMEOUT_S: Final = 300
_PREAMBLE: Final = """\
set -euo pipefail
curl() { command curl --fail-with-body "$@"; }
"""


def _command_of(block: CodeBlock) -> str:
    """Give a block as a piece of a shell script; a block of Python becomes a program of its own."""
    if block.language == "python":
        return f"{sys.executable} - <<'END_OF_BLOCK'\n{block.content}END_OF_BLOCK\n"
    assert block.language == "sh"
    return block.content


def _write_script(document: str, stack: RunningStack, command: Path) -> str:
    """Give the marked blocks as one script, with the addresses of this stack in place of the usual ones."""
    blocks = [block for block in code_blocks((ROOT / document).read_text()) if block.is_tested]
    assert blocks
    script = _PREAMBLE + "".join(f"\n: block {i}\n{_command_of(block)}" for i, block in enumerate(blocks))
    return (
        script.replace("http://127.0.0.1:8000", stack.record.address)
        .replace("127.0.0.1:8000", stack.record.address.removeprefix("http://"))
        .replace("127.0.0.1:8001", stack.record.grpc_address)
        .replace(".venv/bin/pleura", str(command))
    )


def _write_command(folder: Path, stack: RunningStack) -> Path:
    """Write a command ``pleura`` that uses this stack."""
    command = folder / "pleura"
    arguments = f'--state "{stack.state.path}" "$@"'
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -m pleura.console.app {arguments}\n")
    command.chmod(0o755)
    return command


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_the_marked_blocks_run(document: str, stack: RunningStack, tmp_path: Path) -> None:
    """Each marked block of a document succeeds, in the order of the document, in one shell."""
    script = _write_script(document, stack, _write_command(tmp_path, stack))
    environment = build_clean_environment() | {"NO_PROXY": "127.0.0.1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-x", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "probability" in done.stdout
