"""Go modules that the tests need: the renderer of the manifests, and the schemas of custom resources."""

import json
import os
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_GO: Final = str(Path(sysconfig.get_path("scripts")) / "go")
_PROGRAMS: Final = ROOT / "build" / "bin"
_KUSTOMIZE: Final = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
"""The version that kubectl 1.35 contains."""


@cache
def download_module(module: str) -> Path:
    """Download a Go module, and return its folder."""
    return Path(json.loads(_run_go("mod", "download", "-json", module))["Dir"])


@cache
def install_kustomize() -> Path:
    """Build Kustomize if it is missing, and return the program."""
    program = _PROGRAMS / "kustomize"
    if not program.exists():
        _run_go("install", _KUSTOMIZE)
    return program


def _run_go(*arguments: str) -> str:
    own = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOBIN": str(_PROGRAMS)}
    done = subprocess.run(
        [_GO, *arguments],
        cwd="/",  # outside of any Go module
        env={**os.environ, **own},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"go {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout
