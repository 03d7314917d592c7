"""Knowledge that is read on a schedule: what a source tells, what changed since, and what waits for a person.

    python examples/scheduled_refresh.py FOLDER      # an empty one; no model is needed

`ice-agent run` reads the same source by the clock, and a cycle teaches what it told.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ice_agent import config, refresh
from ice_agent.refresh import Report
from memory import Archive, now

SETTINGS = """
[store]
url = "sqlite:///{folder}/memory.db"

[[refresh.sources]]
name = "atlas"
kind = "csv"
location = "{folder}/atlas.csv"
tenant = "world"
subject = "{{country}}"
relation = "capital"
object = "{{capital}}"
key = ["country"]
vanished = "retract"
max_change = 0.4
cron = "0 4 * * *"
"""


def main(folder: Path) -> None:
    """The life of a source in four runs."""
    (folder / "config.toml").write_text(SETTINGS.format(folder=folder), encoding="utf-8")
    settings = config.load(folder / "config.toml")
    atlas = folder / "atlas.csv"

    with Archive.open(settings.store.url) as archive:
        world = archive.store("world")
        world.declare(shared=True)  # nobody's own memory: "user" means nothing in it

        atlas.write_text("country,capital\nKazakhstan,Nur-Sultan\nBurundi,Bujumbura\nPalau,Ngerulmud\n")
        show("The first time, all of it is new", *refresh.refresh_all(archive, settings))
        show("Again: nothing has changed", *refresh.refresh_all(archive, settings))

        atlas.write_text("country,capital\nKazakhstan,Astana\nBurundi,Bujumbura\nPalau,Ngerulmud\n")
        show("One capital was renamed", *refresh.refresh_all(archive, settings))

        atlas.write_text("country,capital\nKazakhstan,Astana\nBurundi,Gitega\n")
        show("Two of three rows would change", *refresh.refresh_all(archive, settings))
        show("Somebody looked at it, and approved", refresh.approve(archive, settings, "atlas"))

        print("\nWhat it knows, and who said so:")
        for fact in world.facts():
            print(f"  {fact.statement}  ({world.utterance(fact.utterance_id).text})")
        (standing,) = refresh.standing(archive, settings, now())
        print(f"\nRead again by `ice-agent run` at {standing.next_run:%H:%M}.")


def show(title: str, report: Report) -> None:
    print(f"\n{title}: {report.outcome}{f', because {report.reason}' if report.reason else ''}")
    print(f"  new {report.n_new}, changed {report.n_changed}, vanished {report.n_vanished}")
    for change in report.says:
        print(f"  {change}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
