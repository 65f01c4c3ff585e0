"""Fault proxies before servers."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from proof.faults.proxy import FaultProxy
from tests.transformer.conftest import bucket as bucket

Before = Callable[[int], FaultProxy]


@pytest.fixture
def before() -> Iterator[Before]:
    """Gives a fault proxy before the server on a port."""
    with contextlib.ExitStack() as proxies:

        def start(port: int) -> FaultProxy:
            proxy = FaultProxy(port)
            proxies.callback(proxy.stop)
            return proxy

        yield start
