"""The port, and the end: requests are no longer taken, and those that are written have so long to end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import uvicorn

from ice_agent.errors import ConfigError
from ice_agent.server.app import create
from ice_agent.server.serving import Serving


def listen(serving: Serving, report: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; `report` gets the address once requests can be sent there.

    Raises ConfigError where nothing can listen.
    """
    settings = serving.config.server
    with closing(_bound(settings.host, settings.port)) as listener:
        report(_url(listener))
        # Its own log settings would replace those of the program.
        config = uvicorn.Config(
            create(serving), log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=int(settings.shutdown_seconds),
        )  # fmt: skip
        with _outliving_signals():
            uvicorn.Server(config).run(sockets=[listener])


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


def _url(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
