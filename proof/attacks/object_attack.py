"""Send unusual ids over every interface, and record the calls that reach the object store."""

import io
import json
import posixpath
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import grpc
import httpx
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from minio import Minio

from pleura.local.samples import choose_sample, find_samples
from proof.attacks.attacked_proxy import INFER, AttackedProxy, start_attack_proxy
from proof.attacks.forge import Forge
from proof.lab.bucket import BUCKET, make_bucket_client, put_object
from proof.lab.proxy import Proxy
from proof.lab.tcp_server import serve_tcp
from proof.lab.transformer import TransformerParts, make_radiograph_png, start_transformer

NEIGHBOUR: Final = "secrets"
_REQUEST: Final = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")


@dataclass
class RequestTap:
    """The heads of the requests to the object store, in order. Answers are not recorded."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)

    def list_calls(self) -> list[str]:
        """Return verb and target of every call, except the checks whether the bucket exists."""
        found = [_REQUEST.match(head) for head in self.heads]
        lines = [f"{m[1].decode()} {m[2].decode('latin-1')}" if m else "no HTTP" for m in found]
        return [line for line in lines if line != f"HEAD /{BUCKET}"]


def is_outside(call: str) -> bool:
    """Return whether a call is something other than a HEAD or GET of an object in the bucket."""
    verb, _, target = call.partition(" ")
    # Some servers take a backslash for a slash.
    plain = unquote_to_bytes(target).replace(b"\\", b"/")
    folder = f"/{BUCKET}/".encode()
    is_inside = plain.startswith(folder) and posixpath.normpath(plain).startswith(folder)
    return verb not in ("HEAD", "GET") or "?" in target or not is_inside


@contextmanager
def start_tap(port: int) -> Iterator[RequestTap]:
    """Start a relay in front of the server on a port, which records the requests to it."""
    tap = RequestTap()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server, suppress(OSError):
                back = threading.Thread(target=_relay, args=(server, self.request, []), daemon=True)
                back.start()
                _relay(self.request, server, tap.heads)
                back.join()

    with serve_tcp(Handler) as tap.port:
        yield tap


def _relay(source: socket.socket, sink: socket.socket, heads: list[bytes]) -> None:
    """Pass bytes on, and record each head before it goes. None of the requests has a body."""
    partial = b""
    with suppress(OSError):
        while data := source.recv(65536):
            *complete, partial = (partial + data).split(b"\r\n\r\n")
            heads += complete
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class ObjectAttack:
    """The proxy, the transformer behind it, and a tap in front of the object store."""

    proxy: Proxy
    tap: RequestTap
    forge: Callable[[], Forge]

    def run(self, send: Callable[[], str]) -> tuple[str, list[str]]:
        """Run a request, and return its outcome and the calls that it caused at the object store."""
        before = len(self.tap.list_calls())
        outcome = send()
        return outcome, self.tap.list_calls()[before:]

    def send_json(self, image_id: str) -> str:
        """Send the id by V2 over REST, in JSON."""
        tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [image_id]}
        return self._post(INFER, json.dumps({"inputs": [tensor]}).encode())

    def send_to_classify(self, image_id: str) -> str:
        """Send the id to ``POST /classify``."""
        return self._post("/classify", json.dumps({"image_id": image_id}).encode())

    def send_binary(self, image_id: bytes) -> str:
        """Send the id by V2 over REST, in a binary tensor."""
        parameters = {"binary_data_size": len(image_id) + 4}
        tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "parameters": parameters}
        document = json.dumps({"inputs": [tensor]}).encode()
        content = document + struct.pack("<I", len(image_id)) + image_id
        return self._post(INFER, content, **{"inference-header-content-length": str(len(document))})

    def send_grpc(self, image_id: bytes) -> str:
        """Send the id by V2 over gRPC."""
        request = pb.ModelInferRequest(model_name="chest-xray")
        tensor = request.inputs.add(name="image_id", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(image_id)
        metadata = [("authorization", f"Bearer {self.forge().good()}")]
        with grpc.insecure_channel(f"127.0.0.1:{self.proxy.grpc_port}") as channel:
            send = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            try:
                send(request.SerializeToString(), metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

    def _post(self, path: str, content: bytes, **headers: str) -> str:
        headers |= {"authorization": f"Bearer {self.forge().good()}", "content-type": "application/json"}
        with httpx.Client(timeout=30, trust_env=False, verify=False) as client:
            return str(client.post(self.proxy.url + path, content=content, headers=headers).status_code)


def build_expected_calls(image_id: str, is_there: bool) -> list[str]:
    """Return the calls that an allowed id causes: the ETag is asked first, and only what is there is read."""
    path = f"/{BUCKET}/{quote(image_id, safe='/~')}"
    return [f"HEAD {path}", f"GET {path}"] if is_there else [f"HEAD {path}"]


def fill_buckets(client: Minio) -> None:
    """Put one radiograph into the bucket, and one into another bucket, which no principal may read."""
    for bucket in (BUCKET, NEIGHBOUR):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
    # the default model refuses a made picture
    sample = choose_sample(find_samples())
    assert sample
    put_object(client, "r0.png", sample.read_bytes())
    client.put_object(
        NEIGHBOUR, "secret.png", io.BytesIO(make_radiograph_png(1)), len(make_radiograph_png(1))
    )


@contextmanager
def start_object_attack(
    folder: Path, parts: TransformerParts, attacked: AttackedProxy
) -> Iterator[ObjectAttack]:
    """Start a transformer with a tap in front of its object store, and a proxy. Answers are not cached."""
    fill_buckets(make_bucket_client(parts.s3_url))
    with start_tap(int(parts.s3_url.rpartition(":")[2])) as object_tap:
        # No cache: an answer from it would cause no call at the object store.
        settings = parts.build_environment(
            PLEURA_S3_URL=f"http://127.0.0.1:{object_tap.port}", PLEURA_REDIS_URL=""
        )
        transformer = start_transformer(folder, settings)
        upstream = {"transformer_url": transformer.url, "transformer_grpc": transformer.grpc_address}
        try:
            with start_attack_proxy(folder / "proxy.log", attacked.issuer, **upstream) as proxy:
                yield ObjectAttack(proxy, object_tap, attacked.forge)
        finally:
            transformer.stop()
