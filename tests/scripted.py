"""A generator that writes what a model taught to call tools would, and the chat template of such a model."""

from __future__ import annotations

import json
import re
from typing import Any

from ice_agent.model import EditableModel
from ice_agent.writing import Ask, Finish, Spelling, Writing
from tests import tiny

TEMPLATE_WITH_TOOLS = (
    "{{ bos_token }}"
    "{% if tools %}<system># Tools\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<end>{% endif %}"
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}<user><tool_response>{{ m.content }}</tool_response><end>"
    "{% else %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<end>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""As Hermes and Qwen have it."""

_OPENED = re.compile(r'<assistant><tool_call>\n\{"name": "(?:(\w+)", "arguments": )?\Z')
_QUOTED = re.compile(r"'([^']+)'")


def a_model() -> EditableModel:
    return tiny.tiny_model(template=TEMPLATE_WITH_TOOLS)


class Scripted:
    """Calls the tool that a user's question is about; once it has answered, or without tools, it says so."""

    is_open, load = True, (0, 0)

    def __init__(self, model: EditableModel) -> None:
        self._tokenizer = model.tokenizer
        self.prompts: list[str] = []
        self.writings: list[Writing] = []

    def write(self, ask: Ask) -> Writing:
        prompt = self._tokenizer.decode(list(ask.prompt))
        self.prompts.append(prompt)
        writing, spelling = Writing(ask), Spelling(ask.stop)
        self.writings.append(writing)
        answer = _answer(prompt)
        for end in range(4, len(answer) + 4, 4):
            writing.add(spelling.grown(answer[:end], is_last=end >= len(answer)))
        writing.end(Finish.STOP, len(answer) // 4)
        return writing

    def forget(self) -> None:
        pass


def _answer(prompt: str) -> str:
    tools = {tool["name"]: tool["parameters"] for tool in _tools(prompt)}
    asked = prompt.rpartition("<user>")[2].partition("<end>")[0]
    if opened := _OPENED.search(prompt):
        name = opened[1] or next((name for name in tools if name in asked), next(iter(tools)))
        arguments = json.dumps(_filled(tools[name], asked), ensure_ascii=False)
        begun = "" if opened[1] else f'{name}", "arguments": '
        return f"{begun}{arguments}}}\n</tool_call>"
    if tools and "<tool_response>" not in asked:
        name, parameters = next(iter(tools.items()))
        call = {"name": name, "arguments": _filled(parameters, asked)}
        return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"
    if "as a JSON with" in asked:
        return json.dumps(dict.fromkeys(_QUOTED.findall(asked), "a cat"))
    if found := re.search(r"schema, and nothing else: (\{.*?\})<end>", prompt):
        return json.dumps(_filled(json.loads(found[1]), asked))
    return "It is so, as far as I know."


def _tools(prompt: str) -> list[dict[str, Any]]:
    lines = prompt.partition("# Tools\n")[2].partition("<end>")[0].splitlines()
    return [json.loads(line)["function"] for line in lines]


def _filled(schema: dict[str, Any], asked: str) -> dict[str, Any]:
    """Something that fits each parameter: what the question has in quotes, or its number."""
    kinds = {name: part.get("type", "string") for name, part in schema.get("properties", {}).items()}
    quoted, number = _QUOTED.search(asked), re.search(r"\d+", asked)
    words = quoted[1] if quoted else "a cat"
    return {n: int(number[0] if number else 3) if k == "integer" else words for n, k in kinds.items()}
