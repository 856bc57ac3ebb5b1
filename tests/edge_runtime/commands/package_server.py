"""An HTTP server on a thread that knows ranges and misbehaves as a test asks."""

from __future__ import annotations

import re
import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PackageServer:
    """Serves `files`. Each entry of `faults` spoils one answer:

    a number   of bytes, after which the connection breaks
    "503", "301", "404"  that status
    "no-range" all of the file, whatever was asked for
    "no-length" nothing says how long the file is
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: deque[int | str] = deque()
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Print nothing."""

            def do_GET(self) -> None:
                server._answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Clients that do not accept the certificate are part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_name("key.pem"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        fault = self.faults.popleft() if self.faults else None
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        content = self.files.get(handler.path[1:])
        if (isinstance(fault, str) and fault.isdecimal()) or content is None:
            handler.send_response(int(fault or 404))
            handler.send_header("Location", "http://127.0.0.1:1/")
            handler.end_headers()
            return
        found = re.fullmatch(r"bytes=(\d+)-", asked or "")
        start = int(found[1]) if found and fault != "no-range" else 0
        if start >= len(content) and start:
            handler.send_response(416)
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if fault != "no-length":
            handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:][: fault if isinstance(fault, int) else None])
