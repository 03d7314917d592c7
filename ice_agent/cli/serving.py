"""The verb that serves over HTTP."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from ice_agent.cli.app import ConfigPath, app, load_model, opened, out
from ice_agent.errors import ConfigError

if TYPE_CHECKING:
    # Only the name is needed here: importing it takes seconds, and fastapi is an extra.
    from ice_agent.server.serving import Serving


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen at [default: server.host].")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="And the port [default: server.port].")
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Serve over HTTP, until stopped: OpenAI's chat completions, mem0's memories, and all that was learned.

    Of all tenants: a key (`ice-agent keys`) says whose memory a request is about. Without any key only this
    machine is served. Ctrl-C or SIGTERM ends it, once what is being written is written.
    """
    with opened(config, None, delivers=True) as at:
        asked = {"host": host, "port": port}
        named = {name: value for name, value in asked.items() if value is not None}
        settings = at.of_all.model_copy(update={"server": at.of_all.server.model_copy(update=named)})
        if not all(map(find_spec, ("fastapi", "uvicorn"))):
            raise ConfigError("serving needs FastAPI and uvicorn: pip install 'ice-agent[server]'")
        from ice_agent import hooks, publish
        from ice_agent.server import listening, serving

        logging.getLogger("ice_agent.server").setLevel(logging.INFO)
        serving.require_keys_beyond_loopback(at.archive, settings.server.host)
        model = load_model(settings)
        with (
            serving.opened(at.archive, settings, model) as parts,
            hooks.delivering(at.archive, settings.hooks),
            publish.publishing(at.archive, settings),
            listening.Listener(parts) as listener,
        ):
            _report(listener.url, parts)
            listener.run()


def _report(url: str, parts: Serving) -> None:
    out.print(f"[bold]{url}[/] serves {parts.model.name}", soft_wrap=True)
    if parts.is_open:
        out.print(
            "  no keys: whoever is on this machine is let in, to any tenant (`ice-agent keys --issue LABEL`)"
        )
    else:
        out.print("  each request needs a key: `Authorization: Bearer KEY`")
    out.print(f"  OpenAI's clients   base_url={url}/v1  model=ice", markup=False, soft_wrap=True)
    out.print(f"  the dashboard      open {url}/ in a browser", markup=False, soft_wrap=True)
