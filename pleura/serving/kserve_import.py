"""Import kserve without pandas and the Kubernetes client, which a model server never uses.

kserve 0.21 imports both for its data frames and its control-plane client: 107 MB of memory, and more than
half of a service's start. While this module imports kserve, empty modules replace them. Afterwards an import
of pandas gives the real one. All other modules take kserve's names from here.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# a start takes 2.2 s and 129 MB without them, 4.3 s and 235 MB with them (docs/decisions/0022)
_UNUSED_PACKAGES = ("kubernetes", "pandas")


class _EmptyModule(ModuleType):
    """A module in which any name is an empty class, so that annotations and ``isinstance`` find one."""

    def __getattr__(self, name: str) -> Any:
        # the import system looks for such names, and must not find a class under them
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _EmptyPackages(MetaPathFinder, Loader):
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def replaces(self, name: str) -> bool:
        """Tell whether a module belongs to one of the packages."""
        return name.partition(".")[0] in self._packages

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Claim the modules of the packages."""
        return ModuleSpec(fullname, self, is_package=True) if self.replaces(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Create an empty module."""
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty."""


@contextmanager
def _empty_packages(packages: Sequence[str]) -> Iterator[None]:
    # a package that is loaded already is in use
    finder = _EmptyPackages([name for name in packages if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if finder.replaces(name)]:
            del sys.modules[name]


with _empty_packages(_UNUSED_PACKAGES):
    from kserve import InferInput, InferOutput, InferRequest, InferResponse, ModelServer
    from kserve import Model as KServeModel
    from kserve.model import InferenceVerb
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as grpc_messages
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
    from kserve.protocol.infer_type import RequestedOutput, to_grpc_parameters, to_http_parameters
    from kserve.protocol.rest.server import RESTServer

__all__ = [
    "GRPCInferenceServiceStub",
    "InferInput",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "InferenceVerb",
    "KServeModel",
    "ModelServer",
    "RESTServer",
    "RequestedOutput",
    "grpc_messages",
    "to_grpc_parameters",
    "to_http_parameters",
]
