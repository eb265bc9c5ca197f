"""A reverse proxy that can be told to misbehave: between the operator and the API server, or a store."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect", "content-length"}


@dataclass(frozen=True)
class Hold:
    """Keep the request (before it reaches the server) or its answer (after it took effect) until released."""

    before: bool


@dataclass(frozen=True)
class Lose:
    """Let the request take effect, then close the connection without an answer."""


@dataclass(frozen=True)
class Delay:
    """Forward later."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """Answer with a status, the server never sees the request."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True)
class Expire:
    """A watch's 410 as API servers send it: an ERROR event in a stream that began well."""


Action = Hold | Lose | Delay | Answer | Expire


@dataclass
class Rule:
    """What happens to the nth request that matches (to each, if nth is None)."""

    verb: str
    path: re.Pattern[str]
    action: Action
    nth: int | None
    fired: threading.Event = field(default_factory=threading.Event)
    seen: int = 0
    _released: threading.Event = field(default_factory=threading.Event)
    _forward: bool = True

    def await_fired(self, seconds: float = 30) -> None:
        """Return when a request was hit; raises TimeoutError if none was."""
        if not self.fired.wait(seconds):
            raise TimeoutError(f"no {self.verb} {self.path.pattern} (number {self.nth}) within {seconds} s")

    def release(self) -> None:
        """Let what is held go on."""
        self._released.set()

    def drop(self) -> None:
        """Close the connection of what is held: a request held before the server never reaches it."""
        self._forward = False
        self._released.set()

    def held(self) -> bool:
        """Wait for the release; whether to go on."""
        self._released.wait()
        return self._forward


class Proxy:
    """Forwards everything that no rule concerns."""

    def __init__(self, target: str, authority: Path | None = None) -> None:
        self.target = target.rstrip("/")
        self.pool = urllib3.PoolManager(
            maxsize=64, ca_certs=str(authority) if authority else None, retries=False, timeout=None
        )
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._watches: set[urllib3.BaseHTTPResponse] = set()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        self._server.shutdown()
        self._server.server_close()
        self.close_watches()
        self._server.hang_up()
        self.pool.clear()

    def rule(self, verb: str, path: str, action: Action, nth: int | None = 1) -> Rule:
        """Add a rule; the verb is HTTP's or WATCH, the path a regexp searched in path and query."""
        rule = Rule(verb, re.compile(path), action, nth)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules; what they hold is dropped."""
        with self._lock:
            for rule in self._rules:
                rule.drop()
            self._rules.clear()

    def close_watches(self) -> None:
        """Break every watch that is open now."""
        for response in list(self._watches):
            with suppress(OSError, ValueError):
                response.shutdown()

    def match(self, verb: str, path: str) -> Rule | None:
        """The first rule that this request is the nth of; counts it for all that match."""
        with self._lock:
            matching = [rule for rule in self._rules if rule.verb == verb and rule.path.search(path)]
            for rule in matching:
                rule.seen += 1
            return next((rule for rule in matching if rule.nth in (None, rule.seen)), None)

    @contextmanager
    def watching(self, response: urllib3.BaseHTTPResponse) -> Iterator[None]:
        """Count a stream among the watches while it is open."""
        self._watches.add(response)
        try:
            yield
        finally:
            self._watches.discard(response)
            response.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self._connections: set[socket.socket] = set()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.discard(request)

    def hang_up(self) -> None:
        """Wake the threads that wait for a next request."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in the middle is what this proxy is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # every method is served alike
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        watch = re.search(r"[?&]watch=(true|1)", self.path) is not None
        rule = self.server.proxy.match("WATCH" if watch else self.command, self.path)
        if rule is None:
            return self._forward(body, None, watch)
        if rule.action not in (Hold(before=False), Lose()):
            rule.fired.set()  # those two have fired when the request took effect
        match rule.action:
            case Hold(before=True) if not rule.held():
                self.close_connection = True
                return
            case Delay(seconds):
                threading.Event().wait(seconds)
            case Answer(status, retry_after):
                return self._answer(status, {"Retry-After": str(retry_after)} if retry_after else {})
            case Expire():
                event = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
                return self._send(200, {}, json.dumps(event).encode() + b"\n")
        self._forward(body, rule, watch)

    def _forward(self, body: bytes, rule: Rule | None, watch: bool) -> None:
        proxy = self.server.proxy
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        response = proxy.pool.request(
            self.command,
            proxy.target + self.path,
            body=body or None,
            headers=headers,
            preload_content=False,
            decode_content=False,
            redirect=False,
        )
        if watch:
            with proxy.watching(response):
                return self._stream(response)
        data = response.read(decode_content=False)
        response.release_conn()
        if rule and rule.action in (Hold(before=False), Lose()):
            rule.fired.set()
            if isinstance(rule.action, Lose) or not rule.held():
                self.close_connection = True
                return
        self._send(response.status, dict(response.headers), data)

    def _stream(self, response: urllib3.BaseHTTPResponse) -> None:
        """Pass a watch on as it comes, until either side ends it."""
        self.close_connection = True
        self.send_response_only(response.status)
        self.send_header("Content-Type", response.headers.get("Content-Type", "application/json"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(urllib3.exceptions.HTTPError, OSError):
            for chunk in response.stream(2**20, decode_content=False):
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        document = {"kind": "Status", "apiVersion": "v1", "code": status, "reason": "Injected"}
        self._send(status, headers | {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _send(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
