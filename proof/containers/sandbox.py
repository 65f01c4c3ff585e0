"""Run an image as a pod would: its own root, read-only, as user 65532, and no variable of this machine.

It needs root and Buildah, and no runtime of containers: the root of the image is mounted in a mount namespace
of its own, and the process shares the network of this machine.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_USER: Final = "65532"
_WRITABLE: Final = ("tmp", "mnt/models", "var/lib/pleura/spool")
_UNSHARE: Final = (
    "/usr/bin/unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
)
# $1 is the root; what follows is the command
_ENTER: Final = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root"
for folder in WRITABLE; do mount -t tmpfs -o mode=1777 tmpfs "$root/$folder"; done
exec /usr/sbin/chroot --userspec=USER:USER "$root" "$@"
""".replace("WRITABLE", " ".join(_WRITABLE)).replace("USER", _USER)


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def mount_image(reference: str) -> Iterator[Path]:
    """Mount the root of an image."""
    container = _buildah("from", "--pull-never", reference)
    try:
        root = Path(_buildah("mount", container))
        # a runtime makes the mount points of a pod's volumes, also in a read-only root
        for folder in ("proc", "dev", "sys", *_WRITABLE):
            (root / folder).mkdir(parents=True, exist_ok=True)
        yield root
    finally:
        _buildah("rm", container)


def read_command(reference: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """Read the entry point and the variables of an image."""
    config = json.loads(_buildah("inspect", "--type", "image", reference))["OCIv1"]["config"]
    variables = dict(variable.split("=", 1) for variable in config["Env"])
    if config["User"] != f"{_USER}:{_USER}":
        raise ValueError(f"{reference} runs as {config['User']}")
    return config["Entrypoint"], variables


def start_image(
    reference: str, root: Path, settings: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start an image whose root is mounted, with these settings in its environment."""
    command, variables = read_command(reference)
    with log.open("wb") as file:
        return subprocess.Popen(
            [*_UNSHARE, "/bin/sh", "-c", _ENTER, "sh", str(root), *command],
            env={**variables, **settings},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
