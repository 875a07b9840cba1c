"""What a host's own statements, triggers, constraints and authorizer can do to a run: never half of it."""

from __future__ import annotations

import json

import pytest

from conftest import SQLITE, connect, error_of, insert, one, use_model
from torture import PENDING, problems, unfinished

ALL = "SELECT anomaly_score_all()"
WAYS = {"all": ALL, "pending": "SELECT * FROM anomaly_score_pending"}


def score(db) -> dict:
    return json.loads(one(db, ALL))


class TestStatements:
    """A statement that writes the tables itself knows nothing of what is written meanwhile."""

    @pytest.fixture
    def noted(self, db):
        """With a column behind those that are written, and an index of the host's."""
        db.execute("ALTER TABLE log_entries ADD COLUMN note")
        db.execute("CREATE INDEX by_acknowledged ON detections (acknowledged)")
        insert(db, "failed failed", "ok")
        return db

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE log_entries SET note = anomaly_score_all() WHERE id = 'e1'",
            "UPDATE log_entries SET note = (SELECT sum(scored) FROM anomaly_score_pending)",
            "INSERT INTO log_entries (id) VALUES ('e1') ON CONFLICT (id) DO UPDATE SET note = anomaly_score_all()",
            "DELETE FROM log_entries WHERE anomaly_score_all() IS NULL",
        ],
    )
    def test_one_that_writes_the_entries_cannot_score_them(self, noted, sql):
        assert "this statement writes the same table itself" in error_of(noted, sql)
        assert problems(noted) == []
        assert one(noted, PENDING) == 2
        assert (score(noted)["scored"], unfinished(noted)) == (2, [])

    def test_one_that_writes_the_detections_cannot_acknowledge_them(self, noted):
        score(noted)
        sql = "UPDATE detections SET notes = anomaly_acknowledge(id, 'seen')"
        assert "this statement writes the same table itself" in error_of(noted, sql)
        assert problems(noted) == []
        assert one(noted, "SELECT acknowledged FROM detections") == 0

    def test_one_whose_trigger_scores_can(self, noted):
        noted.execute(
            "CREATE TEMP TRIGGER eager AFTER INSERT ON main.log_entries BEGIN SELECT anomaly_score_all(); END"
        )
        noted.execute("INSERT INTO log_entries (id, text) SELECT value, 'failed failed' FROM json_each('[8, 9]')")
        assert one(noted, "SELECT count(*) FROM detections") == 3
        assert unfinished(noted) == []

    def test_one_that_has_more_rows_to_give_hinders_none(self, noted):
        inserted = noted.execute("INSERT INTO log_entries (id, text) VALUES ('e8', 'ok'), ('e9', 'ok') RETURNING id")
        assert next(inserted) == ("e8",)
        assert score(noted)["scored"] == 4
        inserted.fetchall()
        assert unfinished(noted) == []

    def test_one_that_writes_another_table_can(self, noted):
        noted.execute("CREATE TABLE results (answer)")
        noted.execute("INSERT INTO results SELECT anomaly_score_all()")
        assert json.loads(one(noted, "SELECT answer FROM results"))["scored"] == 2
        noted.execute("UPDATE results SET answer = (SELECT anomaly_acknowledge(id) FROM detections)")
        assert one(noted, "SELECT answer FROM results") == 1
        assert unfinished(noted) == []


class TestTriggers:
    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    @pytest.mark.parametrize(
        "trigger",
        [
            "BEFORE UPDATE ON log_entries BEGIN SELECT RAISE(IGNORE); END",
            "BEFORE UPDATE ON log_entries WHEN new.id = 'e2' BEGIN SELECT RAISE(IGNORE); END",
            "AFTER UPDATE ON log_entries WHEN new.anomaly_scored_at IS NOT NULL "
            "BEGIN UPDATE log_entries SET anomaly_scored_at = NULL WHERE id = new.id; END",
        ],
    )
    def test_one_that_keeps_an_entry_pending_leaves_no_detection_of_it(self, db, trigger, way):
        insert(db, "failed failed", "failed failed", "ok")
        db.execute(f"CREATE TRIGGER obstinate {trigger}")
        assert "stays pending although its score was written: look for a trigger" in error_of(db, way)
        assert (problems(db), one(db, PENDING)) == ([], 3)
        db.execute("DROP TRIGGER obstinate")
        assert (score(db)["scored"], unfinished(db)) == (3, [])

    def test_one_that_wants_no_detection_is_heard(self, db):
        insert(db, "failed failed", "failed")
        db.execute(
            "CREATE TRIGGER picky BEFORE INSERT ON detections WHEN new.text = 'failed' BEGIN SELECT RAISE(IGNORE); END"
        )
        assert (score(db)["detections"], one(db, PENDING)) == (1, 0)

    def test_one_that_inserts_an_entry_for_each_that_is_scored_prolongs_no_run(self, db):
        entries = 70_000
        db.execute(f"""
            INSERT INTO log_entries (id, text)
            WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {entries}) SELECT n, 'ok' FROM n
        """)
        db.execute(
            "CREATE TRIGGER echo AFTER UPDATE OF anomaly_scored_at ON log_entries "
            "BEGIN INSERT INTO log_entries (id, text) VALUES (new.id || '+', 'ok'); END"
        )
        assert score(db)["scored"] == entries
        assert one(db, PENDING) == entries


class TestConstraints:
    def test_a_detection_that_another_constraint_refuses_is_an_error_and_not_lost(self, db):
        db.execute("CREATE UNIQUE INDEX one_of_each_text ON detections (text)")
        insert(db, "failed failed", "failed failed")
        assert "UNIQUE constraint failed: detections.text" in error_of(db, ALL)
        assert (problems(db), one(db, PENDING)) == ([], 2)

    def test_a_table_with_one_detection_an_entry_keeps_that_of_another_scorer(self, db):
        db.execute("CREATE UNIQUE INDEX one_an_entry ON detections (entry_id)")
        insert(db, "failed failed", "failed failed again")
        db.execute(
            "INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, detected_at, scorer) "
            "VALUES ('theirs', 'e1', 'ODD', 1.0, '2026-06-13T00:00:00', 'other')"
        )
        answer = score(db)
        assert (answer["scored"], answer["detections"], one(db, PENDING)) == (2, 1, 0)
        assert one(db, "SELECT scorer FROM detections WHERE entry_id = 'e1'") == "other"


class TestAuthorizers:
    """One that answers SQLITE_IGNORE has SQLite go on as if nothing were there to be done."""

    # What such a host hides of an entry, or does not want to be noted of it, is its affair.
    PERMITTED = (
        (SQLITE.SQLITE_READ, "log_entries"),
        (SQLITE.SQLITE_UPDATE, "log_entries", "anomaly_score"),
        (SQLITE.SQLITE_UPDATE, "log_entries", "anomaly_label"),
        (SQLITE.SQLITE_INSERT, "detections"),
    )

    @staticmethod
    def opened():
        db = connect()
        use_model(db, "levels")
        one(db, "SELECT anomaly_init()")
        insert(db, *["failed failed"] * 9)
        return db

    @classmethod
    def asked(cls, way: str) -> list[tuple]:
        """What a run asks the authorizer for, each once."""
        found = []

        def note(*action: object) -> int:
            if action[:3] not in found and not any(action[: len(part)] == part for part in cls.PERMITTED):
                found.append(action[:3])
            return SQLITE.SQLITE_OK

        db = cls.opened()
        db.set_authorizer(note)
        db.execute(way).fetchall()
        return found

    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    def test_ignoring_any_one_thing_leaves_nothing_half_done(self, way):
        asked = self.asked(way)
        assert len(asked) > 20
        for ignored in asked:
            db = self.opened()
            db.set_authorizer(
                lambda *action, ignored=ignored: SQLITE.SQLITE_IGNORE if action[:3] == ignored else SQLITE.SQLITE_OK
            )
            try:
                db.execute(way).fetchall()
            except SQLITE.Error as error:
                assert "SQL logic error" not in str(error), ignored
            db.set_authorizer(None)
            assert not db.in_transaction, ignored
            assert [name for name in problems(db) if "records of runs" not in name] == [], ignored


def test_what_the_host_rolls_back_between_batches_is_not_in_the_record(db):
    insert(db, *["failed failed"] * 9)
    db.execute("BEGIN")
    batches = db.execute("SELECT scored FROM anomaly_score_pending(3)")
    next(batches)
    db.execute("SAVEPOINT mine")
    next(batches)
    db.execute("ROLLBACK TO mine")
    batches.fetchall()
    db.execute("COMMIT")
    assert problems(db) == []


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_an_id_that_is_no_valid_text_is_scored(encoding):
    db = connect()
    db.execute(f"PRAGMA encoding = '{encoding}'")
    use_model(db, "levels")
    one(db, "SELECT anomaly_init()")
    insert(db, "failed failed", "ok")
    db.execute("UPDATE log_entries SET id = CAST(x'00d8' AS TEXT) WHERE id = 'e1'")
    answer = score(db)
    assert (answer["scored"], answer["detections"], answer["failed"], one(db, PENDING)) == (2, 1, 0, 0)
    assert one(db, "SELECT count(*) FROM detections JOIN log_entries AS entry ON entry_id IS entry.id") == 1
