"""An assistant that remembers, as LangChain runs it: messages in, an answer out, facts on the side."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.utils import MessageLikeRepresentation, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor

from ice_agent import forget
from ice_agent.agent import ICE
from ice_agent.errors import IceError
from ice_agent.langchain.calls import turns
from ice_agent.langchain.chat import ChatIce
from ice_agent.langchain.ice import Ice
from memory import StoreError

logger = logging.getLogger(__name__)

Conversation = str | BaseMessage | Sequence[MessageLikeRepresentation] | Mapping[str, Any]
"""A question, the messages so far, or a state that has them under "messages"."""


class IceAgent(Runnable[Conversation, AIMessage]):
    """Answers whoever config["configurable"] names as `tenant`, or `user_id`, and keeps the facts they tell.

    These are kept once the answer has ended: the next one knows them. A request to forget is granted, and the
    answer says what went. It keeps no conversation.
    """

    def __init__(self, ice: Ice | None = None, *, tenant: str = "", **options: Any) -> None:
        """`tenant` is whoever asks without a name; the options are those of a ChatIce."""
        self.ice = ice or Ice()
        self._tenant, self._options = tenant, options

    def invoke(self, input: Conversation, config: RunnableConfig | None = None, **options: Any) -> AIMessage:
        return self._call_with_config(self._answer, input, config, **options)

    async def ainvoke(
        self, input: Conversation, config: RunnableConfig | None = None, **options: Any
    ) -> AIMessage:
        return await self._acall_with_config(self._aanswer, input, config, **options)

    def stream(
        self, input: Conversation, config: RunnableConfig | None = None, **options: Any
    ) -> Iterator[AIMessage]:
        yield from self._transform_stream_with_config(iter([input]), self._pieces, config, **options)

    async def astream(
        self, input: Conversation, config: RunnableConfig | None = None, **options: Any
    ) -> AsyncIterator[AIMessage]:
        async def once() -> AsyncIterator[Conversation]:
            yield input

        pieces = self._atransform_stream_with_config(once(), self._apieces, config, **options)
        async for piece in pieces:
            yield piece

    def _answer(
        self,
        asked: Conversation,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **options: Any,
    ) -> AIMessage:
        chat, messages = self._begun(asked, config)
        if (forgot := self._forgotten(chat, messages)) is not None:
            return forgot
        answer = chat.invoke(messages, config, **options)
        self._hear(chat, messages)
        return answer

    async def _aanswer(
        self,
        asked: Conversation,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **options: Any,
    ) -> AIMessage:
        chat, messages = self._begun(asked, config)
        if (forgot := await run_in_executor(config, self._forgotten, chat, messages)) is not None:
            return forgot
        answer = await chat.ainvoke(messages, config, **options)
        await run_in_executor(config, self._hear, chat, messages)
        return answer

    def _pieces(
        self,
        asked: Iterator[Conversation],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **options: Any,
    ) -> Iterator[AIMessage]:
        chat, messages = self._begun(next(asked), config)
        if (forgot := self._forgotten(chat, messages)) is not None:
            yield forgot
            return
        yield from chat.stream(messages, config, **options)
        self._hear(chat, messages)

    async def _apieces(
        self,
        asked: AsyncIterator[Conversation],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **options: Any,
    ) -> AsyncIterator[AIMessage]:
        chat, messages = self._begun(await anext(asked), config)
        if (forgot := await run_in_executor(config, self._forgotten, chat, messages)) is not None:
            yield forgot
            return
        async for piece in chat.astream(messages, config, **options):
            yield piece
        await run_in_executor(config, self._hear, chat, messages)

    def _begun(self, asked: Conversation, config: RunnableConfig) -> tuple[ChatIce, list[BaseMessage]]:
        return ChatIce(ice=self.ice, tenant=self._named(config), **self._options), _messages(asked)

    def _named(self, config: RunnableConfig) -> str:
        """Whose memory it is about. Raises ValueError where nobody says, or two do."""
        given = config.get("configurable") or {}
        names = {str(given[key]) for key in ("tenant", "user_id") if given.get(key)} or {self._tenant}
        if len(names) > 1:
            raise ValueError(f"configurable names two whose memory it is: {', '.join(sorted(names))}")
        if not (name := names.pop()):
            raise ValueError('whose memory? Pass config={"configurable": {"tenant": "ann"}}')
        return name

    def _forgotten(self, chat: ChatIce, messages: Sequence[BaseMessage]) -> AIMessageChunk | None:
        """The whole answer to a request to forget, which is granted by then; None for all else."""
        if not isinstance(messages[-1], HumanMessage):
            return None
        said = [message.text.strip() for message in messages if isinstance(message, HumanMessage)]
        agent = self.ice.agent(chat.tenant)
        text = forget.answered(self.ice.archive, agent.store, agent.config, agent.extractor, said)
        if text is None:
            return None
        self.ice.writer.forget()
        return AIMessageChunk(
            content=text,
            # No model was asked.
            usage_metadata=UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0),
            response_metadata={"model_name": ICE, "model_provider": "ice-agent", "finish_reason": "stop"},
            chunk_position="last",
        )

    def _hear(self, chat: ChatIce, messages: Sequence[BaseMessage]) -> None:
        """Keep what the human said last. That it cannot be kept takes nobody's answer away."""
        if not isinstance(messages[-1], HumanMessage) or not (said := messages[-1].text.strip()):
            return
        try:
            self.ice.agent(chat.tenant).hear(said, turns(messages)[:-1])
        except (IceError, StoreError) as error:
            logger.error("what was said is not kept: %s", error)


def _messages(asked: Conversation) -> list[BaseMessage]:
    if isinstance(asked, Mapping):
        asked = asked["messages"]
    if isinstance(asked, str | BaseMessage):
        asked = [HumanMessage(asked) if isinstance(asked, str) else asked]
    return convert_to_messages(asked)
