"""NVIDIA's gRPC client in a process of its own: its generated messages and kserve's cannot live in one."""

import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call of ``tritonclient.grpc``: ``infer`` with inputs by name, or a method with ``arguments``."""

    address: str
    method: str = "infer"
    arguments: tuple[Any, ...] = ()
    inputs: dict[str, tuple[str, Any]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    request_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    timeout_s: float | None = None

    def __call__(self) -> Any:
        """Make the call.

        Returns:
            For ``infer`` a dict: ``id``, ``model_version``, ``parameters`` and ``outputs``, arrays by name;
            for other methods what the client gives, as JSON has it.

        Raises:
            CallFailed: The server answered with a status other than OK.
        """
        done = subprocess.run(
            [sys.executable, __file__], input=pickle.dumps(vars(self)), stdout=subprocess.PIPE, check=True
        )
        result = pickle.loads(done.stdout)
        if isinstance(result, tuple):
            raise CallFailed(*result)
        return result


class CallFailed(Exception):
    """A call ended with a gRPC status and message."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


def _infer(client: Any, call: dict[str, Any]) -> dict[str, Any]:
    from tritonclient import grpc as triton

    inputs = []
    for name, (datatype, array) in call["inputs"].items():
        infer_input = triton.InferInput(name, list(array.shape), datatype)
        infer_input.set_data_from_numpy(array)
        inputs.append(infer_input)
    result = client.infer(
        *call["arguments"],
        inputs,
        outputs=[triton.InferRequestedOutput(name) for name in call["outputs"]] or None,
        request_id=call["request_id"],
        headers=call["headers"] or None,
        client_timeout=call["timeout_s"],
    )
    response = result.get_response()
    parameters = {k: getattr(v, v.WhichOneof("parameter_choice")) for k, v in response.parameters.items()}
    return {
        "id": response.id,
        "model_version": response.model_version,
        "parameters": parameters,
        "outputs": {output.name: result.as_numpy(output.name) for output in response.outputs},
    }


def _main() -> None:
    from tritonclient import grpc as triton

    call = pickle.load(sys.stdin.buffer)
    client = triton.InferenceServerClient(call["address"])
    try:
        if call["method"] == "infer":
            result: Any = _infer(client, call)
        else:
            headers = call["headers"] or None
            as_json = {"as_json": True} if "metadata" in call["method"] else {}
            result = getattr(client, call["method"])(*call["arguments"], headers=headers, **as_json)
    except triton.InferenceServerException as error:
        result = (str(error.status()), str(error.message()))
    sys.stdout.buffer.write(pickle.dumps(result))


if __name__ == "__main__":
    _main()
