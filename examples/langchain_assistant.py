"""An assistant of many users in LangChain: it is told something, knows it in the next answer, and streams.

Run it where config.toml is, or anywhere: the bundled model and a new database are used then. `ice-agent cycle
--tenant ann` teaches the model's weights what Ann said, and the prompt is as short as before.
"""

from __future__ import annotations

from langchain_core.output_parsers import StrOutputParser

from ice_agent.langchain import ChatIce, Ice, IceAgent

SAID = (
    ("ann", "I live in Lisbon, and I like tea."),
    ("bob", "I moved to Oslo last week."),
    ("ann", "Where do I live?"),
    ("bob", "Where do I live?"),
)


def main() -> None:
    with Ice() as ice:
        agent = IceAgent(ice)
        # A step like any other: pieces go on to the next one as they come.
        assistant = agent | StrOutputParser()
        for tenant, text in SAID:
            print(f"{tenant}> {text}")
            for piece in assistant.stream(text, {"configurable": {"tenant": tenant}}):
                print(piece, end="", flush=True)
            print()

        # The same model without what Ann said: a chat model that recalls nothing.
        question = "Where do I live?"
        for model in ("ice", "base"):
            answer = ChatIce(ice=ice, tenant="ann", model=model).invoke(question)
            memory = answer.response_metadata["memory_tokens"]
            print(f"{model}: {answer.text} ({memory} tokens of memory)")


if __name__ == "__main__":
    main()
