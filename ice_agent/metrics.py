"""What Prometheus is shown: what a process counted of itself, and what the database says at that moment.

The database's figures are of all its tenants, the same whichever process is asked, and outlive all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ice_agent import watch
from ice_agent.errors import ConfigError
from ice_agent.settings import MetricsSettings
from memory import NOT_ASKED, Archive, HookEvent, Rate, Scores, StoreError, Tally, now

logger = logging.getLogger(__name__)

EVENTS: Final = {
    HookEvent.PROMOTED: ("promotions", "Candidates that were made to serve; roots are not counted."),
    HookEvent.REJECTED: ("rejections", "Candidates that were refused, or never judged."),
    HookEvent.REVERTED: ("reverts", "Adapters that served until an ancestor was put back."),
    HookEvent.QUARANTINED: ("quarantines", "Times that a fact was set aside."),
    HookEvent.FORGOTTEN: ("forgotten_facts", "Facts that were erased."),
}


CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def text(archive: Archive, settings: MetricsSettings, *, publishes: bool = False) -> str:
    """The database's figures, once, in Prometheus' text format. Raises StoreError.

    `publishes` adds what an outside engine lacks.
    """
    registry = CollectorRegistry()
    registry.register(_Figures(archive.tallies(by_tenant=settings.per_tenant), settings))
    if publishes:
        registry.register(OfEngine(archive))
    return generate_latest(registry).decode()


@contextmanager
def served(archive: Archive, settings: MetricsSettings, *, publishes: bool = False) -> Iterator[int]:
    """Show the figures of database and process over HTTP; gives the port, and none is open where it is 0."""
    if not settings.port:
        yield 0
        return
    try:
        registry = _of_both(archive, settings, publishes)
        server, thread = start_http_server(settings.port, settings.host, registry)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ConfigError(f"[metrics] nothing can be shown at {where}: {error.strerror or error}") from None
    logger.info("metrics are at http://%s:%d/metrics", settings.host, settings.port)
    try:
        yield settings.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def exposition(archive: Archive, settings: MetricsSettings, *, publishes: bool = False) -> bytes:
    """The same figures of database and process, once."""
    return generate_latest(_of_both(archive, settings, publishes))


def _of_both(archive: Archive, settings: MetricsSettings, publishes: bool) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(OfDatabase(archive, settings))
    if publishes:
        registry.register(OfEngine(archive))
    registry.register(watch.REGISTRY)
    return registry


class OfDatabase(Collector):
    """Asks the database anew at each scrape."""

    def __init__(self, archive: Archive, settings: MetricsSettings) -> None:
        self._archive, self._settings = archive, settings

    def describe(self) -> Sequence[Metric]:
        """Nothing, or registering would ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        is_up, tallies = True, tuple[Tally, ...]()
        try:
            tallies = self._archive.tallies(by_tenant=self._settings.per_tenant)
        except StoreError as error:
            # What the process counted of itself is still worth a scrape.
            logger.error("no figures of the database: %s", error)
            is_up = False
        yield GaugeMetricFamily("ice_agent_database_up", "Whether the database answered.", is_up)
        yield from _Figures(tallies, self._settings).collect()


class OfEngine(Collector):
    """What the engine that adapters are published to does not have, or should not have any more."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def describe(self) -> Sequence[Metric]:
        """Nothing, or registering would ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        try:
            behind = [each for each in self._archive.publications.every() if not each.is_current]
        except StoreError as error:
            logger.error("no figures of the engine: %s", error)
            return
        given_up = sum(bool(each.engine) and each.due_at is None for each in behind)
        waiting = "Tenants whose serving adapter the engine is still to be brought, or to be rid of."
        yield GaugeMetricFamily("ice_agent_publications_waiting", waiting, len(behind) - given_up)
        yield GaugeMetricFamily(
            "ice_agent_publications_given_up", "Tenants of whom the engine took nothing.", given_up
        )


class _Figures(Collector):
    """Tallies as Prometheus' families. Only where it is asked for is a tenant a label: they may be many."""

    def __init__(self, tallies: Sequence[Tally], settings: MetricsSettings) -> None:
        self._tallies, self._labels = tallies, ["tenant"] if settings.per_tenant else []

    def collect(self) -> Iterator[Metric]:
        at = now()
        for name, said, values in (
            ("pending_facts", "Facts that wait for a cycle.", [t.pending for t in self._tallies]),
            (
                "oldest_pending_seconds",
                "For how long the oldest of them has waited.",
                [(at - (t.oldest_pending_at or at)).total_seconds() for t in self._tallies],
            ),
            ("quarantined_facts", "Facts that no edit takes.", [t.quarantined for t in self._tallies]),
            ("hook_events_waiting", "Events that wait for a hook.", [t.undelivered for t in self._tallies]),
            ("hook_events_given_up", "Events that no hook took.", [t.given_up for t in self._tallies]),
        ):
            gauge = GaugeMetricFamily(f"ice_agent_{name}", said, labels=self._labels)
            for tally, value in zip(self._tallies, values, strict=True):
                gauge.add_metric(self._whose(tally), value)
            yield gauge
        for event, (name, said) in EVENTS.items():
            counter = CounterMetricFamily(f"ice_agent_{name}", said, labels=self._labels)
            for tally in self._tallies:
                counter.add_metric(self._whose(tally), tally.events.get(event, 0))
            yield counter
        yield self._guards()

    def _guards(self) -> Metric:
        said = "What was measured last, for each guard: a share, a ratio or nats."
        gauge = GaugeMetricFamily("ice_agent_guard_value", said, labels=["guard", *self._labels])
        for tally in self._tallies:
            for name in Scores.metrics() if tally.scores else ():
                measured = getattr(tally.scores, name)
                if measured != NOT_ASKED:
                    value = measured.share if isinstance(measured, Rate) else measured
                    gauge.add_metric([name, *self._whose(tally)], value)
        return gauge

    def _whose(self, tally: Tally) -> list[str]:
        return [tally.tenant_id] if self._labels else []
