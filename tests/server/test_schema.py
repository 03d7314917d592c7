"""The routes do as their OpenAPI says, asked by schemathesis with whatever fits it and whatever does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from ice_agent.server.app import create
from memory import AccessRole
from tests import serving as stands

EXAMPLES = 20
UNSAID = ["positive_data_acceptance", "negative_data_rejection"]
"""What no schema can say, such as that filters know equality only, is refused in words; and of a query what
nobody asked for is left out."""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """The app, and the headers of somebody who may ask everything."""
    with stands.opened(tmp_path_factory.mktemp("api")) as serving:
        _, opens = serving.archive.store("tom").keys.issue("test", AccessRole.OPERATE)
        yield create(serving), {"Authorization": f"Bearer {opens}", "Host": "127.0.0.1"}


def test_every_route_says_what_it_does_what_it_may_refuse_and_what_it_answers(api):
    app, _ = api
    told = app.openapi()
    for path, methods in told["paths"].items():
        for method, route in methods.items():
            assert route["description"], (method, path)
            answer = next(a for status, a in route["responses"].items() if status.startswith("2"))
            assert any(_is_shown(told, kind) for kind in answer["content"].values()), (method, path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fits", "does not"])
def test_whatever_it_is_asked_it_answers_as_its_schema_says(api, mode):
    app, headers = api
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
    unsaid = list(CHECKS.get_by_names(UNSAID))
    n_asked = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            case.call_and_validate(headers=headers, excluded_checks=unsaid)

        try:
            ask()
            n_asked += 1
        except Unsatisfiable:
            # Nothing can be wrong with a request that takes nothing.
            assert operation.label in ("GET /healthz", "GET /readyz")
    assert n_asked > 30


def _is_shown(told, kind):
    """By an example, or by a schema of its own, whose fields say what they are."""
    return "example" in kind or "$ref" in str(kind.get("schema"))
