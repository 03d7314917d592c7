"""What docs/http.md shows can be typed: each of its commands is sent to a server, in its order."""

from __future__ import annotations

import json
import re
import shlex
import time
from string import Template
from threading import Thread

import httpx
import pytest

from ice_agent import cycle
from ice_agent.server.listening import Listener
from ice_agent.server.runs import State
from tests import serving as stands

BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def server(tmp_path):
    """A server at a port, and what its page calls $ICE and $KEY."""
    with stands.opened(tmp_path, server={"port": 0}) as serving, Listener(serving) as listener:
        store = serving.archive.store("ann")
        cycle.init(store, stands.notebook(serving.config), serving.config)
        _, key = store.keys.issue("the page")
        thread = Thread(target=listener.run, daemon=True)
        thread.start()
        yield serving, {"ICE": listener.url, "KEY": key}
        listener.stop()
        thread.join()


def test_every_command_of_the_page_is_answered_as_it_says(server, project_dir):
    serving, variables = server
    sent, answer = 0, httpx.Response(500)
    for kind, block in BLOCK.findall((project_dir / "docs" / "http.md").read_text(encoding="utf-8")):
        if kind == "json":
            assert answer is not None
            assert _has(answer.json(), json.loads(block)), block
            continue
        for line in block.replace("\\\n", " ").splitlines():
            answer = _sent(Template(line).substitute(variables))
            assert answer.status_code < 300, (line, answer.text)
            sent += 1
            # What is asked for next is about what it taught.
            _wait_for(lambda: all(run.state is State.ENDED for run in serving.runs.of("ann")))
    assert sent >= 15
    assert serving.runs.of("ann")[0].ending == "promoted"


def test_the_python_of_the_page_prints_the_answer(server, project_dir, capsys):
    _, variables = server
    page = (project_dir / "docs" / "http.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    here = program.replace("http://127.0.0.1:8321", variables["ICE"]).replace('"KEY"', repr(variables["KEY"]))
    # A client that is not closed warns when it is collected.
    exec(compile(here + "\nice.close()", "docs/http.md", "exec"), {})
    assert capsys.readouterr().out == "It is so."


def _sent(command: str) -> httpx.Response:
    """What curl would send. Whatever else of curl is written, is an error."""
    curl, *words = shlex.split(command)
    assert curl == "curl"
    method, headers, body, url = "", dict[str, str](), None, ""
    rest = iter(words)
    for word in rest:
        match word:
            case "-s":
                pass
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                assert word.startswith("http://"), word
                url = word
    how = method or ("POST" if body else "GET")
    return httpx.request(how, url, headers=headers, content=body, timeout=240)


def _has(given: object, shown: object) -> bool:
    """Whether an answer has every field that is shown of it; values are those of another day."""
    if isinstance(shown, dict):
        assert isinstance(given, dict)
        return all(name in given and _has(given[name], value) for name, value in shown.items())
    if isinstance(shown, list):
        assert isinstance(given, list)
        return len(given) >= len(shown) and all(map(_has, given, shown))
    return type(given) is type(shown)


def _wait_for(happened):
    until = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)
