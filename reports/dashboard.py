"""optuna-dashboard on the store: for this machine only, and read-only unless asked otherwise.

It shows the store through a view (`studies.store.view`): test scores stand among the attributes of trials, and notes,
figures and pictures (`reports.exhibit`) are made of what is stored when somebody looks. Nothing of that is written.

optuna-dashboard has no login, so whoever reaches it could delete studies. It is therefore bound to the
loopback address, takes no request that was sent to another name (a web page elsewhere can point its own name
at 127.0.0.1 and so reach it through the browser), and passes on only requests that read. To look at it from
another machine, use a tunnel: `ssh -L 8080:127.0.0.1:8080 HOST`.
"""

from __future__ import annotations

import errno
import json
import socketserver
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from reports.errors import ReportError
from reports.tables import defused_csv
from studies.absent import absent

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from studies.store import Store

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost", "::1")
READING = ("GET", "HEAD")
# Against pages that frame the dashboard to steal clicks, and browsers that guess at content.
HEADERS = [("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]


def serve(
    url: str,
    runs: Path | None = None,
    host: str = ADDRESS,
    port: int = 8080,
    write: bool = False,
    announce: Callable[[str], object] = partial(print, flush=True),
) -> None:
    """Serve the dashboard until interrupted.

    Args:
        url: Of the store.
        runs: The folder of all runs, where close looks at winners lie; None where there is none.
        host: "127.0.0.1" or "localhost"; there is no other.
        port: 0 takes a free one.
        write: Whether the dashboard may change the store: notes, attributes, names, deletions.
        announce: Is told the address once requests are taken.
    Raises:
        ReportError: Another host, or a port that cannot be had.
        StudyError: The store cannot be opened.
    """
    with open_dashboard(url, runs, host, port, write) as dashboard:
        state = "may change studies" if write else "read-only"
        announce(f"http://{ADDRESS}:{dashboard.server_port}/dashboard ({state}; Ctrl+C ends it)")
        dashboard.serve_forever()


def open_dashboard(
    url: str, runs: Path | None = None, host: str = ADDRESS, port: int = 8080, write: bool = False
) -> Dashboard:
    """A server that already listens but does not yet answer; see `serve`."""
    if host not in (ADDRESS, "localhost"):
        tunnel = f"ssh -L {port}:{ADDRESS}:{port} HOST"
        raise ReportError(f"--host must be {ADDRESS} (host = {host}); from elsewhere, use a tunnel: {tunnel}")
    if not 0 <= port <= 65535:
        raise ReportError(f"--port must be from 0 to 65535 (port = {port}); 0 takes a free one")
    server = _listening(port)
    try:
        server.open(url, runs, write)
    except BaseException:
        server.server_close()
        raise
    return server


def _listening(port: int) -> Dashboard:
    try:
        return Dashboard((ADDRESS, port), _Quiet)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "in use by another program" if taken else f"not to be had ({error.strerror})"
        law = "choose another with --port, or --port 0 for a free one"
        raise ReportError(f"port {port} is {reason}; {law}", exit_code=3) from error


class Dashboard(socketserver.ThreadingMixIn, WSGIServer):
    """The server: a thread a request, so that a slow one does not hold up the others."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._stores: list[Store] = []
        super().__init__(*arguments)

    def open(self, url: str, runs: Path | None, write: bool) -> None:
        """Open the store and answer requests with it.

        Args:
            url: Of the store.
            runs: See `serve`.
            write: Whether to pass on requests that change it.

        Raises:
            StudyError: The store cannot be opened.
        """
        with absent(["sklearn"]):  # a second to import, for importances that the page doesn't show
            from optuna_dashboard import wsgi

        from reports.exhibit import exhibit

        view = self._store(url, read_only=True).view(lambda study: exhibit(study, runs and runs / study.name))
        reader = wsgi(view, view)
        view.forget = reader._inmemory_cache.clear
        # Even when writing is allowed, the page's many reads must not queue for the store's one write lock.
        writer = wsgi(self._store(url, read_only=False).storage) if write else None
        self.set_app(guarded(reader, writer))

    def _store(self, url: str, read_only: bool) -> Store:
        from studies.store import Store

        store = Store.open(url, create=False, read_only=read_only)
        self._stores.append(store)
        return store

    def server_bind(self) -> None:
        """Bind without asking a name server for the machine's own name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]
        self.setup_environ()

    def server_close(self) -> None:
        """Free the port and the store."""
        super().server_close()
        for store in self._stores:
            store.close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the page polls every few seconds."""


def guarded(reader: WSGIApplication, writer: WSGIApplication | None = None) -> WSGIApplication:
    """The dashboard behind a door.

    Args:
        reader: Answers requests that read.
        writer: Answers the others; None refuses them.
    Returns:
        A WSGI application that answers 403 to what may not pass.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = _refusal(environ, writer is not None)
        if refusal:
            return _refuse(start_response, refusal)
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # optuna-dashboard fails without one
        inner = writer if writer and environ["REQUEST_METHOD"] not in READING else reader
        if environ["PATH_INFO"].startswith("/csv/"):
            return _safe_csv(inner, environ, start_response)
        return inner(environ, _with_headers(start_response))

    return application


def _safe_csv(inner: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with cells that no spreadsheet takes for formulas; optuna-dashboard writes text as it is."""
    status, headers = "", [("", "")]

    def note(inner_status: str, inner_headers: list[tuple[str, str]], *_error: Any) -> Callable[[bytes], None]:
        nonlocal status, headers
        status, headers = inner_status, inner_headers
        return lambda _data: None  # the write() of old WSGI, which Bottle does not use

    body = b"".join(inner(environ, note))
    if status.startswith("200"):
        body = defused_csv(body.decode()).encode()
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start_response(status, [*kept, ("Content-Length", str(len(body))), *HEADERS])
    return [body]


def _refusal(environ: WSGIEnvironment, may_write: bool) -> str | None:
    host = environ.get("HTTP_HOST", "")
    if _hostname(host) not in NAMES:
        return f"this dashboard answers to {ADDRESS} and localhost only"
    if environ["REQUEST_METHOD"] in READING:
        return None
    if not may_write:
        return "this dashboard is read-only; start it with: toprung dashboard --write"
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin != f"http://{host}":
        return "this request comes from another page"
    return None


def _hostname(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.netloc == host and parts.username is None else None
    except ValueError:
        return None


def _refuse(start_response: StartResponse, reason: str) -> Iterable[bytes]:
    status = HTTPStatus.FORBIDDEN
    body = json.dumps({"reason": reason}).encode()  # the form in which the page shows a message
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers + HEADERS)
    return [body]


def _with_headers(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        # optuna-dashboard lets pages from everywhere read artifacts.
        kept = [(name, value) for name, value in headers if name != "Access-Control-Allow-Origin"]
        return start_response(status, kept + HEADERS, *error)

    return start
