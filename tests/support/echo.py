"""A model server that returns its input: ``python echo.py HTTP_PORT GRPC_PORT DRAIN_S``.

With ``ECHO_KEY`` in the environment it requires this service key.
"""

import asyncio
import os
import sys
from typing import Any

import numpy as np

from pleura.allowed_hosts import AllowedHosts
from pleura.bundle import ModelDescription
from pleura.contract import TensorSpec
from pleura.errors import RefusedRadiograph
from pleura.service_key import ServiceKeys
from pleura.serving.model import DescribedModel, Model
from pleura.serving.server import KServeServer, ServerOptions
from pleura.serving.v2 import make_response, select_outputs
from pleura.serving.v2_tensors import array_of_input


class EchoModel(Model):
    """Outputs ``x``, the BYTES input, and ``length``, INT32."""

    inputs = (TensorSpec("x", "BYTES", (-1,)),)
    outputs = (TensorSpec("x", "BYTES", (-1,)), TensorSpec("length", "INT32", (-1,)))

    def __init__(self) -> None:
        super().__init__("echo")

    async def describe(self) -> DescribedModel:
        """Describe version 7, with no other field."""
        return DescribedModel(ModelDescription.model_construct(version="7"), "0" * 64)

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Return the input. b"slow" outlasts a short drain, b"hang" any test. b"boom" and b"refuse" fail."""
        elements = array_of_input(payload.inputs[0])
        if b"hang" in elements.ravel().tolist():
            await asyncio.sleep(25)
        if b"slow" in elements.ravel().tolist():
            await asyncio.sleep(3.0)
        if b"boom" in elements.ravel().tolist():
            raise ZeroDivisionError("a secret detail")
        if b"refuse" in elements.ravel().tolist():
            raise RefusedRadiograph("element 0: refused", reason="blank")
        lengths = np.array([len(e) for e in elements.ravel()], np.int32)
        outputs = {"x": elements, "length": lengths}
        names = select_outputs(payload, self.outputs, ("length",))
        return make_response(payload, "7", {name: outputs[name] for name in names}, {"note": "hello"})


if __name__ == "__main__":
    http_port, grpc_port, drain_s = (int(sys.argv.pop(1)) for _ in range(3))
    key = os.environ.get("ECHO_KEY", "")
    keys, hosts = ServiceKeys.parse(key, trusts_network=not key), AllowedHosts.parse("")
    KServeServer(ServerOptions("127.0.0.1", http_port, grpc_port, 1, keys, hosts, drain_s)).serve(EchoModel())
