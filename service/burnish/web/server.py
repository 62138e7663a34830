"""Surface: the HTTP server of the web process."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI

from burnish.errors import OperatorError
from burnish.settings import WebSettings

log = structlog.get_logger(__name__)

#: Seconds between two attempts to listen on a port that another program uses.
_PAUSE = 5.0
#: Seconds that requests may take to end when the process stops.
_DRAIN = 5


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves an application until `stop` is called.

    `on_ready` is called with the address of the page once it can be opened.
    """

    def __init__(
        self, app: FastAPI, settings: WebSettings, on_ready: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._stopping = threading.Event()
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=list(settings.proxies),
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
            timeout_graceful_shutdown=_DRAIN,
        )
        self._server = _Server(config)
        self._on_stop = app.state.context.live.stop

    def run(self) -> None:
        """Listen and serve; while another program uses the port, wait until it does not."""
        listener = self._listen()
        if listener is None:
            return
        address = self._settings.address(listener.getsockname()[1])
        log.info("web page ready", address=address)
        self._on_ready(address)
        self._server.run([listener])
        listener.close()

    def stop(self) -> None:
        """Have `run` return. May be called by a signal handler."""
        self._stopping.set()
        self._server.should_exit = True
        self._on_stop()

    def _listen(self) -> socket.socket | None:
        is_told = False
        while not self._stopping.is_set():
            try:
                return listen(self._settings)
            except OperatorError as error:
                if not is_told:
                    log.error("web page cannot listen", why=str(error), remedy=error.hint)
                is_told = True
            self._stopping.wait(_PAUSE)
        return None


def listen(settings: WebSettings) -> socket.socket:
    """A socket that listens where the settings say; raises OperatorError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise OperatorError(
            f"web.host {settings.host}, web.port {settings.port}: {error.strerror}",
            hint="set web.port to a free port, or web.enabled = false",
        ) from None
    return listener
