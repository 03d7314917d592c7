"""Forgetting, in the store and on the disk: every adapter that was taught a forgotten fact is deleted.

No model is needed. `rebuild` teaches the weights again what stays.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ice_agent import collect, relations
from ice_agent.collect import Extractor, Heard
from ice_agent.collect.requests import forget_request
from ice_agent.config import Config
from ice_agent.errors import ForgetError
from memory import USER, Adapter, FactStatus, FactStore, Forgetting, UnknownFact

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants forgotten, as the store knows it; nothing in it when nothing was found."""

    fact_ids: tuple[str, ...] = ()
    subject: str | None = None
    utterance_ids: tuple[str, ...] = ()


def wish(
    store: FactStore, config: Config, extractor: Extractor, text: str, last: Heard | None = None
) -> Wish | None:
    """What the user asks to have forgotten, if the text is such a request; nothing is changed.

    "Forget what I just said" means the facts that are new since `last`, and its words; "forget that I live in
    Rome" what the extractor finds in it; "forget everything about my sister" her, and whoever she is called.
    Raises ForgetError for everything about the user: that is all of a tenant.
    """
    request = forget_request(text)
    if request is None:
        return None
    if request.is_last:
        return _of_last(store, last)
    if request.subject is not None:
        return _of_subject(store, request.subject)
    found = collect.extract_from(text, extractor, config.collect)
    meant = [candidate for candidate in collect.of_known_subjects(store, found) if candidate.retracts]
    ids = (fact.id for candidate in meant for fact in store.told_of(candidate))
    return Wish(fact_ids=tuple(dict.fromkeys(ids))) if meant else None


def grant(store: FactStore, config: Config, wish: Wish) -> Forgetting:
    """Forget what is wished for."""
    return forget(store, config, wish.fact_ids, wish.subject, wish.utterance_ids)


def forget(
    store: FactStore,
    config: Config,
    fact_ids: Sequence[str] = (),
    subject: str | None = None,
    utterance_ids: Sequence[str] = (),
) -> Forgetting:
    """Erase facts, or all about a subject, from the store, and from the disk every adapter that held one.

    What stays is served by the last clean adapter and the prompt at once, until `rebuild`.
    """
    taken = store.forget(fact_ids, subject, utterance_ids)
    _remove(config, taken.adapters)
    return taken


def forget_everything(store: FactStore, config: Config) -> tuple[Adapter, ...]:
    """Erase all that is held about the tenant, and its adapters."""
    adapters = store.forget_everything()
    _remove(config, adapters)
    return adapters


def _of_last(store: FactStore, last: Heard | None) -> Wish:
    if last is None:
        return Wish()
    # Some of it may have been forgotten by name since.
    ids = tuple(fact.id for fact in last.learned if _is_held(store, fact.id))
    return Wish(fact_ids=ids, utterance_ids=(last.utterance.id,))


def _is_held(store: FactStore, fact_id: str) -> bool:
    try:
        store.fact(fact_id)
    except UnknownFact:
        return False
    return True


def _of_subject(store: FactStore, called: str) -> Wish:
    plain = called.strip()
    if plain.lower() in ("me", "myself"):
        raise ForgetError(f"that is all there is: run `ice-agent forget --tenant {store.tenant}`")
    noun = re.sub(r"^(?:my|our) ", "", plain, flags=re.IGNORECASE)
    relation = relations.canonical(noun)
    if noun == plain:
        about = plain
    elif relation in collect.KIN:
        about = f"the user's {relation}"
    else:
        return Wish(
            fact_ids=tuple(
                fact.id for fact in store.facts(statuses=FactStatus, subject=USER, relation=relation)
            )
        )
    names = collect.names_of(store, about)
    ids = dict.fromkeys(fact.id for name in names for fact in store.foresee(subject=name).facts)
    return Wish(fact_ids=tuple(ids), subject=names[0] if ids else None)


def _remove(config: Config, adapters: Iterable[Adapter]) -> None:
    for adapter in adapters:
        held = config.adapters.dir / adapter.path
        partial = config.adapters.dir.glob(f".partial-{adapter.id}-*")
        try:
            for folder in (held, *partial):
                if folder.exists():
                    shutil.rmtree(folder)
            (config.adapters.dir / f"{adapter.id}.transcripts.jsonl").unlink(missing_ok=True)
        except OSError as error:
            raise ForgetError(
                f"{held} still holds what was forgotten and cannot be deleted: {error.strerror}; delete it"
            ) from error
        logger.info("deleted %s, which held what was forgotten", adapter.id)
