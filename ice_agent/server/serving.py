"""What all requests share: settings, memory, model and engine. Opened once, before the first one is taken."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ice_agent import collect, executors, recall
from ice_agent.collect import Extractor
from ice_agent.config import Config
from ice_agent.engine import Engine
from ice_agent.errors import ConfigError
from ice_agent.model import EditableModel
from ice_agent.publish import OutsideWriter
from ice_agent.recall import Meanings
from ice_agent.server.runs import Runs
from ice_agent.turns import takes_tools
from ice_agent.writing import Writer
from memory import Archive


class Serving:
    """The parts that requests work with. Whoever opens it closes archive, engine and runs."""

    def __init__(
        self,
        config: Config,
        archive: Archive,
        model: EditableModel,
        engine: Writer,
        extractor: Extractor,
        meanings: Meanings | None,
        runs: Runs,
    ) -> None:
        self.config, self.archive = config, archive
        self.model, self.engine = model, engine
        self.extractor, self.meanings = extractor, meanings
        self.runs = runs
        # A model whose prompts are plain has a template, perhaps, and it is not used.
        self.takes_tools = model.prompts == "chat" and takes_tools(model.tokenizer)
        """Whether prompts can tell the model of tools."""
        self._needs_key = not is_loopback(config.server.host)

    @property
    def is_open(self) -> bool:
        """No key was ever issued, and nobody but this machine can ask: every caller may name any tenant.

        The first key ends that, without a restart; that it is forgotten with its tenant brings nothing back.
        """
        self._needs_key = self._needs_key or self.archive.has_keys()
        return not self._needs_key

    def without_folders(self, words: str) -> str:
        """Words about files, without where these lie on this machine."""
        settings = self.config
        for folder in (settings.adapters.dir, settings.ledger.checkpoints, settings.ledger.key.parent):
            where = str(folder.absolute())
            words = words.replace(f"{where}/", "").replace(where, folder.name)
        return words


@contextmanager
def opened(archive: Archive, config: Config, model: EditableModel) -> Iterator[Serving]:
    """Everything that requests need, but for the port. Raises ConfigError for what cannot be served so."""
    require_keys_beyond_loopback(archive, config.server.host)
    with ExitStack() as parts:
        engine: Engine | OutsideWriter
        if config.publish.generate:
            engine = OutsideWriter(archive, config, model.stop_ids)
        else:
            engine = Engine(model, config.engine, config.adapters.dir)
        parts.enter_context(engine)
        runs = Runs(lambda stop: executors.InProcess(config, executors.ice_editor, stop))
        parts.callback(runs.close)
        yield Serving(
            config, archive, model, engine,
            extractor=collect.extractor_named(config.collect.extractor),
            meanings=recall.meanings(config.recall.embeddings),
            runs=runs,
        )  # fmt: skip


def require_keys_beyond_loopback(archive: Archive, host: str) -> None:
    if not is_loopback(host) and not archive.has_keys():
        raise ConfigError(
            f"[server] host = {host!r} can be reached from other machines, and without a key everybody is "
            "let in: make one first (`ice-agent keys --issue LABEL`), or leave host at 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address, or whatever a name stands for.

    Raises ConfigError for a name that stands for nothing.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"[server] host = {host!r} is no address here: {error.strerror or error}") from None
    # The zone of a link-local address is no part of it.
    addresses = {str(place[0]).partition("%")[0] for *_, place in found}
    return bool(addresses) and all(ipaddress.ip_address(each).is_loopback for each in addresses)
