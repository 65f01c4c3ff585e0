"""Make a base from Debian's packages, where no registry of images can be reached.

It holds Python 3.11, certificates and the libraries that the wheels need. It has no package manager, and a
shell only where that is asked for.
"""

from pathlib import Path
from typing import Final

from manifests.images.context import run

_SUITE: Final = "bookworm"
_PACKAGES: Final = ("python3", "ca-certificates", "libgomp1", "libstdc++6", "netbase", "tzdata")
_SHELL: Final = ("dash",)
# nothing of a package is run, so that what the packages' scripts would do is done here
_CUSTOMIZE: Final = (
    'mkdir -p "$1/etc/ssl/certs" "$1/tmp" "$1/mnt/models" && chmod 1777 "$1/tmp"',
    'cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"',
    'rm -rf "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale "$1"/var/lib/apt "$1"/var/cache/apt',
    'echo "nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin" >> "$1/etc/passwd"',
    'echo "nonroot:x:65532:" >> "$1/etc/group"',
)


def make_base(archive: Path, with_shell: bool) -> None:
    """Write the file system of a base as a tar archive. It needs root and the Debian package mmdebstrap.

    Raises:
        BuildFailed: mmdebstrap is missing, or ends with an error. There is no archive then.
    """
    packages = ",".join((*_PACKAGES, *(_SHELL if with_shell else ())))
    hooks = [f"--customize-hook={hook}" for hook in _CUSTOMIZE]
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_name(f"draft-{archive.name}")
    run("mmdebstrap", "--quiet", "--variant=extract", f"--include={packages}", *hooks, _SUITE, str(draft))
    draft.rename(archive)
