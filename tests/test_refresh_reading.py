"""Where a source's rows come from: files, feeds and queries, and when each is read."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.refresh import Outcome, due, next_run
from memory import Archive
from tests.refreshing import CAPITALS, a_world, answer, rows_of, serving


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with Archive.open(f"sqlite:///{tmp_path_factory.mktemp('memory') / 'memory.db'}") as opened:
        yield opened


@pytest.fixture
def world(archive, tmp_path):
    return a_world(archive, tmp_path, vanished="retract", max_change=1.0)


@pytest.fixture
def feed(world):
    with serving() as server:
        world.settings |= {"kind": "http", "location": f"{server.url}/atlas.json"}
        server.says(rows_of(CAPITALS))
        yield server


# CSV


@pytest.fixture
def csv(world):
    world.settings |= {"kind": "csv", "location": str(world.folder / "atlas.csv")}
    return lambda text: world.write(text, "atlas.csv")


def test_a_table_with_quotes_line_breaks_and_a_byte_order_mark_is_read(world, csv):
    csv('\ufeffcountry,capital\r\nFrance,Paris\r\n\r\n"Korea, South","Seoul\n City"\r\nPeru,Lima\r\n')
    report = world.refresh()
    assert (report.n_new, report.problems) == (3, ())
    assert world.facts == {"France": "Paris", "Korea, South": "Seoul City", "Peru": "Lima"}
    peru = world.store.facts(subject="Peru")[0]
    assert world.store.mentions(peru.id)[0].utterance.details["row"] == "line 6"


def test_a_table_may_have_another_delimiter(world, csv):
    world.settings |= {"delimiter": ";"}
    csv("country;capital\nFrance;Paris, on the Seine\n")
    world.refresh()
    assert world.facts == {"France": "Paris, on the Seine"}


def test_rows_of_a_table_that_are_malformed_are_named(world, csv):
    csv(
        b'country,capital\nFrance,Paris\nSpain\nItaly,Rome,Lazio\nChad,N\xff\nPeru,"Li"ma\nKenya,\nJapan,Tokyo\n'
    )
    assert world.problems == {
        "line 3": "it has 1 columns, and the header 2",
        "line 4": "it has 3 columns, and the header 2",
        "line 5": "it is not UTF-8",
        "line 6": "it is not CSV: ',' expected after '\"'",
        "line 7": "its field 'capital' is empty",
    }
    assert world.facts == {"France": "Paris", "Japan": "Tokyo"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("country,town\nFrance,Paris\n", "has no column 'capital', but 'country', 'town'"),
        ("", "has no column 'capital', but none"),
        ("country,capital,capital\nFrance,Paris,Paris\n", "two columns of"),
    ],
)
def test_a_table_without_the_columns_that_are_asked_for_is_an_error(world, csv, text, complaint):
    csv("country,capital\nFrance,Paris\n")
    world.refresh()
    csv(text)
    report = world.refresh()
    assert (report.outcome, complaint in report.reason) == (Outcome.FAILED, True), report.reason
    assert world.facts == {"France": "Paris"}


# Feeds


def test_a_feed_is_read_by_its_path_and_asked_next_time_whether_it_changed(world, feed):
    world.settings |= {"rows": "$.result.items[?@.kind == 'country']"}
    items = [{**row, "kind": "country"} for row in rows_of(CAPITALS)]
    feed.says({"result": {"items": [*items, {"kind": "sea"}]}}, ETag='"1"', Last_Modified="yesterday")
    assert world.refresh().learned == 4
    assert world.facts == CAPITALS
    first = world.store.mentions(world.store.facts()[0].id)[0].utterance
    assert first.details["row"] == "row 1"
    assert world.refresh().outcome is Outcome.UNCHANGED
    asked = feed.asked[-1]
    assert (asked["If-None-Match"], asked["If-Modified-Since"]) == ('"1"', "yesterday")


def test_another_etag_over_the_same_rows_changes_nothing(world, feed):
    feed.says(rows_of(CAPITALS), ETag='"1"')
    world.refresh()
    tip = world.store.tip()
    feed.says(rows_of(CAPITALS), ETag='"2"')
    assert world.refresh().outcome is Outcome.UNCHANGED
    assert world.store.tip() == tip
    world.refresh()
    assert feed.asked[-1]["If-None-Match"] == '"2"'


def test_with_other_settings_a_feed_that_did_not_change_is_read_anew(world, feed):
    feed.says(rows_of(CAPITALS), ETag='"1"')
    world.refresh()
    world.settings |= {"object": "{capital} City"}
    assert world.refresh().n_changed == 4
    assert world.facts["Peru"] == "Lima City"


def test_a_held_feed_that_says_it_did_not_change_is_still_held(world, feed):
    world.refresh()
    world.settings |= {"max_change": 0.2}
    feed.says(rows_of({"Peru": "Lima"}), ETag='"1"')
    assert world.refresh().outcome is Outcome.HELD
    report = world.refresh()
    assert feed.asked[-1]["If-None-Match"] == '"1"'
    assert (report.outcome, "3 of the 4" in report.reason) == (Outcome.HELD, True)


def test_a_feed_that_turns_back_after_a_run_was_killed_is_read_anew(world, feed):
    class Killed(BaseException):
        pass

    def dies(stage, done, total, note):
        raise Killed

    first = [answer(rows_of(CAPITALS), ETag='"1"')]
    feed.answers = list(first)
    world.refresh()
    feed.says(rows_of(CAPITALS | {"Peru": "Cusco"}), ETag='"2"')
    with pytest.raises(Killed):
        world.refresh(progress=dies)
    assert world.facts["Peru"] == "Cusco"
    feed.answers = first
    world.refresh()
    assert world.facts == CAPITALS


def test_a_redirect_is_followed(world, feed):
    moved = answer(b"", 302, Location="/elsewhere.json")
    feed.answers = [moved, answer(rows_of(CAPITALS))]
    assert world.refresh().learned == 4
    assert [asked["path"] for asked in feed.asked] == ["/atlas.json", "/elsewhere.json"]


def test_a_feed_that_is_busy_is_asked_again(world, feed):
    feed.answers = [answer(b"", 503), answer(b"", 429), answer(rows_of(CAPITALS))]
    assert world.refresh().learned == 4


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (answer(b"", 404), "answered 404 Not Found"),
        (answer(b"", 500), r"answered 500 Internal Server Error (3 tries)"),
        (answer(b'[{"country": "Fr'), "is not JSON, or not all of it"),
        (answer(b"\xff\xfe\xff"), "is not JSON, or not all of it"),
        (answer({"items": []}), "finds a list: write"),
        (answer([]), "finds nothing in"),
        (answer(b"", 302, Location="/atlas.json"), "Exceeded maximum allowed redirects"),
        (answer(b"[" + b" " * 200_000 + b"]"), "is larger than max_megabytes = 0.1"),
        (
            answer(gzip.compress(b"[" + b" " * 200_000 + b"]"), Content_Encoding="gzip"),
            "is larger than max_megabytes = 0.1",
        ),
        (answer(b"no gzip", Content_Encoding="gzip"), "cannot read"),
    ],
)  # fmt: skip
def test_a_feed_that_cannot_be_read_changes_nothing(world, feed, given, complaint):
    world.settings |= {"max_megabytes": 0.1}
    world.refresh()
    feed.answers = [given]
    report = world.refresh()
    assert (report.outcome, complaint in report.reason) == (Outcome.FAILED, True), report.reason
    assert world.facts == CAPITALS


def test_a_feed_that_takes_too_long_is_given_up(world, feed):
    def sleeps(handler):
        time.sleep(3)

    def drips(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(60):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    world.settings |= {"timeout_seconds": 0.3}
    for slow in (sleeps, drips):
        feed.answers = [slow]
        report = world.refresh()
        assert "took longer than timeout_seconds = 0.3 (3 tries)" in report.reason


def test_nobody_at_the_address_is_named_without_the_password(world):
    world.settings |= {"kind": "http", "location": "http://ann:hunter2@127.0.0.1:1/feed"}
    reason = world.refresh().reason
    assert "cannot reach http://ann:***@127.0.0.1:1/feed" in reason
    assert "hunter2" not in reason + repr(world.config)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [("$..", "is no JSONPath"), ("$.nothing[*]", "finds nothing"), ("$.items", r"write '$.items[*]'")],
)
def test_a_path_that_picks_no_rows_is_explained(world, feed, path, complaint):
    world.settings |= {"rows": path}
    feed.says({"items": rows_of(CAPITALS)})
    assert complaint in world.refresh().reason


# Queries


@pytest.fixture
def sql(world):
    path = world.folder / "atlas.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE capitals (country TEXT, capital TEXT, since DATE, n REAL)")
        rows = [(country, capital, "1900-01-31", 1.5) for country, capital in CAPITALS.items()]
        connection.executemany("INSERT INTO capitals VALUES (?, ?, ?, ?)", rows)
    connection.close()
    world.settings |= {"kind": "sql", "location": f"sqlite:///{path}", "query": "SELECT * FROM capitals"}
    return path


def test_a_query_is_read_colons_and_all(world, sql):
    world.settings |= {
        "query": "SELECT *, '12:30' AS at FROM capitals WHERE country <> ':no'",
        "valid_from": "{since}",
    }
    report = world.refresh()
    assert (report.learned, report.problems) == (4, ())
    assert world.facts == CAPITALS
    assert f"{world.store.facts()[0].valid_from:%F}" == "1900-01-31"
    assert world.refresh().outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"query": "DELETE FROM capitals"}, "readonly database"),
        ({"query": "SELECT * FROM towns"}, "no such table: towns"),
        ({"location": "sqlite:///nowhere.db"}, "unable to open database file"),
        ({"location": "nonsense://ann:hunter2@host/db"}, "nonsense://ann:***@host/db"),
        ({"query": "PRAGMA user_version = 3"}, "cannot query"),
    ],
)
def test_a_query_that_cannot_be_asked_changes_nothing_and_writes_nothing(world, sql, settings, complaint):
    world.refresh()
    world.settings |= settings
    report = world.refresh()
    assert (report.outcome, complaint in report.reason) == (Outcome.FAILED, True), report.reason
    assert world.facts == CAPITALS
    with sqlite3.connect(sql) as connection:
        assert connection.execute("SELECT count(*) FROM capitals").fetchone() == (4,)
    connection.close()


def test_a_query_of_postgresql_can_only_read(world, postgresql):
    import sqlalchemy as sa

    url = postgresql()
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE capitals AS SELECT 'Peru' AS country, 'Lima' AS capital"))
        connection.execute(sa.text("CREATE SEQUENCE counter"))
    world.settings |= {"kind": "sql", "location": url, "query": "SELECT *, now()::date FROM capitals"}
    assert world.refresh().learned == 1
    world.settings |= {"query": "SELECT *, nextval('counter') FROM capitals"}
    assert "read-only transaction" in world.refresh().reason


# When


def source(**settings):
    made = {
        "name": "atlas", "kind": "jsonl", "location": "atlas.jsonl", "tenant": "world",
        "subject": "s", "relation": "r", "object": "o",
    }  # fmt: skip
    return Config.model_validate({"refresh": {"sources": [made | settings]}}).refresh.sources[0]


NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
HOURLY, NIGHTLY, BY_HAND = source(every_minutes=60), source(cron="30 2 * * *"), source()
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_source_that_was_never_read_is_due_and_one_without_a_clock_never_is():
    assert due([HOURLY], {}, NOON) == (HOURLY,)
    assert due([NIGHTLY], {}, NOON) == (NIGHTLY,)
    assert due([BY_HAND], {}, NOON) == ()


def test_a_source_is_due_when_its_minutes_have_passed():
    assert due([HOURLY], {"atlas": NOON - timedelta(minutes=59)}, NOON) == ()
    assert due([HOURLY], {"atlas": NOON - timedelta(minutes=60)}, NOON) == (HOURLY,)


def test_a_cron_line_is_due_once_however_often_it_was_missed():
    assert due([NIGHTLY], {"atlas": NOON - timedelta(days=9)}, NOON, UTC) == (NIGHTLY,)
    assert due([NIGHTLY], {"atlas": NOON}, NOON, UTC) == ()
    assert next_run(NIGHTLY, NOON, NOON, UTC) == datetime(2026, 3, 29, 2, 30, tzinfo=UTC)


def test_a_source_that_ran_on_the_minute_is_not_due_again_in_it():
    on_time = datetime(2026, 3, 27, 2, 30, tzinfo=UTC)
    assert next_run(NIGHTLY, on_time, on_time, UTC) == on_time + timedelta(days=1)


@pytest.mark.parametrize(
    ("cron", "start", "times"),
    [
        # In Berlin 02:30 is not on the 29th of March 2026, and twice on the 25th of October.
        ("30 2 * * *", datetime(2026, 3, 27, 12, tzinfo=UTC), ["28 02:30", "29 03:30", "30 02:30"]),
        ("30 2 * * *", datetime(2026, 10, 23, 12, tzinfo=UTC), ["24 02:30", "25 02:30", "26 02:30"]),
        ("30 * * * *", datetime(2026, 10, 25, 0, 1, tzinfo=UTC), ["25 02:30", "25 02:30", "25 03:30"]),
    ],
)
def test_a_change_of_clocks_skips_no_night_and_doubles_none(cron, start, times):
    moment, seen = start, []
    for _ in times:
        found = next_run(source(cron=cron), moment, moment, BERLIN)
        assert found is not None
        moment = found
        seen.append(f"{moment.astimezone(BERLIN):%d %H:%M}")
    assert seen == times


def test_a_cron_line_that_names_no_time_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"'99 3 \* \* \*' of atlas is not a time"):
        next_run(source(cron="99 3 * * *"), NOON, NOON)


def test_a_row_of_any_kind_is_the_same_fact(world, feed, sql):
    """What is told does not hang on where it stands: a feed that becomes a file has not changed."""
    world.settings |= {"kind": "http", "location": f"{feed.url}/atlas.json"}
    del world.settings["query"]
    world.refresh()
    world.settings |= {"kind": "jsonl", "location": str(world.folder / "atlas.jsonl")}
    world.write("\n".join(json.dumps(row) for row in rows_of(CAPITALS)))
    assert world.refresh().outcome is Outcome.UNCHANGED
