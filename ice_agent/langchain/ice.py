"""Memory, base model and engine, opened once for the chat models and agents of all tenants."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from langchain_core.embeddings import Embeddings

from ice_agent import collect, config, recall
from ice_agent.agent import Agent
from ice_agent.collect import Extractor
from ice_agent.config import Config
from ice_agent.engine import Engine
from ice_agent.model import EditableModel
from ice_agent.publish import OutsideWriter
from ice_agent.turns import call_opening, takes_tools
from ice_agent.writing import Writer
from memory import Archive


class Ice:
    """What answers are made of. Without settings, those of config.toml hold; the model is loaded at once."""

    def __init__(
        self,
        settings: Config | None = None,
        *,
        model: EditableModel | None = None,
        writer: Writer | None = None,
        extractor: Extractor | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        self.config = settings or config.load()
        self._extractor = extractor or collect.extractor_named(self.config.collect.extractor)
        self._meanings = recall.meanings(self.config.recall.embeddings, embeddings)
        self._parts = ExitStack()
        announced = self.config.hooks.of.keys()
        self.archive = self._parts.enter_context(Archive.open(self.config.store.url, announced=announced))
        self.model = model or EditableModel.load(self.config.model, self.config.lora)
        self.writer = writer if writer is not None else self._own_writer()
        is_chat = self.model.prompts == "chat"
        self.takes_tools = is_chat and takes_tools(self.model.tokenizer)
        """Whether prompts can tell the model of tools."""

    def close(self) -> None:
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def agent(self, tenant: str) -> Agent:
        """Who prepares a tenant's prompts, and hears what is said."""
        store = self.archive.store(tenant)
        return Agent(store, self.model, self.config, self._extractor, self._meanings)

    def call_opening(self, name: str = "") -> str:
        """What an answer that calls this tool, or any, begins with; empty where the template does not say."""
        return call_opening(self.model.tokenizer, name) if self.takes_tools else ""

    def _own_writer(self) -> Writer:
        if self.config.publish.generate:
            outside = OutsideWriter(self.archive, self.config, self.model.stop_ids)
            return self._parts.enter_context(outside)
        engine = Engine(self.model, self.config.engine, self.config.adapters.dir)
        return self._parts.enter_context(engine)
