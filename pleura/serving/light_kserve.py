"""kserve without what a model server never uses: imported first, by the services alone.

kserve 0.21 imports pandas and the whole Kubernetes client for its data frames and its control-plane client.
They are 107 MB of a service's memory and more than half of its start. Where this module is imported before
kserve, they are stood in for by empty modules while kserve is imported, and by nothing afterwards: whoever
else imports them gets the real ones.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_UNUSED = ("kubernetes", "pandas")


class _Empty(ModuleType):
    """A module in which any name is an empty class, so that annotations and ``isinstance`` find one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _StandIns(MetaPathFinder, Loader):
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def stands_in_for(self, name: str) -> bool:
        """Whether a module belongs to one of the packages."""
        return name.partition(".")[0] in self._packages

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Claim the modules of the packages."""
        return ModuleSpec(fullname, self, is_package=True) if self.stands_in_for(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give an empty module."""
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


@contextmanager
def _without(packages: Sequence[str]) -> Iterator[None]:
    stand_ins = _StandIns([each for each in packages if each not in sys.modules])
    sys.meta_path.insert(0, stand_ins)
    try:
        yield
    finally:
        sys.meta_path.remove(stand_ins)
        for name in [each for each in sys.modules if stand_ins.stands_in_for(each)]:
            del sys.modules[name]


with _without(_UNUSED):
    import kserve as kserve
