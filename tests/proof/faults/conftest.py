"""Fixtures that put fault proxies in front of servers."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from proof.faults.proxy import FaultProxy
from tests.transformer.conftest import bucket as bucket

StartFaultProxy = Callable[[int], FaultProxy]


@pytest.fixture
def start_fault_proxy() -> Iterator[StartFaultProxy]:
    """Start fault proxies in front of servers by their ports, and stop them after the test."""
    with contextlib.ExitStack() as proxies:

        def start(port: int) -> FaultProxy:
            proxy = FaultProxy(port)
            proxies.callback(proxy.stop)
            return proxy

        yield start
