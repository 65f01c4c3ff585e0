"""The servers that Pleura needs. One function starts each of them, and waits until it answers.

Each server is a child process that ends with this process. It can start again on the same folder and port.
"""

from pleura.local.dependencies.envoy import WeightedUpstream, start_envoy, write_upstreams
from pleura.local.dependencies.postgres import start_postgres
from pleura.local.dependencies.seaweedfs import start_seaweed
from pleura.local.dependencies.valkey import start_valkey
from pleura.local.processes import Server, StartFailed, free_port

__all__ = [
    "Server",
    "StartFailed",
    "WeightedUpstream",
    "free_port",
    "start_envoy",
    "start_postgres",
    "start_seaweed",
    "start_valkey",
    "write_upstreams",
]
