"""Makes the databases that were there before: as the seed's application, or somebody else, may have made them.

The files it writes are committed: they must open and be scored for good. Run it with any Python.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = (HERE / "seed.sql").read_text(encoding="utf-8")

# Newest last; the first two were scored by the seed, which found one of them.
ENTRIES = [
    (
        1,
        "",
        "web",
        "failed failed before",
        "2026-06-13T09:00:00+00:00",
        0.99,
        "ERROR",
        "2026-06-13T09:00:05.123456+00:00",
    ),
    (2, "", "web", "ok before", "2026-06-13T09:01:00+00:00", 0.9, "INFO", "2026-06-13T09:01:05+00:00"),
    (3, "", "web", "failed failed now", "2026-06-13T09:02:00+00:00", None, None, None),
    (4, "", "db", "ok now", "2026-06-13T09:03:00+00:00", None, None, None),
    (5, "other", "db", "failed failed elsewhere", "2026-06-13T09:04:00+00:00", None, None, None),
    (6, "", "db", None, "2026-06-13T09:05:00+00:00", None, None, None),
    (7, "", "db", "slow \U0001f980 now", "2026-06-13T09:06:00+00:00", None, None, None),
]
DETECTION = (
    "0b9b1f0e-6d5c-4c56-8f0a-2f6f6a2b7c11", "", 1, "web", "ERROR", 0.99, "ERROR", "failed failed before", None,
    "2026-06-13T09:00:05.123456+00:00", 1, "2026-06-13T10:00:00+00:00", "disk was replaced",
)  # fmt: skip

INTEGER_IDS = SEED.replace("id                TEXT PRIMARY KEY", "id                INTEGER PRIMARY KEY").replace(
    "entry_id        TEXT", "entry_id        INTEGER"
)
TRIGGERS = """
    PRAGMA foreign_keys = ON;
    CREATE TABLE searchable (id TEXT PRIMARY KEY, text TEXT);
    CREATE TRIGGER add_text AFTER INSERT ON log_entries BEGIN
        INSERT INTO searchable VALUES (new.id, new.text);
    END;
    CREATE TRIGGER change_text AFTER UPDATE ON log_entries BEGIN
        INSERT OR REPLACE INTO searchable VALUES (new.id, new.text);
    END;
    CREATE INDEX unscored ON log_entries (anomaly_scored_at);
"""


def with_options(options: str) -> str:
    """The seed's tables with table options."""
    return SEED.replace("\n);", f"\n) {options};")


DATABASES = {
    "seed": SEED,
    "integer-ids": INTEGER_IDS,
    "without-rowid": with_options("WITHOUT ROWID"),
    "strict": with_options("STRICT"),
    "wal": f"PRAGMA journal_mode = wal; {SEED}",
    "utf16": f"PRAGMA encoding = 'UTF-16le'; {SEED}",
    "triggers": SEED.replace("entry_id        TEXT", "entry_id        TEXT REFERENCES log_entries (id)") + TRIGGERS,
    # One that knew two scorers and was found to hold two detections of one entry.
    "duplicates": SEED.replace(
        "notes           TEXT", "notes           TEXT,\n    scorer          TEXT DEFAULT 'anomaly'"
    ),
}


def main() -> None:
    """Writes every file."""
    for name, schema in DATABASES.items():
        path = HERE / f"{name}.db"
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA page_size = 1024")
        connection.executescript(schema)
        entry = "id, tenant_id, source_id, text, ingest_time, anomaly_score, anomaly_label, anomaly_scored_at"
        connection.executemany(f"INSERT INTO log_entries ({entry}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ENTRIES)
        columns = [column for _, column, *_ in connection.execute("PRAGMA table_info(detections)")][: len(DETECTION)]
        insert = f"INSERT INTO detections ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        connection.execute(insert, DETECTION)
        if name == "duplicates":
            connection.execute(insert, ("1c0c2a1f-7e6d-4d67-9a1b-3a7a7b3c8d22", *DETECTION[1:]))
        connection.close()


if __name__ == "__main__":
    main()
