"""Tells commands and URLs what became of adapters and facts, as the Standard Webhooks specification signs it.

What is told waits in the database's outbox, committed with the change itself; here it is only delivered, at
least once each. Nothing that a hook does, or fails to do, reaches a cycle.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import logging
import os
import random
import shlex
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from ice_agent import logs, watch
from ice_agent.background import pause, repeated
from ice_agent.errors import ConfigError
from ice_agent.settings import HooksSettings
from memory import Archive, Delivery, StoreError

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
MARGIN_SECONDS: Final = 30.0
"""How much longer an event is claimed than its hooks may take."""

_LEAST_BYTES = 24
"""Of a secret, as the specification asks for."""


def deliver(archive: Archive, settings: HooksSettings, seconds: float) -> int:
    """Tell the hooks what is due, for so long at most; says how many events all their hooks have now.

    What fails waits for its next turn, and is given up after so many. Only a missing secret is raised.
    """
    key, until, n_told = secret(settings), time.monotonic() + seconds, 0
    try:
        while time.monotonic() < until and (delivery := _claimed(archive, settings)) is not None:
            with logs.about(tenant=delivery.tenant_id):
                n_told += _deliver(archive, settings, delivery, key)
    except StoreError as error:
        logger.error("hooks wait for the database: %s", error)
    return n_told


@contextmanager
def delivering(
    archive: Archive, settings: HooksSettings, poll_seconds: float = POLL_SECONDS
) -> Iterator[None]:
    """Deliver beside whatever this block does. Raises ConfigError where hooks lack their secret."""
    if not settings.of:
        yield
        return
    secret(settings)
    with repeated("hooks", lambda: deliver(archive, settings, poll_seconds), poll_seconds):
        yield


def lacking(settings: HooksSettings) -> str | None:
    """Why no hook can be told anything; None where all can, or there are none."""
    try:
        if settings.of:
            secret(settings)
    except ConfigError as error:
        return str(error)
    return None


def secret(settings: HooksSettings) -> bytes:
    """The key that bodies are signed with. Raises ConfigError."""
    how = f'export {settings.secret_env}="whsec_$(openssl rand -base64 32)"'
    written = os.environ.get(settings.secret_env, "")
    if not written:
        raise ConfigError(f"[hooks] ${settings.secret_env} has no secret to sign with: {how}")
    try:
        key = base64.b64decode(written.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ConfigError(f"[hooks] the secret in ${settings.secret_env} is not base64: {how}") from None
    if len(key) < _LEAST_BYTES:
        raise ConfigError(f"[hooks] the secret in ${settings.secret_env} is under 24 bytes: {how}")
    return key


def signature(key: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` holds: HMAC-SHA256 over "id.timestamp.body"."""
    signed = hmac.new(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def shown(hook: str) -> str:
    """A hook without what may be a token in it: the host of a URL, the program of a command."""
    if "://" in hook:
        at = urllib.parse.urlsplit(hook)
        return f"{at.scheme}://{at.hostname}"
    return Path(shlex.split(hook)[0]).name


def _claimed(archive: Archive, settings: HooksSettings) -> Delivery | None:
    most = max((len(hooks) for hooks in settings.of.values()), default=0)
    return archive.outbox.claim(most * settings.timeout_seconds + MARGIN_SECONDS)


def _deliver(archive: Archive, settings: HooksSettings, delivery: Delivery, key: bytes) -> bool:
    """Tell the hooks of this event that have not been told; True when all have it now."""
    told, problems = set(delivery.told), []
    for hook in settings.of.get(delivery.event, ()):
        # By a hash: neither its place in the list nor a token in it is kept.
        name = hashlib.sha256(hook.encode()).hexdigest()[:16]
        if name in told:
            continue
        if problem := _problem(hook, delivery, key, settings.timeout_seconds):
            problems.append(f"{shown(hook)}: {problem}")
            watch.hook_failed(delivery.event)
        else:
            told.add(name)
    if not problems:
        archive.outbox.drop(delivery)
        logger.info("told %s (%s)", delivery.event, delivery.id)
        return True
    seconds = pause(
        delivery.attempts,
        attempts=settings.attempts,
        first_seconds=settings.retry_seconds,
        jitter=random.random(),
    )
    problem = "; ".join(problems)
    archive.outbox.put_back(delivery, told=told, problem=problem, seconds=seconds)
    what = f"{delivery.event} ({delivery.id}): {problem}"
    if seconds is None:
        logger.error("gave up after %d attempts to tell %s (`ice-agent hooks`)", delivery.attempts, what)
    else:
        logger.warning("could not tell %s; again in %.0f s", what, seconds)
    return False


def _problem(hook: str, delivery: Delivery, key: bytes, timeout: float) -> str:
    """Why the hook does not have it; empty when it has."""
    body, timestamp = delivery.body.encode(), int(time.time())
    headers = {
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, delivery.id, timestamp, body),
    }
    try:
        return _posted(hook, body, headers, timeout) if "://" in hook else _ran(hook, body, headers, timeout)
    except urllib.error.HTTPError as refused:
        refused.close()
        return f"HTTP {refused.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except subprocess.TimeoutExpired:
        return f"took longer than {timeout:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


def _posted(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> str:
    request = urllib.request.Request(
        url, body, {"content-type": "application/json", "user-agent": "ice-agent", **headers}
    )
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
        return ""


def _ran(command: str, body: bytes, headers: Mapping[str, str], timeout: float) -> str:
    """No shell: the words of the command as they are, the body on stdin, the headers in the environment."""
    environment = {name.upper().replace("-", "_"): value for name, value in headers.items()}
    done = subprocess.run(
        shlex.split(command),
        input=body,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )
    return f"exit code {done.returncode}" if done.returncode else ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed body goes where the settings say and nowhere else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        return None
