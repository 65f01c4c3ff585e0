"""Python client of Pleura: V2 with binary tensors over REST.

It needs only httpx and numpy, and nothing of the services.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from pleura.classification import Finding, rank_findings
from pleura.contract import FINDING_HEADER
from pleura.findings import FINDINGS

_LENGTH_HEADER: Final = "inference-header-content-length"
_OUTPUTS: Final = ("probability", "present", "threshold", "typicality", "activation_map")
_DTYPES: Final = {"FP32": np.dtype("<f4"), "BOOL": np.dtype("?")}


class RequestFailed(Exception):
    """Pleura did not answer. The text gives the reason.

    ``status``, ``code`` and ``request_id`` are those of Pleura's error; None where no error of Pleura came.
    """

    def __init__(
        self, text: str, status: int | None = None, code: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(text)
        self.status, self.code, self.request_id = status, code, request_id


@dataclass(frozen=True)
class AnswerWarning:
    """What an answer tells of a radiograph besides the findings."""

    code: str
    text: str


@dataclass(frozen=True)
class ClassifiedRadiograph:
    """The answer for one radiograph. ``activation_map`` is float32, (findings, rows, columns)."""

    findings: tuple[Finding, ...]
    typicality: float
    model_version: str
    model_digest: str
    preprocessing_version: str
    cached: bool
    journal: str
    activation_map: NDArray[np.float32]
    request_id: str
    warnings: tuple[AnswerWarning, ...] = ()

    @property
    def ranked(self) -> tuple[Finding, ...]:
        """The findings in the order in which a reader should see them."""
        return rank_findings(self.findings)


class Client:
    """A connection to one Pleura service, with a bearer token."""

    def __init__(self, url: str, token: str, timeout_s: float = 30.0) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self._measured: dict[str, Mapping[str, bool]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def read_id(self, image_id: str) -> ClassifiedRadiograph:
        """Read a radiograph of the object store.

        Raises:
            RequestFailed: Pleura did not answer.
        """
        return self._read("image_id", image_id.encode())

    def read_file(self, file: bytes) -> ClassifiedRadiograph:
        """Read the radiograph of a file.

        Raises:
            RequestFailed: Pleura did not answer.
        """
        return self._read("image", file)

    def classify_id(self, image_id: str) -> str:
        """Classify a radiograph of the object store.

        Returns:
            The JSON body of ``POST /classify``, unchanged.

        Raises:
            RequestFailed: Pleura did not answer.
        """
        return self._send("POST", "/classify", json={"image_id": image_id}).text

    def classify_file(self, file: bytes) -> str:
        """Classify the bytes of a file.

        Returns:
            The JSON body of ``POST /classify``, unchanged.

        Raises:
            RequestFailed: Pleura did not answer.
        """
        # a fixed name, since the file's own may be a patient's (docs/decisions/0031)
        return self._send("POST", "/classify", files={"file": ("radiograph", file)}).text

    def give_feedback(self, document: Mapping[str, Any], feedback_id: str) -> dict[str, Any]:
        """Send verdicts on an answer. A repetition under the same id is stored once.

        Returns:
            The stored verdicts.

        Raises:
            RequestFailed: Pleura did not confirm that it stored them.
        """
        response = self._send("POST", "/feedback", json=document, headers={"x-request-id": feedback_id})
        stored: dict[str, Any] = response.json()
        return stored

    def show_answer(self, request_id: str, answered_to: str | None = None) -> dict[str, Any]:
        """Show what was answered to a request.

        Raises:
            RequestFailed: There is no such answer, or Pleura did not answer.
        """
        return self._get_json(f"/answers/{quote(request_id, safe='')}", answered_to=answered_to)

    def find_answers(self, **query: str | int | None) -> dict[str, Any]:
        """Find answers by identifiers of their radiographs: one page, newest first.

        Raises:
            RequestFailed: Pleura did not answer.
        """
        return self._get_json("/answers", **query)

    def draw_overlay(self, request_id: str, **query: str | int | None) -> tuple[bytes, str]:
        """Have the overlay of an answer drawn.

        Returns:
            The PNG, and the finding that it shows.

        Raises:
            RequestFailed: There is no such answer, or its overlay cannot be drawn any more.
        """
        path = f"/answers/{quote(request_id, safe='')}/overlay"
        response = self._send("GET", path, params=_select_given(query))
        return response.content, response.headers.get(FINDING_HEADER, "")

    def _get_json(self, path: str, **query: str | int | None) -> dict[str, Any]:
        document: dict[str, Any] = self._send("GET", path, params=_select_given(query)).json()
        return document

    def _read(self, name: str, element: bytes) -> ClassifiedRadiograph:
        body, length = write_request(name, element)
        headers = {"content-type": "application/octet-stream", _LENGTH_HEADER: str(length)}
        response = self._send("POST", "/v2/models/chest-xray/infer", content=body, headers=headers)
        try:
            document, arrays = read_response(
                response.content, int(response.headers.get(_LENGTH_HEADER, len(response.content)))
            )
            measured = self._read_measured(document["parameters"]["model_digest"])
            return read_classification(document, arrays, measured)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RequestFailed("the response is not a V2 response of this model") from error

    def _send(self, verb: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(verb, path, **arguments)
        except httpx.HTTPError as error:
            raise RequestFailed(
                f"{self._http.base_url} does not answer: {error or type(error).__name__}"
            ) from error
        if response.is_success:
            return response
        try:
            document = dict(response.json())
        except (ValueError, TypeError):
            document = {}
        raise RequestFailed(
            f"{document.get('error', 'no reason given')} (status {response.status_code})",
            response.status_code,
            document.get("code"),
            document.get("request_id"),
        )

    def _read_measured(self, digest: str) -> Mapping[str, bool]:
        if digest not in self._measured:
            try:
                info = self._send("GET", "/model-info").json()
                self._measured[info["digest"]] = {f["name"]: f["measured"] for f in info["findings"]}
            except (RequestFailed, ValueError, KeyError, TypeError):
                return {}  # a token may lack the scope model:read; the findings do not depend on it
        return self._measured.get(digest, {})


def _select_given(query: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in query.items() if value is not None}


def write_request(name: str, element: bytes) -> tuple[bytes, int]:
    """Write a V2 request for one radiograph.

    Returns:
        The body, and the length of its JSON part.
    """
    raw = struct.pack("<I", len(element)) + element
    tensor = {
        "name": name,
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": len(raw)},
    }
    outputs = [{"name": output, "parameters": {"binary_data": True}} for output in _OUTPUTS]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    return head + raw, len(head)


def read_response(body: bytes, length: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a V2 response whose outputs are binary tensors.

    Returns:
        Its JSON part, and the outputs by name.
    """
    document, arrays, offset = json.loads(body[:length]), {}, length
    for output in document["outputs"]:
        size, dtype = output["parameters"]["binary_data_size"], _DTYPES[output["datatype"]]
        array = np.frombuffer(body, dtype, size // dtype.itemsize, offset)
        arrays[output["name"]] = array.reshape(output["shape"])
        offset += size
    return document, arrays


def read_classification(
    document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], measured: Mapping[str, bool]
) -> ClassifiedRadiograph:
    """Convert the first element of a V2 response to a classified radiograph."""
    parameters = document["parameters"]
    findings = tuple(
        Finding(
            name,
            float(arrays["probability"][0, position]),
            float(arrays["threshold"][position]),
            bool(arrays["present"][0, position]),
            measured.get(name),
        )
        for position, name in enumerate(FINDINGS)
    )
    return ClassifiedRadiograph(
        findings,
        float(arrays["typicality"][0]),
        document["model_version"],
        parameters["model_digest"],
        parameters["preprocessing_version"],
        bool(parameters["cached"]),
        parameters["journal"],
        arrays["activation_map"][0],
        document["id"],
        tuple(
            AnswerWarning(str(each["code"]), str(each["text"]))
            for each in json.loads(parameters.get("warnings", "[]"))
        ),
    )
