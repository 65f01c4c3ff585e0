"""A server in the transformer's place, which shows a test what the proxy sends."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvicorn
from grpc import aio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from pleura.findings import FINDINGS

DIGEST = "d" * 64
VERSION = "1.2.3"


@dataclass
class Upstream:
    """A server in the transformer's place. It records each request, and answers as a transformer does.

    Args:
        error: Status, JSON document and headers to answer inference and feedback with, instead of success.
    """

    http_port: int
    grpc_port: int
    # Whole requests, because a test also looks for headers that must not be there.
    requests: list[tuple[Request, bytes]] = field(default_factory=list)
    grpc_calls: list[tuple[str, dict[str, Any], bytes]] = field(default_factory=list)
    error: tuple[int, dict[str, Any], dict[str, str]] | None = None
    delay_s: float = 0.0
    digest: str = DIGEST
    ready: bool = True

    @property
    def last(self) -> tuple[Request, bytes]:
        """The last request, with its body."""
        return self.requests[-1]

    async def infer(self, request: Request) -> Response:
        """Answer an inference."""
        body = await request.body()
        self.requests.append((request, body))
        await asyncio.sleep(self.delay_s)
        if self.error:
            status, document, headers = self.error
            return JSONResponse(document, status, headers)
        return JSONResponse(build_v2_answer(self.digest))

    async def answer_path(self, request: Request) -> Response:
        """Answer any other request with its path."""
        self.requests.append((request, b""))
        return JSONResponse({"path": request.url.path})

    async def feedback(self, request: Request) -> Response:
        """Answer feedback as stored."""
        self.requests.append((request, await request.body()))
        status, document, headers = self.error or (201, build_stored_feedback(), {})
        return JSONResponse(document, status, headers)

    async def answers(self, request: Request) -> Response:
        """Answer a request for stored answers with the document of ``error``."""
        self.requests.append((request, await request.body()))
        status, document, headers = self.error or (200, {}, {})
        return JSONResponse(document, status, headers)

    async def info(self, request: Request) -> Response:
        """Describe the model."""
        self.requests.append((request, b""))
        return JSONResponse(describe_model())

    async def readyz(self, request: Request) -> Response:
        """Say whether the transformer is ready."""
        return JSONResponse({"ready": self.ready}, 200 if self.ready else 503)


def build_stored_feedback() -> dict[str, Any]:
    """Build what a transformer answers when it has stored verdicts."""
    verdicts = {
        "verdicts": {"Mass": True},
        "had_seen_answer": False,
        "given_at": "2026-11-25T12:00:00.000000Z",
    }
    return {
        "feedback_id": "f1",
        "id": "r1",
        "answered_to": "ris",
        "position": 0,
        "reader": "dr-a",
        **verdicts,
    }


def build_v2_answer(digest: str) -> dict[str, Any]:
    """Build what a transformer answers for one radiograph."""
    n = len(FINDINGS)
    data: dict[str, list[Any]] = {
        "probability": [0.25] * n,
        "present": [False] * n,
        "threshold": [0.5] * n,
        "typicality": [0.9],
    }
    return {
        "id": "a",
        "model_name": "chest-xray",
        "model_version": VERSION,
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": [1, len(values)], "data": values}
            for name, values in data.items()
        ],
        "parameters": {
            "model_digest": digest,
            "preprocessing_version": "1",
            "cached": False,
            "warnings": '[{"element": 0, "code": "untypical", "text": "unlike the others"}]',
            "journal": "written",
        },
    }


def describe_model() -> dict[str, Any]:
    """Build what a transformer answers about its model. The last finding is not measured."""
    point = {"threshold": 0.5, "sensitivity": 0.8, "specificity": 0.8}
    interval = {"value": 0.8, "low": 0.7, "high": 0.9}
    findings = [
        {
            "name": name,
            "operating_point": point,
            "auroc": None if name == "Hernia" else interval,
            "sensitivity": interval,
            "specificity": interval,
            "test_positives": 50,
            "test_negatives": 500,
        }
        for name in FINDINGS
    ]
    description = {
        "name": "chest-xray",
        "version": VERSION,
        "preprocessing_version": "1",
        "findings": findings,
        "calibration": "scaled",
        "operating_points_chosen": "at the best sum",
        "intended_use": "tests",
        "limitations": ["no model"],
        "training_data": ["none"],
        "metrics": {"mean_auroc": 0.8},
        "files": {"inner": "path"},
    }
    return {"digest": DIGEST, "description": description}


class _GrpcUpstream(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def service(self, handler_call_details: Any) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            # gRPC sends the deadline outside the metadata; tests look for it in one place with them.
            metadata["remaining_s"] = context.time_remaining()
            self._upstream.grpc_calls.append((handler_call_details.method, metadata, request))
            await asyncio.sleep(self._upstream.delay_s)
            if request == b"fail":
                context.set_trailing_metadata((("pleura-error", "radiograph_not_found"),))
                await context.abort(grpc.StatusCode.NOT_FOUND, "no radiograph of that id")
            # The text of the exception looks like a path, which must not reach the caller.
            if request == b"crash":
                raise ValueError("/inner/path")
            return b"\x0a\x01m\x12\x05" + VERSION.encode() + request

        return grpc.unary_unary_rpc_method_handler(answer)


async def serve_upstream(upstream: Upstream, stopping: threading.Event) -> None:
    """Serve REST and gRPC in the transformer's place until ``stopping`` is set."""
    routes = [
        Route("/v2/models/chest-xray/infer", upstream.infer, methods=["POST"]),
        Route("/feedback", upstream.feedback, methods=["POST"]),
        Route("/answers/{how}", upstream.answers, methods=["POST"]),
        Route("/model-info", upstream.info),
        Route("/readyz", upstream.readyz),
        Route("/{path:path}", upstream.answer_path, methods=["GET", "POST", "PUT", "DELETE"]),
    ]
    config = uvicorn.Config(
        Router(routes), port=upstream.http_port, log_config=None, lifespan="off", timeout_keep_alive=30
    )
    server = uvicorn.Server(config)
    rpc = aio.server(handlers=(_GrpcUpstream(upstream),))
    rpc.add_insecure_port(f"127.0.0.1:{upstream.grpc_port}")
    await rpc.start()
    task = asyncio.create_task(server.serve())
    await asyncio.to_thread(stopping.wait)
    # Kept-alive connections of the proxy would hold up the end.
    server.should_exit = server.force_exit = True
    await task
    await rpc.stop(0)
