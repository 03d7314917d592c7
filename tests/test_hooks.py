"""Delivery as a receiver sees it: a real HTTP server, real commands, a process that is killed in between."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from ice_agent import hooks
from ice_agent.background import pause
from ice_agent.errors import ConfigError
from ice_agent.settings import HooksSettings
from memory import Archive, HookEvent, Verdict
from tests.databases import ready
from tests.memory.conftest import Tenant

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"

PATIENCE = 120.0
"""Seconds that nothing here takes, however busy the machine."""


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("ICE_HOOKS_SECRET", SECRET)


class Receiver:
    """Takes what is posted; answers, while it does, with these codes first and then with 204."""

    def __init__(self, *codes):
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers = threading.Event()
        self.answers.set()
        codes_left = list(codes)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((dict(self.headers.items()), body))
                receiver.answers.wait()
                self.send_response(codes_left.pop(0) if codes_left else 204)
                self.send_header("location", f"{receiver.url}/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self.answers.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def events(self):
        return [json.loads(body)["event"] for _, body in self.got]


@pytest.fixture
def receiver():
    opened = []

    def receive(*codes):
        opened.append(Receiver(*codes))
        return opened[-1]

    yield receive
    for each in opened:
        each.close()


def settings(**values):
    """Nothing is due again while a test runs, unless it says so, and nobody is too slow."""
    return HooksSettings.model_validate({"retry_seconds": 3600.0, "timeout_seconds": 120.0} | values)


@contextmanager
def learned(url, settings):
    """A database that announces what the settings ask for, and a tenant that learned one fact."""
    with Archive.open(url, announced=settings.of) as archive:
        tenant = Tenant(archive.store("ann"))
        tenant.tell("Lyon")
        tenant.learn()
        yield archive, tenant


def test_a_promotion_is_posted_with_a_signature_that_anybody_can_check(ready_url, receiver):
    there = receiver()
    asked = settings(on_promote=[there.url])
    with learned(ready_url, asked) as (archive, tenant):
        assert hooks.deliver(archive, asked, PATIENCE) == 1
        assert archive.outbox.every() == ()
        tenant_id = tenant.store.identity()
    ((headers, body),) = there.got
    by_hand = hmac.new(
        KEY,
        b".".join([headers["Webhook-Id"].encode(), headers["Webhook-Timestamp"].encode(), body]),
        "sha256",
    )
    assert headers["Webhook-Signature"] == f"v1,{base64.b64encode(by_hand.digest()).decode()}"
    assert Webhook(SECRET).verify(body, headers)["tenant"] == tenant_id
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"promoted", b"rejected"), headers)
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["id"] == headers["Webhook-Id"]


def test_the_signature_is_that_of_the_specification():
    """The vector of the reference implementations."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = hooks.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_process_that_is_killed_after_the_commit_loses_no_event(ready_url, receiver):
    there = receiver()
    asked = settings(on_promote=[there.url])
    program = f"""
import os, signal
from memory import Archive, HookEvent
from tests.databases import ready
from tests.memory.conftest import Tenant
with Archive.open({ready_url!r}, announced=[HookEvent.PROMOTED]) as archive:
    tenant = Tenant(archive.store("ann"))
    tenant.tell("Lyon")
    tenant.learn()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -9
    assert there.got == []
    with Archive.open(ready_url) as archive:
        assert hooks.deliver(archive, asked, PATIENCE) == 1
    assert there.events == ["adapter.promoted"]


def test_a_hook_that_fails_twice_is_tried_until_it_works_with_one_id_and_a_new_signature(ready_url, receiver):
    there = receiver(500, 503)
    asked = settings(on_promote=[there.url])
    with learned(ready_url, asked) as (archive, _):
        assert [_later(archive, asked) for _ in range(2)] == [0, 0]
        (waiting,) = archive.outbox.every()
        assert (waiting.attempts, waiting.problem) == (2, "http://127.0.0.1: HTTP 503")
        assert _later(archive, asked) == 1
        assert archive.outbox.every() == ()
    assert len({headers["Webhook-Id"] for headers, _ in there.got}) == 1
    assert len({body for _, body in there.got}) == 1
    for headers, body in there.got:
        Webhook(SECRET).verify(body, headers)


def test_what_fails_too_often_is_given_up_with_a_line_in_the_log(tmp_path, receiver, caplog):
    there = receiver(500, 500)
    asked = settings(on_promote=[there.url], attempts=2)
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        _later(archive, asked)
        _later(archive, asked)
        (given_up,) = archive.outbox.every()
        assert given_up.due_at is None
        assert "gave up after 2 attempts" in caplog.text
        assert _later(archive, asked) == 0
        assert len(there.got) == 2
        archive.outbox.retry()
        assert hooks.deliver(archive, asked, PATIENCE) == 1


def test_pauses_grow_up_to_a_day_and_never_by_the_same_amount():
    ours = HooksSettings()
    longest = [
        pause(n, attempts=ours.attempts, first_seconds=ours.retry_seconds, jitter=0.0) for n in range(1, 11)
    ]
    assert longest == [5.0, 20.0, 80.0, 320.0, 1280.0, 5120.0, 20480.0, 81920.0, 86400.0, None]
    assert pause(2, attempts=3, first_seconds=5.0, jitter=1.0) == 10.0


def test_each_event_has_its_own_hooks(tmp_path, receiver):
    promoted, reverted = receiver(), receiver()
    asked = settings(on_promote=[promoted.url], on_revert=[reverted.url])
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, tenant):
        tenant.store.revert()
        tenant.store.quarantine(tenant.likes("tea").fact.id, "because")
        hooks.deliver(archive, asked, PATIENCE)
    assert (promoted.events, reverted.events) == (["adapter.promoted"], ["adapter.reverted"])


def test_a_hook_that_has_it_is_not_told_again_because_another_failed(tmp_path, receiver):
    good, bad = receiver(), receiver(500)
    asked = settings(on_promote=[bad.url, good.url])
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        assert _later(archive, asked) == 0
        assert _later(archive, asked) == 1
    assert (len(good.got), len(bad.got)) == (1, 2)


def test_a_url_that_was_mended_gets_what_waited_for_the_wrong_one(tmp_path, receiver):
    there = receiver()
    wrong, right = settings(on_promote=["http://127.0.0.1:1"]), settings(on_promote=[there.url])
    with learned(ready(tmp_path / "memory.db"), wrong) as (archive, _):
        assert _later(archive, wrong) == 0
        assert "refused" in archive.outbox.every()[0].problem
        assert _later(archive, right) == 1
    assert there.events == ["adapter.promoted"]


def test_a_redirect_is_a_failure_and_is_not_followed(tmp_path, receiver):
    there = receiver(302)
    asked = settings(on_promote=[there.url], retry_seconds=60.0)
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        hooks.deliver(archive, asked, PATIENCE)
        assert "HTTP 302" in archive.outbox.every()[0].problem
    assert len(there.got) == 1


def test_a_slow_hook_holds_nobody_up(tmp_path, receiver):
    there = receiver()
    there.answers.clear()
    asked = settings(on_promote=[there.url], on_revert=[there.url])
    with (
        learned(ready(tmp_path / "memory.db"), asked) as (archive, tenant),
        hooks.delivering(archive, asked, poll_seconds=0.05),
    ):
        _until(lambda: there.got)
        tenant.store.revert()
        assert len(archive.outbox.every()) == 2, "nobody has answered yet"
        there.answers.set()
        _until(lambda: not archive.outbox.every())
    assert there.events == ["adapter.promoted", "adapter.reverted"]


def test_a_hook_that_never_answers_is_given_up(tmp_path, receiver):
    there = receiver()
    there.answers.clear()
    asked = settings(on_promote=[there.url], timeout_seconds=0.3)
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        assert hooks.deliver(archive, asked, PATIENCE) == 0
        assert "timed out" in archive.outbox.every()[0].problem


def test_what_happens_is_told_while_it_is_delivered(tmp_path, receiver):
    there = receiver()
    asked = settings(on_promote=[there.url])
    with Archive.open(ready(tmp_path / "memory.db"), announced=asked.of) as archive:
        with hooks.delivering(archive, asked, poll_seconds=0.05):
            tenant = Tenant(archive.store("ann"))
            tenant.tell("Lyon")
            tenant.learn()
            _until(lambda: there.events == ["adapter.promoted"])
        assert not [thread for thread in threading.enumerate() if thread.name == "hooks"]


def test_a_command_gets_the_body_on_stdin_and_the_headers_in_its_environment_and_no_shell(tmp_path):
    program = tmp_path / "hook.py"
    program.write_text(
        "import json, os, sys\n"
        "kept = {'body': sys.stdin.read(), 'words': sys.argv[2:]}\n"
        "kept |= {n: v for n, v in os.environ.items() if n.startswith('WEBHOOK_')}\n"
        "open(sys.argv[1], 'w').write(json.dumps(kept))\n"
    )
    kept = tmp_path / "kept.json"
    command = f"{sys.executable} {program} {kept} '$(touch {tmp_path}/shell)' ';' $HOME"
    asked = settings(on_reject=[command])
    with Archive.open(ready(tmp_path / "memory.db"), announced=asked.of) as archive:
        tenant = Tenant(archive.store("ann"))
        tenant.root()
        tenant.tell("Lyon")
        candidate = tenant.candidate(tenant.lease())
        tenant.store.reject(candidate.id, Verdict(promote=False, reasons=("a guard broke",)))
        assert hooks.deliver(archive, asked, PATIENCE) == 1
    told = json.loads(kept.read_text())
    assert json.loads(told["body"])["adapter"] == candidate.id
    assert told["words"] == [f"$(touch {tmp_path}/shell)", ";", "$HOME"]
    headers = {
        name: told[f"WEBHOOK_{name.removeprefix('webhook-').upper()}"]
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }
    Webhook(SECRET).verify(told["body"], headers)


@pytest.mark.parametrize(
    ("command", "seconds", "problem"),
    [
        (f"{sys.executable} -c 'raise SystemExit(3)'", 120.0, "exit code 3"),
        (f"{sys.executable} -c 'import time; time.sleep(600)'", 0.3, "longer than 0.3 s"),
        ("no-such-program --at-all", 120.0, "No such file"),
    ],
)
def test_a_command_that_fails_says_how(tmp_path, command, seconds, problem):
    asked = settings(on_promote=[command], timeout_seconds=seconds)
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        assert hooks.deliver(archive, asked, PATIENCE) == 0
        assert problem in archive.outbox.every()[0].problem


def test_without_a_secret_nothing_is_sent_and_nothing_is_counted_as_tried(tmp_path, receiver, monkeypatch):
    there = receiver()
    asked = settings(on_promote=[there.url])
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        for wrong in ("", "not base64!", base64.b64encode(b"short").decode()):
            monkeypatch.setenv("ICE_HOOKS_SECRET", wrong)
            with pytest.raises(ConfigError, match=r"ICE_HOOKS_SECRET.*openssl rand"):
                hooks.deliver(archive, asked, PATIENCE)
        assert [d.attempts for d in archive.outbox.every()] == [0]
    assert there.got == []


def test_what_may_be_a_token_is_shown_nowhere(tmp_path, caplog):
    asked = settings(on_promote=["http://ann:hush@127.0.0.1:1/hush?key=hush", "no-such-program --token hush"])
    with learned(ready(tmp_path / "memory.db"), asked) as (archive, _):
        hooks.deliver(archive, asked, PATIENCE)
        (waiting,) = archive.outbox.every()
    assert "hush" not in waiting.problem + caplog.text + repr(asked)
    assert "http://127.0.0.1" in waiting.problem


def test_every_event_has_a_setting():
    every = {f"on_{name}": ["notify"] for name in ("promote", "reject", "quarantine", "revert", "forget")}
    assert set(settings(**every).of) == set(HookEvent)
    assert settings().of == {}


def test_two_that_deliver_at_once_tell_each_event_once(ready_url, receiver):
    there = receiver()
    asked = settings(on_promote=[there.url])
    with learned(ready_url, asked) as (archive, tenant):
        for value in ("Nice", "Oslo", "Rome", "Lima", "Quito"):
            tenant.tell(value)
            tenant.learn()
        both = [threading.Thread(target=hooks.deliver, args=(archive, asked, PATIENCE)) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert archive.outbox.every() == ()
    ids = [hashlib.sha256(body).hexdigest() for _, body in there.got]
    assert (len(ids), len(set(ids))) == (6, 6)


def _later(archive, asked):
    """Deliver when everything that waits for another try is due."""
    with archive._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET due_at = 0 WHERE due_at IS NOT NULL")
    return hooks.deliver(archive, asked, PATIENCE)


def _until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
