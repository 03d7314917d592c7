"""The verb that serves: what it says, where it refuses to, and that it ends as it should."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx
import pytest

from memory import AccessRole


def test_an_address_that_others_reach_is_refused_before_the_model_is_loaded(ice, store):
    code, out, err = ice("serve", "--host", "0.0.0.0")
    assert (code, out) == (1, "")
    assert "ice-agent keys --issue LABEL" in err


def test_a_key_is_issued_with_its_role(ice, said, store):
    issued = said("keys", "--issue", "phone", "--role", "chat")
    assert [key["role"] for key in issued["keys"]] == ["chat"]
    code, out, _ = ice("keys")
    assert (code, "chat" in out, "phone" in out) == (0, True, True)
    assert said("keys", "--issue", "back end")["keys"][-1]["role"] == AccessRole.OPERATE
    code, _, err = ice("keys", "--issue", "x", "--role", "root")
    assert (code, "--role" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_it_says_where_it_is_answers_and_ends_when_it_is_stopped(tiny_home, ice, ending):
    assert ice("init")[0] == 0
    serving = subprocess.Popen(
        [sys.executable, "-m", "ice_agent", "serve", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert serving.stdout is not None
    (url,) = re.findall(r"^(http://\S+) serves", serving.stdout.readline())
    body = {"model": "ice", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 2}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")
    serving.send_signal(ending)
    out, err = serving.communicate(timeout=120)
    assert (serving.returncode, "Traceback" in err) == (0, False), err
    assert "no keys" in out
