"""A tenant with something to look at: taught three times, reverted once, and told something since."""

from __future__ import annotations

from ice_agent import collect, cycle
from ice_agent.config import Config
from ice_agent.settings import Collect
from memory import Fact, FactStatus, FactStore
from tests.standin import Notebook

FIRST = ("My name is Amara.", "I live in Nairobi.", "I like tea.")
SECOND = ("I moved to Oslo.", "My sister is called Olga.")
THIRD = ("I work as a beekeeper.",)
WAITING = ("I play the cello.",)
GUARDS = {"min_probes": 1, "min_edit_success": 0.5}
"""What cycles of so few facts can pass."""


def lived(store: FactStore, config: Config, waiting: tuple[str, ...] = WAITING) -> None:
    """Three cycles, of which the last is taken back; then something more is told."""
    editor = Notebook()
    cycle.init(store, editor, config)
    for told in (FIRST, SECOND, THIRD):
        for text in told:
            hear(store, text)
        cycle.run_cycle(store, editor, config)
    store.revert()
    for text in waiting:
        hear(store, text)


def hear(store: FactStore, text: str, settings: Collect | None = None) -> None:
    collect.hear(store, settings or Collect(), text, collect.extractor_named("rules"))


def fact(store: FactStore, about: str) -> Fact:
    """The one fact whose statement has this in it."""
    (found,) = (each for each in store.facts(statuses=FactStatus) if about in each.statement)
    return found
