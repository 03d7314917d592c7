"""An embedding model that a test can see through: a text is how often it speaks of each of a few things."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

SPEAK_OF = (
    {"lives", "live", "dwell", "flat", "residence", "town"},
    {"nurse", "works", "job", "earn", "living", "profession"},
    {"tea", "drink", "thirsty", "beverage", "likes"},
    {"sister", "sibling", "relatives"},
)


class Concepts(Embeddings):
    """Counts what it is asked for, and can be told to fail."""

    def __init__(self, *, is_down: bool = False, dims: int = 5) -> None:
        self.is_down, self.dims = is_down, dims
        self.embedded: list[str] = []

    def embed_query(self, text: str) -> list[float]:
        if self.is_down:
            raise ConnectionError("no route to host")
        words = {word.strip(".,!?'s") for word in text.casefold().split()}
        counts = [float(len(words & thing)) for thing in SPEAK_OF]
        return [*counts, 0.1, *[0.0] * (self.dims - 5)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.embedded += texts
        return [self.embed_query(text) for text in texts]
