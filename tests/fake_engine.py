"""An engine's socket that answers as the tests want it to. What it is for: answers that a real engine cannot be made to give."""

import contextlib
import http.server
import json
import socketserver
import threading
from typing import ClassVar


class Engine(http.server.BaseHTTPRequestHandler):
    """Answers GET /version as an engine does."""

    status = 200
    answer: ClassVar = {"Version": "28.2.2", "ApiVersion": "1.50", "MinAPIVersion": "1.24", "message": "not now"}

    def do_GET(self):
        self.respond()

    def respond(self):
        body = json.dumps(self.answer).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay quiet."""


@contextlib.contextmanager
def serving(place, handler=Engine):
    """Serve on a Unix socket's path, or on a port of the loopback interface for `None`; yields the address for DOCKER_HOST."""
    server = (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        if place is None
        else socketserver.ThreadingUnixStreamServer(str(place), handler)
    )
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}" if place is None else f"unix://{place}"
        finally:
            server.shutdown()
            thread.join()
