"""A year of nightly cycles, with corrections, reverts, forgetting and rebuilds: what is bounded stays so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Any

import pytest
import sqlalchemy as sa

from ice_agent import cycle, forget, garbage, rebuild
from ice_agent.config import Config
from ice_agent.settings import AdaptersSettings
from memory import Adapter, AdapterStatus, Archive, CandidateFact, now
from tests.standin import Notebook

pytestmark = pytest.mark.slow

SIZE = 20_000
"""Bytes of an adapter's weights, whatever it knows."""


@pytest.mark.parametrize("days", [40, pytest.param(365, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_adapters_and_disk_and_the_work_of_a_cycle_stay_bounded(tmp_path, days):
    settings = Config.model_validate(
        {"adapters": {"dir": tmp_path / "adapters", "keep": 5, "keep_days": 0, "keep_rejected_days": 0}}
    )
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        year = Year(archive, settings)
        for day in range(1, days + 1):
            year.live(day)
        store = archive.store("tom")
        folders = [path for path in settings.adapters.dir.iterdir() if path.is_dir()]
        weights = sum(garbage._size(path) for path in folders)
        assert store.verify().problems == ()
        # The root, the five from the serving one back, what the oldest was edited from, a step of a rebuild.
        assert max(year.folders) <= 1 + 5 + 1 + 1
        assert weights <= 8 * (SIZE + 50_000)
        assert [f.object for f in store.facts()] == [f.object for f in store.learned()]
        ordinary = [year.statements[day] for day in sorted(year.statements)]
        early, late = ordinary[5:15], ordinary[-10:]
        assert median(late) <= 1.1 * median(early)


class Year:
    """Tom, day by day."""

    def __init__(self, archive: Archive, config: Config) -> None:
        self.store, self.config, self.editor = archive.store("tom"), config, Notebook(size=SIZE)
        cycle.init(self.store, self.editor, config)
        self.statements: dict[int, int] = {}
        """Of the cycles of ordinary days."""
        self.folders: list[int] = []
        self._count = 0
        sa.event.listen(archive._engine, "before_cursor_execute", self._counted)

    def live(self, day: int) -> None:
        self._tell("user", f"town {day % 11}")
        self._tell(f"Friend {day}", f"town {day % 7}")
        before = self._count
        assert cycle.run_cycle(self.store, self.editor, self.config).verdict.promote
        self.statements[day] = self._count - before
        if day % 13 == 0:
            self.store.revert()
            for fact in self.store.recall():
                self.store.release(fact.id)
            cycle.run_cycle(self.store, self.editor, self.config)
        if day % 17 == 0:
            forget.forget(self.store, self.config, [self.store.learned()[0].id])
            rebuild.rebuild(self.store, self.editor, self.config)
        if day % 29 == 0:
            assert rebuild.compact(self.store, self.editor, self.config).verdict.promote
        self.folders.append(sum(path.is_dir() for path in self.config.adapters.dir.glob("*_*")))

    def _tell(self, subject: str, town: str) -> None:
        text = f"{subject} lives in {town}."
        said = CandidateFact(
            subject=subject, relation="home", object=town, statement=text, start=0, end=len(text)
        )
        self.store.tell(text, [said])

    def _counted(self, *_: Any) -> None:
        self._count += 1


# -- which files stay ----------------------------------------------------------------------------------------


def adapter(name: str, days: int, parent: str | None, **how: Any) -> Adapter:
    """One that was made so many days ago, and served from then on, if it served."""
    moment = now() - timedelta(days=days)
    served = how.pop("served", True)
    status = AdapterStatus.RETIRED if served else AdapterStatus.REJECTED
    return Adapter(
        id=name, parent_id=parent, path=name, base_hash="b", created_at=moment,
        promoted_at=moment if served else None, **{"status": status} | how,
    )  # fmt: skip


def kept(*adapters: Adapter, way_back: Sequence[str] = (), **settings: int) -> set[str]:
    by_id = {each.id: each for each in adapters}
    chosen = AdaptersSettings.model_validate({"keep": 1, "keep_days": 30, "keep_rejected_days": 7} | settings)
    return set(garbage.kept(adapters, [by_id[name] for name in way_back], chosen, now()))


LINE = [
    adapter("root", 400, None),
    *(adapter(f"a{n}", 400 - n, "root" if n == 1 else f"a{n - 1}") for n in (1, 2, 3)),
]


@pytest.mark.parametrize(("keep", "expected"), [(1, {"root", "a2", "a3"}), (2, {"root", "a1", "a2", "a3"})])
def test_the_newest_stay_and_what_the_last_of_them_was_edited_from(keep, expected):
    assert kept(*LINE, way_back=["a3", "a2", "a1", "root"], keep=keep) == expected


def test_what_served_lately_stays_and_what_never_did_not_as_long():
    lately = [
        adapter("served", 29, "root"), adapter("served_once", 31, "root"),
        adapter("refused", 6, "root", served=False), adapter("refused_once", 8, "root", served=False),
    ]  # fmt: skip
    assert kept(LINE[0], *lately, way_back=["root"]) == {"root", "served", "refused"}


def test_a_candidate_stays_however_old_and_so_does_the_step_of_a_rebuild_that_serves():
    step = adapter("step", 400, "root", served=False)
    top = adapter("top", 300, "step", status=AdapterStatus.PROMOTED)
    waits = adapter("waits", 300, "root", served=False, status=AdapterStatus.CANDIDATE)
    assert kept(LINE[0], step, top, waits, way_back=["top"]) == {"root", "step", "top", "waits"}


def test_what_cannot_be_deleted_stops_no_cycle_and_goes_the_next_time(tmp_path, monkeypatch, caplog):
    settings = Config.model_validate({"adapters": {"dir": tmp_path / "adapters"}})
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        year = Year(archive, settings)
        stray = settings.adapters.dir / ".partial-stray"
        stray.mkdir()
        os.utime(stray, (0, 0))
        with monkeypatch.context() as broken:
            broken.setattr("shutil.rmtree", _denied)
            garbage.collect(year.store, settings)
        assert "could not be deleted" in caplog.text
        assert stray.exists()
        garbage.collect(archive.store("tom"), settings)
        assert not stray.exists()


def _denied(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "denied")


def test_what_another_tenants_cycle_has_just_saved_is_no_stray(tmp_path):
    """Between being listed and looked at, a folder that was being written gets the name it is to have."""
    assert garbage._changed_at(tmp_path / ".partial-saved-meanwhile") > now() - timedelta(minutes=1)
    assert garbage._size(tmp_path / ".partial-saved-meanwhile") == 0


def test_an_adapter_that_was_saved_and_never_registered_is_looked_for_when_that_is_asked(tmp_path):
    settings = Config.model_validate({"adapters": {"dir": tmp_path / "adapters"}})
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        year = Year(archive, settings)
        stray = settings.adapters.dir / "a_never_registered"
        year.editor.make_root(stray.name, stray, {"tenant": year.store.identity()})
        for path in (*stray.iterdir(), stray):
            os.utime(path, (0, 0))
        assert garbage.collect(year.store, settings).strays == ()
        assert garbage.collect(year.store, settings, unregistered=True).strays == (stray.name,)
        assert not stray.exists()
