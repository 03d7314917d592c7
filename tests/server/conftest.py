"""A server without keys and one with, each with a client; no port is opened, no model is loaded."""

from __future__ import annotations

from itertools import count

import pytest
from fastapi.testclient import TestClient

from ice_agent.server.app import create
from memory import AccessRole
from tests import lived
from tests import serving as stands
from tests.browsing import Browser
from tests.serving import LOCAL


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Without keys. One for all tests of a module: each works for tenants of its own."""
    with stands.opened(tmp_path_factory.mktemp("served")) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(served):
    with TestClient(create(served), LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The same, once keys were issued."""
    with stands.opened(tmp_path_factory.mktemp("guarded")) as serving:
        serving.archive.store("somebody").keys.issue("the first")
        yield serving


@pytest.fixture(scope="module")
def guarded_client(guarded):
    with TestClient(create(guarded), LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def bearer(guarded):
    """The headers of somebody with a key of this tenant and role."""

    def issue(tenant, role=AccessRole.OPERATE):
        _, opens = guarded.archive.store(tenant).keys.issue("test", role)
        return {"Authorization": f"Bearer {opens}"}

    return issue


# -- the dashboard -------------------------------------------------------------------------------------------

NUMBERS = count(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Without keys: a tenant that has lived, and whoever is named."""
    settings = {
        "guards": lived.GUARDS,
        "collect": {"sensitive_relations": ["religion"], "sensitive_policy": "prompt"},
    }
    with stands.opened(tmp_path_factory.mktemp("home"), **settings) as parts:
        lived.lived(parts.archive.store("amara"), parts.config)
        yield parts


@pytest.fixture(scope="module")
def app(home):
    return create(home)


@pytest.fixture
def looking(app):
    """A browser that looks at one tenant's memory."""

    def at(tenant):
        browser = Browser(app)
        browser.get("/")
        browser.send("/ui/tenant", tenant=tenant)
        return browser

    return at


@pytest.fixture
def amara(looking):
    return looking("amara")


@pytest.fixture
def another(home):
    """A tenant of one's own, that has lived, for a test that changes something."""

    def made(*told):
        store = home.archive.store(f"tenant {next(NUMBERS)}")
        lived.lived(store, home.config, told)
        return store

    return made
