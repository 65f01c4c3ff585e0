"""Send requests to a whole stack, and keep all answers."""

import http.client
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import grpc

from pleura.service_key import SERVICE_KEY_HEADER
from proof.lab.running_stack import RunningStack
from tests.support.collector import Collector
from tests.support.planted.requests import PlantedRequest

METHOD = "/inference.GRPCInferenceService/"
REQUESTS_AT_ONCE = 6
TIMEOUT_S = 60
Text = tuple[str, bytes]


@dataclass
class StackCaller:
    """Sends requests to a stack, and keeps all answers."""

    stack: RunningStack
    collector: Collector
    token: str
    answers: list[Text] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)

    def send_rest(self, requests: Sequence[PlantedRequest], part: str = "auth_proxy") -> None:
        """Send HTTP requests to a part, several at once."""
        is_proxy = part == "auth_proxy"
        url = self.stack.record.address if is_proxy else self.stack.record.parts[part].url
        identity = {"authorization": f"Bearer {self.token}"}
        if not is_proxy:
            identity[SERVICE_KEY_HEADER] = self.stack.service_key
        address = urlsplit(url).netloc
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
            list(threads.map(lambda request: self._send(address, identity, request), requests))

    def _send(self, address: str, identity: Mapping[str, str], request: PlantedRequest) -> None:
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        headers = {**identity, "x-request-timeout-ms": "4000", **dict(request.headers)}
        try:
            connection.request(request.verb, request.path, request.body, headers)
            response = connection.getresponse()
            self.statuses.append(response.status)
            content = str(response.headers).encode() + response.read()
            self.answers.append((f"the answer {response.status} to {request.verb}", content))
        except (OSError, http.client.HTTPException) as error:
            self.unsent.append(f"{request.verb} {request.path[:40]}: {error!r}"[:200])
        finally:
            connection.close()

    def send_grpc(self, calls: Sequence[tuple[str, bytes, Sequence[tuple[str, str]]]]) -> None:
        """Send gRPC calls, one after the other."""
        token = ("authorization", f"Bearer {self.token}")
        with grpc.insecure_channel(self.stack.record.grpc_address) as channel:
            for method, request, metadata in calls:
                try:
                    answer = channel.unary_unary(METHOD + method)(
                        request, metadata=[token, *metadata], timeout=10
                    )
                    self.answers.append((f"the gRPC answer to {method}", answer))
                except grpc.RpcError as error:
                    content = f"{error.details()} {error.trailing_metadata()}".encode()
                    self.answers.append((f"the gRPC error of {method}", content))
