"""A TCP server that handles each connection in a thread of its own."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serve_tcp(handler: type[socketserver.BaseRequestHandler], port: int = 0) -> Iterator[int]:
    """Serve connections until the block ends.

    Args:
        handler: Handles one connection.
        port: Port to listen on; 0 for any.

    Yields:
        The port.
    """

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address, request_queue_size = True, True, 256
        # Answers that hang on purpose must not hold up the end of the server.
        block_on_close = False

    with Server(("127.0.0.1", port), handler) as server:
        # shutdown() waits for the next poll, by default half a second.
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
