"""Serve the built book on this machine: python scripts/serve.py [PORT] [FOLDER].

A static server on the loopback interface that compresses text, as web servers do, and
adds headers: a page may share memory with its worker, so that a running cell can be
interrupted without losing what earlier cells computed, and may ask only this server.
Nothing outside of the folder is served, and no folder is listed.
"""

from __future__ import annotations

import functools
import gzip
import io
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HTML = Path(__file__).resolve().parents[1] / "_build" / "html"
COMPRESSED = {".html", ".js", ".mjs", ".css", ".json", ".svg", ".csv"}
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".whl": "application/zip",
    ".npz": "application/octet-stream",
    ".webp": "image/webp",
}
HEADERS = {
    "Content-Security-Policy": "connect-src 'self'; worker-src 'self'; "
    "object-src 'none'; base-uri 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers require, without logging requests."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def send_head(self):
        path = self.inside()
        if path is None:
            return self.send_error(404)
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        is_known = "If-Modified-Since" in self.headers
        compress = accepted and not is_known and path.suffix in COMPRESSED
        if not (compress and path.is_file()):
            return super().send_head()
        changed = path.stat()
        content = compressed(path, changed.st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(changed.st_mtime))
        self.end_headers()
        return io.BytesIO(content)

    def inside(self) -> Path | None:
        """The path that is asked for; None if it leads out of the folder."""
        try:
            path = Path(self.translate_path(self.path))
            return path if path.resolve().is_relative_to(self.directory) else None
        except (OSError, ValueError):  # too long, or with a zero byte
            return None

    def list_directory(self, path):
        """Folders are not listed."""
        return self.send_error(404)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server for which a reader who leaves a page early is not an error."""

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@functools.lru_cache(maxsize=256)
def compressed(path: Path, changed: int) -> bytes:
    """The compressed content of a file, kept as long as its time is ``changed``."""
    return gzip.compress(path.read_bytes(), 6, mtime=0)


def server(
    folder: Path = HTML, port: int = 0, handler: type = Handler
) -> ThreadingHTTPServer:
    """A server of ``folder`` on 127.0.0.1; port 0 takes a free one.

    The caller runs and closes it.
    """
    folder = Path(folder).resolve()
    return Server(("127.0.0.1", port), functools.partial(handler, directory=folder))


def main(port: str = "8000", folder: str | Path = HTML) -> None:
    """Serve until interrupted."""
    if not Path(folder, "index.html").is_file():
        sys.exit("The book has not been built yet: run `make book`.")
    if not (port.isdecimal() and int(port) < 2**16):
        sys.exit(f"PORT must be a whole number from 0 to 65535; got {port!r}.")
    try:
        with server(folder, int(port)) as running:
            address = f"http://127.0.0.1:{running.server_port}/"
            print(f"{address} (stop with Ctrl-C)", flush=True)
            running.serve_forever()
    except OSError as error:
        sys.exit(f"Port {port} is not available ({error.strerror}): choose another.")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
