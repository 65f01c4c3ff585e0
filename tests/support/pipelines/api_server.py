"""A small Kubernetes API server: InferenceServices and ConfigMaps, with versions, conflicts and watches."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client  # type: ignore[import-untyped]

from tests.support.pipelines.knative import Controller

_SERVICES = "/inferenceservices"


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), value)
    return result


class Cluster:
    """The objects by path, and each split of the traffic that the controller made, as percent by URI."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.splits: list[dict[str, int]] = []
        self.interferences = 0
        """How many reads are followed by a change of somebody else."""
        self.cut_watches = 0
        """How many watches are cut at once."""
        self.lock = threading.RLock()
        self._version = 0

    def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Store a new version of an object."""
        with self.lock:
            self._version += 1
            metadata = {**document.get("metadata", {}), "resourceVersion": str(self._version)}
            stored = {**document, "metadata": metadata}
            self.objects[path] = stored
            self.events.append((self._version, path, stored))
            return stored

    def reconcile(self) -> None:
        """Let the controller update the status of every InferenceService once."""
        with self.lock:
            for path, service in list(self.objects.items()):
                if _SERVICES not in path:
                    continue
                status = self.controller.reconcile(service)
                if status != service.get("status"):
                    self.put(path, {**service, "status": status})
                    self._note_split(status["components"]["predictor"]["traffic"])

    def _note_split(self, traffic: list[dict[str, Any]]) -> None:
        split: dict[str, int] = {}
        for target in traffic:
            uri = self.controller.uri_of(target["revisionName"])
            split[uri] = split.get(uri, 0) + target["percent"]
        if not self.splits or self.splits[-1] != split:
            self.splits.append(split)


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if query.get("watch", [""])[0].lower() == "true":
            self._watch(parts.path, int(query["resourceVersion"][0]), float(query["timeoutSeconds"][0]))
            return
        with self.cluster.lock:
            existing = self.cluster.objects.get(parts.path)
            self._answer(200 if existing else 404, existing or _status(404))
            if existing and self.cluster.interferences and _SERVICES in parts.path:
                self.cluster.interferences -= 1
                self.cluster.put(parts.path, existing)

    def do_PATCH(self) -> None:
        if self.headers["Content-Type"] != "application/merge-patch+json":
            self._answer(415, _status(415))
            return
        patch = self._body()
        with self.cluster.lock:
            existing = self.cluster.objects[self.path]
            version = patch["metadata"].pop("resourceVersion")
            if version != existing["metadata"]["resourceVersion"]:
                self._answer(409, _status(409))
            else:
                self._answer(200, self.cluster.put(self.path, apply_merge_patch(existing, patch)))

    def do_POST(self) -> None:
        document = self._body()
        path = f"{self.path}/{document['metadata']['name']}"
        with self.cluster.lock:
            taken = path in self.cluster.objects
            self._answer(409, _status(409)) if taken else self._answer(201, self.cluster.put(path, document))

    def do_PUT(self) -> None:
        document = self._body()
        with self.cluster.lock:
            existing = self.cluster.objects[self.path]
            if document["metadata"]["resourceVersion"] != existing["metadata"]["resourceVersion"]:
                self._answer(409, _status(409))
            else:
                self._answer(200, self.cluster.put(self.path, document))

    def _watch(self, path: str, since: int, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        if self.cluster.cut_watches:
            self.cluster.cut_watches -= 1
            return  # without the last chunk: the client sees a broken connection
        with contextlib.suppress(OSError):  # the client has closed the watch
            self._send_events(path, since, time.monotonic() + seconds)
            self.wfile.write(b"0\r\n\r\n")

    def _send_events(self, path: str, since: int, end_s: float) -> None:
        while time.monotonic() < end_s:
            with self.cluster.lock:
                news = [
                    event for event in self.cluster.events if event[0] > since and event[1].startswith(path)
                ]
            for version, _, document in news:
                since = version
                line = json.dumps({"type": "MODIFIED", "object": document}).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            time.sleep(0.01)

    def _body(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return document

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _status(code: int) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}


@contextmanager
def serve_cluster(cluster: Cluster) -> Iterator[client.ApiClient]:
    """Serve the cluster and run its controller; give a client of the server."""
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server, ended = ThreadingHTTPServer(("127.0.0.1", 0), handler), threading.Event()
    server.daemon_threads = True

    def run_controller() -> None:
        while not ended.wait(0.02):
            cluster.reconcile()

    threads = [
        threading.Thread(target=server.serve_forever, args=(0.05,)),
        threading.Thread(target=run_controller),
    ]
    for thread in threads:
        thread.start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
    api = client.ApiClient(configuration)
    try:
        yield api
    finally:
        ended.set()
        server.shutdown()
        for thread in threads:
            thread.join()
        server.server_close()
        api.rest_client.pool_manager.clear()
        api.close()
