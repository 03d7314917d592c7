"""A server without keys and one with, each with a client; no port is opened, no model is loaded."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from ice_agent.server.app import create
from memory import AccessRole
from tests import serving as stands
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
