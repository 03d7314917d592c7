"""What the agent does: it turns the facts that `memory` holds into adapters, and takes them back."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Memory", "__version__"]


def __getattr__(name: str) -> Any:
    # Only when it is asked for: the extractor's patterns take most of a second to compile.
    if name == "Memory":
        from ice_agent.memories import Memory

        return Memory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
