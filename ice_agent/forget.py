"""Forgetting, in the store and on the disk: every adapter that was taught a forgotten fact is deleted.

No model is needed. `rebuild` teaches the weights again what stays, `leak` asks them, and a signed receipt,
outside the database, says what was done. It holds ids and hashes alone, and nothing of what was forgotten.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ice_agent import collect, relations
from ice_agent.collect import Extractor
from ice_agent.collect.requests import forget_request
from ice_agent.config import Config
from ice_agent.errors import ForgetError
from ice_agent.manifest import MANIFEST, training_dir
from memory import (
    USER,
    Adapter,
    Archive,
    CandidateFact,
    FactStatus,
    FactStore,
    Forgetting,
    Leak,
    Notary,
    now,
)

logger = logging.getLogger(__name__)

NEVER_TAUGHT = "no adapter that is left was ever taught it: there was nothing to ask"
NOT_BY_NAME = (
    "nothing was erased: this key may take back what was said last; erasing anything else needs one that may "
    "operate"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants forgotten, as the store knows it; nothing in it when nothing was found."""

    fact_ids: tuple[str, ...] = ()
    subject: str | None = None
    utterance_ids: tuple[str, ...] = ()


def wish(store: FactStore, config: Config, extractor: Extractor, said: Sequence[str]) -> Wish | None:
    """What the last of what a user said asks to have forgotten, if it is such a request; nothing is changed.

    "Forget what I just said" means the words before it, as they were kept, and the facts that are new since;
    "forget that I live in Rome" what the extractor finds in it; "forget everything about my sister" her, and
    whoever she is called. Raises ForgetError for everything about the user: that is all of a tenant.
    """
    *before, text = said
    request = forget_request(text) if len(text) <= collect.LONGEST_UTTERANCE else None
    if request is None:
        return None
    if request.is_last:
        return _of_last(store, config, before)
    if request.subject is not None:
        return _of_subject(store, request.subject)
    found = collect.extract_from(text, extractor, config.collect)
    meant = [candidate for candidate in collect.of_known_subjects(store, found) if candidate.retracts]
    ids = (fact.id for candidate in meant for fact in store.told_of(candidate))
    return Wish(fact_ids=tuple(dict.fromkeys(ids))) if meant else None


def grant(archive: Archive, store: FactStore, config: Config, wish: Wish) -> tuple[Forgetting, Path | None]:
    """Forget what is wished for, as `attested`."""
    if wish == Wish():
        # Of somebody unknown, too: being asked must not make a tenant.
        return store.foresee(), None
    asked = (wish.fact_ids, wish.subject, wish.utterance_ids)
    return attested(archive, store, config, lambda: forget(store, config, *asked))


def answered(
    archive: Archive,
    store: FactStore,
    config: Config,
    extractor: Extractor,
    said: Sequence[str],
    *,
    by_name: bool = True,
) -> str | None:
    """Grant what the last of what a user said asks to have forgotten, and say what went; None if it asks for
    nothing of the kind. No word of the request is kept.

    Whoever may not erase `by_name` is granted what they said last; what else they name is taken back, as by
    any other words of theirs.
    """
    try:
        wished = wish(store, config, extractor, said)
    except ForgetError as error:
        return str(error)
    if wished is None:
        return None
    if not by_name and (wished.fact_ids or wished.subject) and not wished.utterance_ids:
        heard = collect.hear(store, config.collect, said[-1], extractor)
        return "\n".join([*(f"taken back: {fact.statement}" for fact in heard.retracted), NOT_BY_NAME])
    taken, _ = grant(archive, store, config, wished)
    return reply(taken)


def reply(taken: Forgetting) -> str:
    """What a request to forget took away, each fact in its words, or that there was nothing."""
    if taken.is_nothing:
        return "nothing of that is known here: nothing was forgotten"
    lines = [f"forgot: {fact.statement}" for fact in taken.facts] or [
        "forgot what was said; no fact was in it"
    ]
    if n_bereft := len(taken.bereft):
        facts, stay = ("fact", "stays") if n_bereft == 1 else ("facts", "stay")
        lines.append(f"{n_bereft} {facts} said in the same words {stay}, without the words")
    if taken.adapters:
        lines.append(f"deleted {', '.join(adapter.id for adapter in taken.adapters)}, which had learned it")
    return "\n".join(lines)


def allowed(
    store: FactStore, config: Config, text: str, extractor: Extractor | None = None
) -> tuple[CandidateFact, ...]:
    """Let what was forgotten be learned when it is said again: the facts in a text, and the text itself."""
    if not store.exists():
        return ()
    found = collect.tried(text, config.collect, extractor)
    itself = collect.extract_from(text, collect.as_it_is, config.collect)
    return tuple(candidate for candidate in (*found, *itself) if store.allow(candidate))


def attested(
    archive: Archive, store: FactStore, config: Config, erase: Callable[[], Forgetting]
) -> tuple[Forgetting, Path | None]:
    """Erase something, and sign a receipt of it; there is none where nothing went.

    Raises NotaryError for a key that cannot be used before anything is erased.
    """
    notary = Notary.at(config.ledger.key, archive.origin)
    taken = erase()
    if not taken.entries:
        return taken, None
    return taken, certify(archive, config, notary, taken, serving=store.serving())


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
    _remove(config, taken)
    return taken


def forget_everything(store: FactStore, config: Config) -> Forgetting:
    """Erase all that is held about the tenant, and its adapters."""
    taken = store.forget_everything()
    _remove(config, taken)
    return taken


def certify(
    archive: Archive,
    config: Config,
    notary: Notary,
    taken: Forgetting,
    *,
    serving: Adapter | None,
    rebuilt: Sequence[Adapter] = (),
    leaks: Sequence[Leak] | None = None,
) -> Path:
    """Sign what was forgotten, and that the ledger says so, into a file beside the checkpoints.

    `leaks` is what probing the adapter that serves found; None where nobody asked it.
    """
    checkpoint = archive.checkpoint()
    notary.sign(checkpoint, config.ledger.checkpoints)
    told = {
        "at": now().isoformat(timespec="seconds"),
        "facts": [fact.id for fact in taken.facts],
        "utterances": [utterance.id for utterance in taken.utterances],
        "adapters": [adapter.id for adapter in taken.adapters],
        "serving": serving.id if serving else None,
        "rebuilt": [{"adapter": adapter.id, "status": adapter.status} for adapter in rebuilt],
        "probe": NEVER_TAUGHT if leaks is None else [asdict(leak) | {"leaks": leak.leaks} for leak in leaks],
    }
    note = notary.signed(checkpoint)
    receipt = archive.receipt(taken.tenant_id, taken.entries, note, notary.key, told)
    return notary.certify(receipt, config.ledger.checkpoints)


def returned(archive: Archive, config: Config, receipt: dict[str, Any]) -> tuple[str, ...]:
    """What a receipt says is gone and is here, as after a restored backup."""
    back = [f"{fact_id} is in the database again" for fact_id in archive.held(receipt["facts"])]
    there = [config.adapters.dir / adapter_id for adapter_id in receipt["adapters"]]
    return (*back, *(f"{folder} is there again: delete it" for folder in there if folder.exists()))


def _of_last(store: FactStore, config: Config, before: Sequence[str]) -> Wish:
    """Each such request before this one was about what was said before it, and so on."""
    left = list[str]()
    for text in before:
        asked = forget_request(text)
        if asked is None:
            left.append(text)
        elif asked.is_last and left:
            left.pop()
    kept = collect.kept_words(left[-1], config.collect) if left else collect.OFF_RECORD
    heard = [said for said in store.utterances(saying=kept) if said.speaker == USER]
    if kept == collect.OFF_RECORD or not heard:
        return Wish()
    words = heard[-1].id
    new = store.foresee(utterance_ids=[words]).bereft
    return Wish(fact_ids=tuple(fact.id for fact in new), utterance_ids=(words,))


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


def _remove(config: Config, taken: Forgetting) -> None:
    commitments = {fact.commitment for fact in taken.facts}
    held = [path for adapter in taken.adapters for path in _files(config, adapter.path)]
    adapters = {adapter.id for adapter in taken.adapters}
    for path in dict.fromkeys((*held, *_taught(config, commitments, adapters))):
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ForgetError(
                f"{path} still holds what was forgotten and cannot be deleted: {error.strerror}; delete it"
            ) from error
        logger.info("deleted %s, which held what was forgotten", path)


def _files(config: Config, adapter: str) -> Iterator[Path]:
    """Its folder, its transcripts, and what a cycle that was killed left of either half written."""
    folder = config.adapters.dir
    yield from (path for path in (folder / adapter, training_dir(folder / adapter)) if path.exists())
    yield from (*folder.glob(f"{adapter}.*"), *folder.glob(f".partial-{adapter}-*"))


def _taught(config: Config, commitments: set[str], adapters: set[str]) -> Iterator[Path]:
    """What a cycle wrote and was killed before the store knew of it: taught a fact, or on top of one."""
    for path in config.adapters.dir.glob(f"*/{MANIFEST}"):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        facts = {*manifest.get("facts", ()), *manifest.get("taken_back", ())}
        if commitments & facts or manifest.get("parent_id") in adapters:
            yield from _files(config, path.parent.name)
