"""What a process counts of itself while it works, and whose work it is in each of its log lines.

What outlives a process (promotions, what waits) is not counted here: `metrics` reads it from the database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from ice_agent import logs
from memory import HookEvent, StaleLease

logger = logging.getLogger(__name__)

REGISTRY: Final = CollectorRegistry()

# A tiny model needs tenths of a second for what takes a large one hours.
_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)
_STAGES = Histogram(
    "ice_agent_stage_seconds",
    "How long a stage of a cycle took.",
    ["stage"],
    registry=REGISTRY,
    buckets=_BUCKETS,
)
_LEASE_LOSSES = Counter(
    "ice_agent_lease_losses", "Cycles that lost their lease and changed nothing.", registry=REGISTRY
)
_REFRESHED = Counter(
    "ice_agent_refresh_rows",
    "Rows of refresh sources, by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)
_HOOK_FAILURES = Counter(
    "ice_agent_hook_failures", "Attempts to tell a hook that failed.", ["event"], registry=REGISTRY
)
_PUBLISHING_FAILURES = Counter(
    "ice_agent_publish_failures",
    "Attempts to bring an adapter to the outside engine that failed.",
    registry=REGISTRY,
)

_REQUESTS = Histogram(
    "ice_agent_request_seconds",
    "How long a request over HTTP took, to the end of its answer.",
    ["route", "method", "status"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60),
)


@contextmanager
def cycle(tenant_id: str) -> Iterator[None]:
    """All that is logged in this block is of this tenant's cycle. A lease that is lost in it is counted."""
    with logs.about(tenant=tenant_id):
        try:
            yield
        except StaleLease:
            _LEASE_LOSSES.inc()
            raise


@contextmanager
def stage(name: str) -> Iterator[None]:
    """One stage of a cycle, timed whatever comes of it. The name is a label: one of a few fixed ones."""
    with logs.about(stage=name):
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            _STAGES.labels(name).observe(seconds)
            logger.info("%s took %.1f s", name, seconds)


def refreshed(*, changed: int, malformed: int) -> None:
    """A source was read: so many of its rows made or ended facts, and so many were none."""
    _REFRESHED.labels("changed").inc(changed)
    _REFRESHED.labels("malformed").inc(malformed)


def requested(route: str, method: str, status: int, seconds: float) -> None:
    """A request was answered. Its labels are few: the route is a pattern, and not the path that was asked."""
    _REQUESTS.labels(route, method, str(status)).observe(seconds)


def hook_failed(event: HookEvent) -> None:
    _HOOK_FAILURES.labels(event.value).inc()


def publishing_failed() -> None:
    _PUBLISHING_FAILURES.inc()
