"""The HTTP side of the operator: metrics, liveness, readiness."""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry

Check = Callable[[], list[str]]  # what is wrong; nothing: fine


class Server:
    """Serves /metrics, and a page per check: 200 when nothing is wrong, else 503 and what it is."""

    def __init__(
        self, port: int, registry: CollectorRegistry, checks: Mapping[str, Check], poll: float = 60.0
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif path in checks:
                    wrong = checks[path]()
                    text = "".join(f"{line}\n" for line in wrong) or "ok\n"
                    self._answer(503 if wrong else 200, text.encode(), "text/plain; charset=utf-8")
                else:
                    self._answer(404, b"not found\n", "text/plain; charset=utf-8")

            def _answer(self, code: int, body: bytes, kind: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody wants a line per scrape."""

        self._server = ThreadingHTTPServer(("", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(poll,), name="http", daemon=True).start()

    def close(self) -> None:
        """End it, at the latest after `poll` seconds."""
        self._server.shutdown()
        self._server.server_close()
