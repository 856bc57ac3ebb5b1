"""An HTTP server that streams Motion JPEG from a thread, with pictures that the test chooses."""

from __future__ import annotations

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HttpCamera:
    """Sends each part that `put` adds to the one client that is connected. `close` ends the server.

    snapshot  the answer to each client is one part, as a picture
    """

    def __init__(self, snapshot: bool = False) -> None:
        self._parts: queue.Queue[bytes | None] = queue.Queue()
        self.connections = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Print nothing."""

            def do_GET(self) -> None:
                camera.connections += 1
                self.send_response(200)
                if snapshot and (picture := camera._parts.get()) is not None:
                    self.send_header("Content-Type", "image/jpeg")
                    self.send_header("Content-Length", str(len(picture)))
                    self.end_headers()
                    self.wfile.write(picture)
                    return
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=--frame")
                self.end_headers()
                while (part := camera._parts.get()) is not None:
                    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(part)
                    self.wfile.write(head + part + b"\r\n")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/line.mjpg"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def put(self, *parts: bytes) -> None:
        """Send parts, pictures or not."""
        for part in parts:
            self._parts.put(part)

    def hang_up(self) -> None:
        """End the answer to the client."""
        self._parts.put(None)

    def close(self) -> None:
        """End the server."""
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
