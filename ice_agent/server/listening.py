"""The port, and the end: requests are no longer taken, and those that are written have so long to end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import uvicorn

from ice_agent.errors import ConfigError
from ice_agent.server.app import create
from ice_agent.server.serving import Serving


class Listener:
    """A port that is taken, and serves while it `run`s. Raises ConfigError where nothing can listen."""

    def __init__(self, serving: Serving) -> None:
        settings = serving.config.server
        self._socket = _bound(settings.host, settings.port)
        host, port, *_ = self._socket.getsockname()
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        # Its own log settings would replace those of the program.
        config = uvicorn.Config(
            create(serving), log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=int(settings.shutdown_seconds),
        )  # fmt: skip
        self._server = uvicorn.Server(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def run(self) -> None:
        """Serve until Ctrl-C, SIGTERM or `stop`; what is being written then has its time to end."""
        with _outliving_signals():
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Take no more requests, from whichever thread this is called."""
        self._server.should_exit = True


@contextmanager
def _outliving_signals() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more when it is done; by then there is more to close."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        # A port is free again as soon as whoever had it has stopped.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"[server] nothing can listen at {host}:{port}: {reason}; name another (--host, --port)"
        ) from None
    return listener
