"""What Prometheus sees when it asks: over HTTP, and parsed as it would parse it."""

from __future__ import annotations

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ice_agent import metrics, watch
from ice_agent.errors import ConfigError
from ice_agent.settings import MetricsSettings
from memory import Archive, HookEvent, Rate, Scores, Verdict
from tests.memory.conftest import GOOD, Tenant


@pytest.fixture
def archive(ready_url):
    """Ann's first fact was learned and a second one waits; her third was set aside."""
    with Archive.open(ready_url, announced=[HookEvent.PROMOTED]) as archive:
        ann = Tenant(archive.store("ann"))
        ann.root()
        ann.tell("Lyon")
        lease = ann.lease()
        candidate = ann.candidate(lease)
        measured = Scores(edit_success=Rate(hits=3, asked=4), perplexity_ratio=1.25)
        ann.store.record_scores(candidate.id, measured, None, lease)
        ann.store.promote(candidate.id, GOOD, lease)
        ann.likes("tea")
        third = ann.likes("rum").fact
        assert third is not None
        ann.store.quarantine(third.id, "because")
        yield archive


def scraped(text):
    """Every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def get(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return scraped(answer.read().decode())


def test_a_scrape_has_what_waits_what_happened_and_how_long_stages_took(archive, unused_port):
    with metrics.served(archive, MetricsSettings(port=unused_port)):
        with watch.stage("measuring"):
            pass
        found = get(unused_port)
        archive.store("ann").revert()
        later = get(unused_port)
    assert found[("ice_agent_database_up",)] == 1
    assert found[("ice_agent_pending_facts",)] == 1
    assert 0 < found[("ice_agent_oldest_pending_seconds",)] < 3600
    assert found[("ice_agent_quarantined_facts",)] == 1
    assert found[("ice_agent_promotions_total",)] == 1
    assert found[("ice_agent_rejections_total",)] == 0
    assert found[("ice_agent_quarantines_total",)] == 1
    assert found[("ice_agent_hook_events_waiting",)] == 1
    assert found[("ice_agent_hook_events_given_up",)] == 0
    assert found[("ice_agent_guard_value", ("guard", "edit_success"))] == 0.75
    assert found[("ice_agent_guard_value", ("guard", "perplexity_ratio"))] == 1.25
    assert ("ice_agent_guard_value", ("guard", "retention")) not in found
    assert found[("ice_agent_stage_seconds_count", ("stage", "measuring"))] >= 1
    assert ("ice_agent_lease_losses_total",) in found
    assert (found[("ice_agent_reverts_total",)], later[("ice_agent_reverts_total",)]) == (0, 1)


def test_tenants_are_labels_only_when_asked_for_and_then_by_their_ids(archive):
    plain = scraped(metrics.text(archive, MetricsSettings()))
    assert not [key for key in plain if any(label[0] == "tenant" for label in key[1:])]
    Tenant(archive.store("bob")).tell("Oslo")
    ann, bob = (archive.store(name).identity() for name in ("ann", "bob"))
    found = scraped(metrics.text(archive, MetricsSettings(per_tenant=True)))
    assert found[("ice_agent_promotions_total", ("tenant", ann))] == 1
    assert found[("ice_agent_promotions_total", ("tenant", bob))] == 0
    assert found[("ice_agent_pending_facts", ("tenant", bob))] == 1
    assert found[("ice_agent_guard_value", ("guard", "edit_success"), ("tenant", ann))] == 0.75


def test_counts_are_the_same_for_the_next_process(archive):
    url = archive._engine.url.render_as_string(hide_password=False)
    with Archive.open(url) as another:
        found = scraped(metrics.text(another, MetricsSettings()))
    assert found[("ice_agent_promotions_total",)] == 1
    assert not [key for key in found if "stage" in key[0]]


def test_a_rejected_candidate_is_counted(archive):
    ann = Tenant(archive.store("ann"))
    candidate = ann.adapter("other", parent=archive.store("ann").serving().id)
    ann.store.register(candidate)
    ann.store.reject("other", Verdict(promote=False, reasons=("a guard broke",)))
    assert scraped(metrics.text(archive, MetricsSettings()))[("ice_agent_rejections_total",)] == 1


def test_where_adapters_are_published_it_is_said_how_many_an_engine_lacks(archive):
    def behind():
        found = scraped(metrics.text(archive, MetricsSettings(), publishes=True))
        return [found[f"ice_agent_publications_{name}",] for name in ("waiting", "given_up")]

    assert ("ice_agent_publications_waiting",) not in scraped(metrics.text(archive, MetricsSettings()))
    assert behind() == [1, 0]
    claimed = archive.publications.claim("vllm", lambda publication: publication.tenant, 60)
    archive.publications.put_back(claimed, problem="rank 64", seconds=None)
    assert behind() == [0, 1]
    archive.publications.retry()
    again = archive.publications.claim("vllm", lambda publication: publication.tenant, 60)
    archive.publications.confirm(again, name="ann", path="/there")
    assert behind() == [0, 0]


def test_a_database_that_does_not_answer_is_said_and_the_rest_is_still_shown(archive, unused_port):
    with metrics.served(archive, MetricsSettings(port=unused_port)):
        with archive._engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE outbox RENAME TO away")
        found = get(unused_port)
    assert found[("ice_agent_database_up",)] == 0
    assert ("ice_agent_pending_facts",) not in found
    assert ("ice_agent_lease_losses_total",) in found


def test_without_a_port_nothing_listens(archive):
    with metrics.served(archive, MetricsSettings()) as port:
        assert port == 0


def test_a_port_that_is_taken_is_named(archive, unused_port):
    with (
        metrics.served(archive, MetricsSettings(port=unused_port)),
        pytest.raises(ConfigError, match=rf"\[metrics\].*127\.0\.0\.1:{unused_port}"),
        metrics.served(archive, MetricsSettings(port=unused_port)),
    ):
        pass
