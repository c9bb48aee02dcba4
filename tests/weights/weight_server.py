"""A server of weight files on this machine, which may do what bad servers do."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What a server has, how it behaves, and what was asked of it.

    Attributes:
        content: The file, under any path that does not hold ``none``.
        manner: ``whole``: as it should be; ``no ranges``; ``cut``: ends after ``cut`` bytes; ``cut silently``: and does
            not say how many there should be; ``flipped``: one bit is another; ``more``: and 64 MiB more; ``pause``:
            waits after ``cut`` bytes until ``go_on`` is set; ``slow``: a little at a time; or an HTTP status.
        etag: Of the file.
        ranges: The Range of each request; empty where it had none.
        sent: Bytes that were sent in all.
    """

    content: bytes
    manner: str = "whole"
    cut: int = 0
    etag: str = '"one"'
    ranges: list[str] = field(default_factory=list)
    sent: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    served: Served

    def do_GET(self) -> None:
        served = self.served
        asked = self.headers.get("Range", "")
        served.ranges.append(asked)
        if served.manner.isdecimal() or "none" in self.path:
            self.send_error(int(served.manner) if served.manner.isdecimal() else 404)
            return
        content = served.content
        if served.manner == "flipped":
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        if match and served.manner != "no ranges" and self.headers.get("If-Range", served.etag) == served.etag:
            start = int(match[1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if served.manner not in ("more", "cut silently"):
            self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", served.etag)
        self.end_headers()
        if served.manner == "more":
            content += bytes(64 << 20)
        with contextlib.suppress(OSError):  # whoever has enough leaves
            self._send(content[start : served.cut] if served.manner.startswith("cut") else content[start:])

    def _send(self, content: bytes) -> None:
        served = self.served
        block = 65536
        for begin in range(0, len(content), block):
            piece = content[begin : begin + block]
            if served.manner == "pause" and served.sent >= served.cut:
                served.go_on.wait(30)
                return
            if served.manner == "slow":
                served.go_on.wait(0.02)
            self.wfile.write(piece)
            served.sent += len(piece)

    def log_message(self, *words: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[Served]:
    """Serves a file while the block runs."""
    served = Served(content)
    handler = type("Handler", (_Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
