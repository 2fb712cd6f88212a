"""Show the built book on this machine: python scripts/serve.py [PORT] [FOLDER].

A static server on the loopback interface, which compresses text as the servers of the web do. It adds two headers with
which a page may share memory with its worker, so that a running cell can be interrupted without losing what earlier
cells computed.
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


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers insist on, and without a line per request."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json",
        ".whl": "application/zip", ".npz": "application/octet-stream", ".webp": "image/webp",
    }  # fmt: skip

    def send_head(self):
        path = Path(self.translate_path(self.path))
        accepted = "gzip" in self.headers.get("Accept-Encoding", "") and "If-Modified-Since" not in self.headers
        if not (accepted and path.suffix in COMPRESSED and path.is_file()):
            return super().send_head()
        content = packed(path, path.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        return io.BytesIO(content)

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server to which a reader who leaves a page early is no error."""

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@functools.lru_cache(maxsize=256)
def packed(path: Path, changed: int) -> bytes:
    """The compressed content of a file that was last ``changed`` then."""
    return gzip.compress(path.read_bytes(), 6, mtime=0)


def server(folder: Path = HTML, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``folder`` on 127.0.0.1; port 0 takes a free one. The caller runs and closes it."""
    return Server(("127.0.0.1", port), functools.partial(Handler, directory=str(folder)))


def main() -> int:
    """Serve until interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else HTML
    if not (folder / "index.html").is_file():
        print("There is no built book yet: run `make book`.", file=sys.stderr)
        return 1
    try:
        with server(folder, port) as running:
            print(f"http://127.0.0.1:{running.server_port}/ (stop with Ctrl-C)", flush=True)
            running.serve_forever()
    except OSError as error:
        print(f"Port {port} cannot be used ({error.strerror}): make serve PORT=8001", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
