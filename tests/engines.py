"""Stand-ins for vLLM 0.33 and SGLang 0.5: real HTTP servers that take and refuse what the real ones do.

Read in their sources: routes, bodies, status codes and words. Weights are files here, and an answer is what a
`script` says of the model's name and the prompt.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from ice_agent.manifest import CONFIG

Script = Callable[[str, list[int]], list[str]]
"""The pieces of an answer, by the path of the adapter (or the base's name) and the prompt's token ids."""


class Asked(NamedTuple):
    route: str
    body: dict[str, Any]


class _Refusal(Exception):
    def __init__(self, code: int, body: dict[str, Any]) -> None:
        self.code, self.body = code, body


class Engine:
    """What both have in common: a base model, adapters by name, and completions."""

    def __init__(
        self,
        base: str = "a notebook",
        *,
        max_lora_rank: int = 16,
        modules: tuple[str, ...] = ("q_proj",),
        key: str = "",
        script: Script = lambda path, prompt: ["Hi", "."],
    ) -> None:
        self.base, self.max_lora_rank, self.modules, self.key = base, max_lora_rank, modules, key
        self.script = script
        self.adapters: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.is_down = False
        self.hold = threading.Event()
        """Set while answers are to go on; cleared, they stop after each piece."""
        self.hold.set()
        self.gone = threading.Event()
        """Set once a client has left in the middle of an answer."""
        self._turn = threading.Lock()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                engine.handle(self, {})

            def do_POST(self) -> None:
                engine.handle(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def restart(self) -> None:
        """All that it was given while it ran is gone."""
        self.adapters.clear()

    def routes(self, *named: str) -> list[str]:
        return [asked.route for asked in self.asked if asked.route in named or not named]

    def handle(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if self.is_down:
            request.close_connection = True
            return
        self.asked.append(Asked(request.path, body))
        try:
            if self.key and request.headers["authorization"] != f"Bearer {self.key}":
                raise _Refusal(401, {"error": "Unauthorized"})
            if request.path == "/v1/completions":
                self._stream(request, body)
                return
            with self._turn:
                code, answer, kind = 200, *self.answer(request.path, body)
        except _Refusal as refusal:
            code, answer, kind = refusal.code, json.dumps(refusal.body), "application/json"
        self._send(request, code, answer.encode(), kind)

    def _send(self, request: BaseHTTPRequestHandler, code: int, answer: bytes, kind: str) -> None:
        request.send_response(code)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def answer(self, route: str, body: dict[str, Any]) -> tuple[str, str]:
        """The body of a success and its type, or _Refusal."""
        raise NotImplementedError

    def model(self, body: dict[str, Any]) -> str:
        """The path, or the base, that a completion is written by; or _Refusal."""
        raise NotImplementedError

    def models(self) -> str:
        base = {"id": self.base, "object": "model", "root": self.base, "parent": None, "max_model_len": 4096}
        cards = [
            {"id": name, "object": "model", "root": path, "parent": self.base}
            for name, path in self.adapters.items()
        ]
        return json.dumps({"object": "list", "data": [base, *cards]})

    def config(self, path: str) -> dict[str, Any]:
        """What an adapter's files say. Raises FileNotFoundError."""
        return dict(json.loads((Path(path) / CONFIG).read_text(encoding="utf-8")))

    def _stream(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if not (isinstance(body["prompt"], list) and all(isinstance(i, int) for i in body["prompt"])):
            raise _Refusal(400, {"error": {"message": "this stand-in takes token ids"}})
        pieces = self.script(self.model(body), body["prompt"])
        request.send_response(200)
        request.send_header("content-type", "text/event-stream; charset=utf-8")
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        is_cut = len(pieces) > body["max_tokens"]
        try:
            for piece in pieces[: body["max_tokens"]]:
                self._event(request, {"choices": [{"index": 0, "text": piece, "finish_reason": None}]})
                self.hold.wait(240)
            end = {"index": 0, "text": "", "finish_reason": "length" if is_cut else "stop"}
            self._event(request, {"choices": [end | self.stopped(is_cut)]})
            # The token that ends a turn is counted.
            n = min(len(pieces) + 1, body["max_tokens"])
            if (body.get("stream_options") or {}).get("include_usage"):
                usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": n}
                self._event(request, {"choices": [], "usage": usage})
            self._chunk(request, b"data: [DONE]\n\n")
            self._chunk(request, b"")
        except (BrokenPipeError, ConnectionResetError):
            self.gone.set()
            request.close_connection = True

    def stopped(self, is_cut: bool) -> dict[str, Any]:
        """What it says of why an answer stopped."""
        raise NotImplementedError

    def _event(self, request: BaseHTTPRequestHandler, told: dict[str, Any]) -> None:
        self._chunk(request, f"data: {json.dumps(told)}\n\n".encode())

    def _chunk(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        request.wfile.flush()


class Vllm(Engine):
    """vLLM's `OpenAIServingModels`; without `runtime` its routes for adapters are not there at all."""

    name = "vllm"

    def __init__(self, base: str = "a notebook", *, runtime: bool = True, **options: Any) -> None:
        self.runtime = runtime
        super().__init__(base, **options)

    def answer(self, route: str, body: dict[str, Any]) -> tuple[str, str]:
        if route == "/v1/models":
            return self.models(), "application/json"
        if route == "/v1/load_lora_adapter" and self.runtime:
            return self._load(body.get("lora_name"), body.get("lora_path"), body.get("load_inplace", False))
        if route == "/v1/unload_lora_adapter" and self.runtime:
            return self._unload(body.get("lora_name"))
        raise _Refusal(404, {"detail": "Not Found"})

    def _load(self, name: str | None, path: str | None, in_place: bool) -> tuple[str, str]:
        if not name or not path:
            raise _error("Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput", 400)
        if not in_place and name in self.adapters:
            raise _error(
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in "
                "place, set 'load_inplace' to True.",
                "InvalidUserInput",
                400,
            )
        try:
            config = self.config(path)
        except FileNotFoundError:
            raise _error(
                f"Loading lora {name} failed: No adapter found for {path}", "NotFoundError", 404
            ) from None
        if unsupported := _unsupported(config):
            raise _error(unsupported, "InternalServerError", 500)
        if config["r"] > self.max_lora_rank:
            raise _error(
                f"LoRA rank {config['r']} is greater than max_lora_rank {self.max_lora_rank}.",
                "InternalServerError",
                500,
            )
        if unknown := sorted({*config["target_modules"]} - {*self.modules}):
            raise _error(
                f"While loading {path}, expected target modules in {sorted(self.modules)} but received "
                f"{unknown}. Please verify that the loaded LoRA module is correct",
                "InternalServerError",
                500,
            )
        self.adapters[name] = path
        return f"Success: LoRA adapter '{name}' added successfully.", "text/plain; charset=utf-8"

    def _unload(self, name: str | None) -> tuple[str, str]:
        if not name:
            raise _error(
                "'lora_name' needs to be provided to unload a LoRA adapter.", "InvalidUserInput", 400
            )
        if name not in self.adapters:
            raise _error(f"The lora adapter '{name}' cannot be found.", "NotFoundError", 404)
        del self.adapters[name]
        return f"Success: LoRA adapter '{name}' removed successfully.", "text/plain; charset=utf-8"

    def model(self, body: dict[str, Any]) -> str:
        if body["model"] == self.base:
            return self.base
        if body["model"] not in self.adapters:
            raise _error(f"The model `{body['model']}` does not exist.", "NotFoundError", 404, "model")
        return self.adapters[body["model"]]

    def stopped(self, is_cut: bool) -> dict[str, Any]:
        return {"stop_reason": None}


class Sglang(Engine):
    """SGLang's LoRA registry: a name is taken until it is unloaded, and every refusal is a 400."""

    name = "sglang"

    def __init__(self, base: str = "a notebook", *, runtime: bool = True, **options: Any) -> None:
        self.runtime = runtime
        super().__init__(base, **options)

    def answer(self, route: str, body: dict[str, Any]) -> tuple[str, str]:
        if route == "/v1/models":
            return self.models(), "application/json"
        if route not in ("/load_lora_adapter", "/unload_lora_adapter"):
            raise _Refusal(404, {"detail": "Not Found"})
        if not self.runtime:
            self._refuse("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.")
        if route == "/load_lora_adapter":
            self._load(body["lora_name"], body["lora_path"])
        else:
            self._unload(body["lora_name"])
        return self._told(success=True), "application/json"

    def _load(self, name: str, path: str) -> None:
        try:
            config = self.config(path)
        except FileNotFoundError as error:
            self._refuse(str(error))
        if config["r"] > self.max_lora_rank or not {*config["target_modules"]} <= {*self.modules}:
            self._refuse(
                f"LoRA adapter {name} with rank {config['r']} is incompatible with the current LoRA memory "
                "pool configuration. Please ensure that the LoRA adapter's rank is within the configured "
                "`--max-lora-rank` and that the target modules are included in `--lora-target-modules`."
            )
        if name in self.adapters:
            self._refuse(f"LoRA with name {name} already exists. Loaded LoRAs: {self.adapters.keys()}")
        self.adapters[name] = path

    def _unload(self, name: str) -> None:
        if name not in self.adapters:
            self._refuse(f"LoRA with name {name} does not exist. Loaded LoRAs: {self.adapters.keys()}")
        del self.adapters[name]

    def _refuse(self, words: str) -> None:
        raise _Refusal(400, json.loads(self._told(success=False, error_message=words)))

    def _told(self, *, success: bool, error_message: str | None = None) -> str:
        return json.dumps(
            {"success": success, "error_message": error_message, "loaded_adapters": dict(self.adapters)}
        )

    def model(self, body: dict[str, Any]) -> str:
        name = body.get("lora_path")
        if name is None:
            return self.base
        if name not in self.adapters:
            words = f"The following requested LoRA adapters are not loaded: {name}"
            raise _Refusal(400, {"object": "error", "message": words, "type": "BadRequestError", "code": 400})
        return self.adapters[name]

    def stopped(self, is_cut: bool) -> dict[str, Any]:
        return {} if is_cut else {"matched_stop": 2}


@contextmanager
def running(kind: type[Vllm] | type[Sglang], *given: Any, **options: Any) -> Iterator[Any]:
    engine = kind(*given, **options)
    try:
        yield engine
    finally:
        engine.close()


def _unsupported(config: dict[str, Any]) -> str:
    """As vLLM's `PEFTHelper` has it."""
    wrong = []
    if config.get("modules_to_save"):
        wrong.append("vLLM only supports modules_to_save being None.")
    if config.get("use_dora"):
        wrong.append("vLLM does not yet support DoRA.")
    if config.get("bias", "none") != "none":
        wrong.append("Adapter bias is not supported.")
    return " ".join(wrong)


def _error(message: str, kind: str, code: int, param: str | None = None) -> _Refusal:
    """As vLLM's `create_error_response` has it."""
    return _Refusal(code, {"error": {"message": message, "type": kind, "param": param, "code": code}})
