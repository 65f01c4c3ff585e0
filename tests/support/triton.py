"""NVIDIA's gRPC client in a process of its own, because its generated messages clash with kserve's."""

import pickle
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TritonCall:
    """One call of ``tritonclient.grpc``: ``infer`` with inputs by name, or a method with ``arguments``."""

    address: str
    method: str = "infer"
    arguments: tuple[Any, ...] = ()
    inputs: dict[str, tuple[str, Any]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    request_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    compression: str | None = None
    version: str = ""

    def __call__(self) -> Any:
        """Make the call in a new process, as ``TritonClient.send`` does."""
        with closing(TritonClient()) as client:
            return client.send(self)


class CallFailed(Exception):
    """A call ended with a gRPC status and message."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


class TritonClient:
    """The client's process, for any number of calls."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def send(self, call: TritonCall) -> Any:
        """Make a call.

        Returns:
            For ``infer`` a dict: ``id``, ``model_version``, ``parameters`` and ``outputs``, arrays by name;
            for other methods the result of the client in JSON form.

        Raises:
            CallFailed: The server answered with a status other than OK.
        """
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(vars(call), self._process.stdin)
        self._process.stdin.flush()
        result = pickle.load(self._process.stdout)
        if isinstance(result, tuple):
            raise CallFailed(*result)
        return result

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _call_infer(client: Any, call: dict[str, Any]) -> dict[str, Any]:
    from tritonclient import grpc as triton

    inputs = []
    for name, (datatype, array) in call["inputs"].items():
        infer_input = triton.InferInput(name, list(array.shape), datatype)
        infer_input.set_data_from_numpy(array)
        inputs.append(infer_input)
    result = client.infer(
        *call["arguments"],
        inputs,
        model_version=call["version"],
        outputs=[triton.InferRequestedOutput(name) for name in call["outputs"]] or None,
        request_id=call["request_id"],
        headers=call["headers"] or None,
        client_timeout=call["timeout_s"],
        parameters=call["parameters"] or None,
        compression_algorithm=call["compression"],
    )
    response = result.get_response()
    parameters = {k: getattr(v, v.WhichOneof("parameter_choice")) for k, v in response.parameters.items()}
    return {
        "id": response.id,
        "model_version": response.model_version,
        "parameters": parameters,
        "outputs": {output.name: result.as_numpy(output.name) for output in response.outputs},
    }


def _make_call(call: dict[str, Any]) -> Any:
    from tritonclient import grpc as triton

    with closing(triton.InferenceServerClient(call["address"])) as client:
        try:
            if call["method"] == "infer":
                return _call_infer(client, call)
            headers = call["headers"] or None
            as_json = {"as_json": True} if "metadata" in call["method"] else {}
            return getattr(client, call["method"])(*call["arguments"], headers=headers, **as_json)
        except triton.InferenceServerException as error:
            return str(error.status()), str(error.message())


def _main() -> None:
    while True:
        try:
            call = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(_make_call(call), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
