"""An engine that is not ours, vLLM or SGLang: what it has, and what it is asked to load and to write.

It is reached over HTTP and reads adapters from a folder that it shares with us. Nothing here decides what it
should have.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final, Self

import httpx

from ice_agent.errors import EngineError, PublishError
from ice_agent.settings import PublishSettings
from ice_agent.writing import Ask, Finish, Spelling, Writing

logger = logging.getLogger(__name__)

_WORDS: Final = 500
"""Characters of what an engine says that are kept."""

_NOT_AT_RUNTIME: Final = (
    "it takes no adapter while it runs: start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What an engine has, by the names that it is asked for."""

    base: str
    """The base model's name."""
    bases: frozenset[str]
    """All that the base model is called, the place of its files included."""
    adapters: Mapping[str, str]
    """The adapters' paths, by their names."""


class External:
    """A vLLM 0.33 or SGLang 0.5 server."""

    def __init__(self, settings: PublishSettings) -> None:
        self._is_vllm, self._seconds = settings.engine == "vllm", settings.timeout_seconds
        at = urllib.parse.urlsplit(settings.url)
        host = at.hostname or ""
        port = f":{at.port}" if at.port else ""
        self.name = f"{settings.engine} {at.scheme}://{host}{port}{at.path.rstrip('/')}"
        """With no password in it: it is shown and kept."""
        key = os.environ.get(settings.key_env, "")
        self._client = httpx.Client(
            base_url=settings.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=settings.timeout_seconds,
        )
        self._following = set[Writing]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def n_writing(self) -> int:
        """How many answers are on their way."""
        return len(self._following)

    # -- what it has -----------------------------------------------------------------------------------------

    def served(self) -> Served:
        """Raises PublishError."""
        cards = self._asked("GET", "/v1/models").get("data", [])
        bases = [card for card in cards if not card.get("parent")]
        if not bases:
            raise PublishError(f"{self.name} serves no base model")
        named = {str(card[each]) for card in bases for each in ("id", "root") if card.get(each)}
        adapters = {str(card["id"]): str(card.get("root", "")) for card in cards if card.get("parent")}
        return Served(base=str(bases[0]["id"]), bases=frozenset(named), adapters=adapters)

    def is_there(self, seconds: float) -> bool:
        """Whether it answers within so long."""
        try:
            return self._client.get("/v1/models", timeout=seconds).is_success
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            return False

    def load(self, name: str, path: str, served: Served) -> None:
        """Serve the adapter of this path by the name, in the place of another. Raises PublishError."""
        asked = {"lora_name": name, "lora_path": path}
        if self._is_vllm:
            # Only where there is something to replace: vLLM reads an adapter that came in place from the disk
            # again for each request (its issue 33791).
            in_place = {"load_inplace": True} if name in served.adapters else {}
            self._asked("POST", "/v1/load_lora_adapter", asked | in_place)
            return
        if name in served.adapters:
            self.unload(name)
        self._asked("POST", "/load_lora_adapter", asked)

    def unload(self, name: str) -> None:
        """Raises PublishError, also where nothing has the name."""
        route = "/v1/unload_lora_adapter" if self._is_vllm else "/unload_lora_adapter"
        self._asked("POST", route, {"lora_name": name})

    def _asked(self, method: str, route: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer as JSON, or nothing where it is none: vLLM says its success in a sentence."""
        with self._reached(PublishError):
            answer = self._client.request(method, route, json=body)
        if not answer.is_success:
            raise PublishError(f"{self.name}: {_words(answer)}")
        try:
            found = answer.json()
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    # -- what it writes --------------------------------------------------------------------------------------

    def write(self, ask: Ask, model: str, base: str, stop_ids: Sequence[int]) -> Writing:
        """Begin an answer by the adapter, or the base, of this name. Raises EngineError."""
        wanted = {
            "model": model,
            "prompt": list(ask.prompt),
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
            "top_p": ask.top_p,
            "stop": list(ask.stop),
            "stop_token_ids": list(stop_ids),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if ask.seed is not None:
            wanted["seed"] = ask.seed
        if not self._is_vllm and model != base:
            wanted |= {"model": base, "lora_path": model}
        with self._reached(EngineError):
            request = self._client.build_request("POST", "/v1/completions", json=wanted)
            answer = self._client.send(request, stream=True)
            if not answer.is_success:
                answer.read()
                raise EngineError(f"{self.name}: {_words(answer)}")
        writing = Writing(ask)
        self._following.add(writing)
        # It waits for the network alone: it ends with the answer, when that is cancelled, or by the timeout.
        Thread(target=self._follow, args=(answer, writing), name="external answer", daemon=True).start()
        return writing

    def _follow(self, answer: httpx.Response, writing: Writing) -> None:
        try:
            with self._reached(EngineError):
                try:
                    _read(answer, writing)
                finally:
                    answer.close()
        except EngineError as error:
            writing.fail(error)
        except Exception as error:
            logger.exception("an answer of %s cannot be read", self.name)
            writing.fail(EngineError(f"{self.name} answers what no engine says: {error}"))
        finally:
            self._following.discard(writing)

    @contextmanager
    def _reached(self, wrong: type[PublishError | EngineError]) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise wrong(f"{self.name} took longer than {self._seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise wrong(f"{self.name} cannot be reached: {error or type(error).__name__}") from error


def _words(answer: httpx.Response) -> str:
    """Why an engine refuses, as it says it."""
    try:
        said = answer.json()
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    if answer.status_code == httpx.codes.NOT_FOUND and set(said) == {"detail"}:
        # The route itself is not there.
        return _NOT_AT_RUNTIME if "lora" in str(answer.url) else f"it has no {answer.url.path}"
    error = said.get("error")
    inner = error.get("message") if isinstance(error, dict) else error
    found = inner or said.get("error_message") or said.get("message") or said.get("detail")
    words = " ".join(str(found or answer.text).split())[:_WORDS]
    return f"{words or answer.reason_phrase} (HTTP {answer.status_code})"


def _read(answer: httpx.Response, writing: Writing) -> None:
    """Server-sent events of OpenAI's completions, as pieces."""
    whole, spelling, finish, is_token = "", Spelling(writing.ask.stop), Finish.STOP, True
    n_written = 0
    for line in answer.iter_lines():
        if writing.is_cancelled:
            return
        event = line.removeprefix("data:").strip()
        if not line.startswith("data:") or event == "[DONE]":
            continue
        told = json.loads(event)
        if "error" in told:
            raise EngineError(f"the answer broke off: {told['error']}")
        for choice in told.get("choices", ()):
            whole += choice.get("text") or ""
            writing.add(spelling.grown(whole.strip()))
            if (reason := choice.get("finish_reason")) is not None:
                finish = Finish.LENGTH if reason == "length" else Finish.STOP
                # A text that it stops at is not counted; a token is.
                is_token = not isinstance(choice.get("stop_reason", choice.get("matched_stop")), str)
        n_written = (told.get("usage") or {}).get("completion_tokens", n_written)
    writing.add(spelling.grown(whole.strip(), is_last=True))
    writing.end(finish, max(0, n_written - (finish is Finish.STOP and is_token)))
