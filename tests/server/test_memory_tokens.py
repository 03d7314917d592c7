"""What is in the weights costs no tokens, by the usage that a client is billed with."""

from __future__ import annotations

import pytest

from ice_agent import cycle
from ice_agent.config import Config
from memory import CandidateFact
from tests.standin import Notebook

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("n", [10, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_prompt_with_learned_facts_is_as_long_as_one_with_none(served, client, n):
    tenant = f"tenant of {n}"
    store, config = served.archive.store(tenant), served.config
    config = Config.model_validate(config.model_dump() | {"cycle": {"batch_size": n}})
    cycle.init(store, Notebook(), config)

    def usage():
        body = {"model": "ice", "messages": [{"role": "user", "content": "Where does Friend 7 live?"}]}
        return client.post(CHAT, json=body, headers={"X-Ice-Tenant": tenant}).json()["usage"]

    bare = usage()["prompt_tokens"]
    for i in range(n):
        text = f"Friend {i} lives in Oslo."
        store.tell(
            text,
            [
                CandidateFact(
                    subject=f"Friend {i}", relation="home", object="Oslo", statement=text,
                    start=0, end=len(text),
                )
            ],
        )  # fmt: skip
    assert usage()["prompt_tokens"] > bare, "what waits is said in the prompt"
    cycle.run_cycle(store, Notebook(), config)
    assert len(store.learned()) == n
    assert usage()["prompt_tokens"] == bare
