"""A back end that talks to its users through `ice-agent serve`, by OpenAI's own client.

    ice-agent serve                                  # in one terminal
    pip install openai fastapi uvicorn               # in another
    uvicorn openai_backend:app --port 8000
    curl -N localhost:8000/chat -H 'Content-Type: application/json' \\
         -d '{"user": "ann", "text": "I moved to Lisbon."}'

What is special about it: the `user` of each request is whose memory it is, and the conversation may be as
short as you like, because what was told before comes from the memory. Where keys are issued, a key says whose
memory it is: then give the back end one for each user.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

TURNS = 6
"""Of a conversation, that are sent along; older ones are left to the memory."""

ice = OpenAI(
    base_url=os.environ.get("ICE_URL", "http://127.0.0.1:8321") + "/v1",
    api_key=os.environ.get("ICE_KEY", "none is needed on this machine"),
)
app = FastAPI()
conversations = defaultdict[str, deque[ChatCompletionMessageParam]](lambda: deque(maxlen=TURNS))


class Said(BaseModel):
    """What a user says."""

    user: str
    text: str


@app.post("/chat")
def chat(said: Said) -> StreamingResponse:
    """The answer, as it is written; its last line says what it cost."""
    return StreamingResponse(answer(said), media_type="text/plain")


def answer(said: Said) -> Iterator[str]:
    turns = conversations[said.user]
    turns.append({"role": "user", "content": said.text})
    pieces = ice.chat.completions.create(
        model="ice", messages=list(turns), user=said.user, stream=True, stream_options={"include_usage": True}
    )
    text = ""
    for piece in pieces:
        for choice in piece.choices:
            text += choice.delta.content or ""
            yield choice.delta.content or ""
        if piece.usage is not None:
            yield f"\n[{piece.usage.prompt_tokens} tokens read, {piece.usage.completion_tokens} written]\n"
    turns.append({"role": "assistant", "content": text})
