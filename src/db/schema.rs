//! The tables `log_entries`, `detections` and `anomaly_runs`: made, brought up to date, and checked.

use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row};

use super::{Database, atomically, runs, wait_while_locked};
use crate::error::{Error, Kind, Result};

const TABLES: &str = include_str!("../../sql/schema.sql");
const INDEXES: &str = include_str!("../../sql/indexes.sql");

/// What a table needs so that entries can be scored, and what `anomaly_init()` adds to a table that was there before.
///
/// The declarations are those that `ALTER TABLE … ADD COLUMN` accepts, which takes no `PRIMARY KEY`, and no
/// `NOT NULL` or changing default on a table with rows.
struct Table {
    name: &'static str,
    needed: &'static [&'static str],
    addable: &'static [(&'static str, &'static str)],
}

const LOG_ENTRIES: Table = Table {
    name: "log_entries",
    needed: &[
        "id",
        "tenant_id",
        "source_id",
        "ingest_time",
        "timestamp_iso",
        "text",
        "anomaly_score",
        "anomaly_label",
        "anomaly_scored_at",
    ],
    addable: &[
        ("tenant_id", "TEXT NOT NULL DEFAULT ''"),
        ("source_id", "TEXT"),
        ("ingest_time", "TEXT"),
        ("timestamp_iso", "TEXT"),
        ("severity", "TEXT"),
        ("text", "TEXT"),
        ("anomaly_score", "REAL"),
        ("anomaly_label", "TEXT"),
        ("anomaly_scored_at", "TEXT"),
    ],
};

const DETECTIONS: Table = Table {
    name: "detections",
    needed: &[
        "id",
        "tenant_id",
        "entry_id",
        "source_id",
        "anomaly_label",
        "anomaly_score",
        "severity",
        "text",
        "timestamp_iso",
        "detected_at",
    ],
    addable: &[
        ("tenant_id", "TEXT NOT NULL DEFAULT ''"),
        ("source_id", "TEXT"),
        ("severity", "TEXT"),
        ("text", "TEXT"),
        ("timestamp_iso", "TEXT"),
        ("acknowledged", "INTEGER NOT NULL DEFAULT 0"),
        ("acknowledged_at", "TEXT"),
        ("notes", "TEXT"),
        ("scorer", "TEXT NOT NULL DEFAULT 'anomaly'"),
    ],
};

/// What listing and acknowledging need beside that.
const ACKNOWLEDGED: Table = Table { needed: &["acknowledged", "acknowledged_at", "notes"], ..DETECTIONS };

const RUNS: Table = Table { name: "anomaly_runs", needed: runs::COLUMNS, addable: &[] };

/// Creates what is missing and says what it created; a second call finds nothing to do.
///
/// What only reads stands before and after the transaction where it can: an interrupted read does not end one.
pub fn init(database: &Database, timeout: Duration) -> Result<Vec<String>> {
    make(database, timeout).map_err(|error| error.context("anomaly_init()"))
}

fn make(database: &Database, timeout: Duration) -> Result<Vec<String>> {
    let (before, undo) = wait_while_locked(database, timeout, || {
        for table in [&LOG_ENTRIES, &DETECTIONS, &RUNS] {
            refuse_unfit(database, table.name)?;
        }
        // The only write that changes nothing and needs no table.
        let version: i64 = database.value("PRAGMA user_version", [])?;
        Ok((objects(database)?, format!("PRAGMA user_version = {version}")))
    })?;
    let added = atomically(database, timeout, Some(&undo), |database| {
        database.execute(&without_comments(TABLES))?;
        let mut added = Vec::new();
        for table in [&LOG_ENTRIES, &DETECTIONS, &RUNS] {
            let present = columns(database, table.name)?;
            for (column, declaration) in table.addable.iter().filter(|(column, _)| !has(&present, column)) {
                database.execute(&format!("ALTER TABLE {} ADD COLUMN {column} {declaration}", table.name))?;
                added.push(format!("added column {}.{column}", table.name));
            }
            require_columns(database, table)?;
        }
        if !has_runs(database)? {
            let problem = format!("table {} is not the one that this makes; {FOREIGN}", RUNS.name);
            return Err(Error::new(Kind::Database(rusqlite::ffi::SQLITE_ERROR), problem));
        }
        Ok(added)
    })?;
    // Each index is a transaction of its own: as one is made all prepared statements expire, and those that end a
    // transaction of ours could not be prepared again where the host no longer wants it.
    wait_while_locked(database, timeout, || {
        database.execute(&without_comments(INDEXES))?;
        missing_index(database)?.map_or(Ok(()), |sql| database.execute(sql))
    })?;
    let after = wait_while_locked(database, timeout, || objects(database))?;
    let created = after.into_iter().filter(|object| !before.contains(object));
    Ok(created.map(|object| format!("created {object}")).chain(added).collect())
}

/// A script of ours, where nothing that is quoted holds two hyphens: a host may have switched comments off
/// (`SQLITE_DBCONFIG_ENABLE_COMMENTS`).
fn without_comments(script: &str) -> String {
    let code = |line: &str| line.split("--").next().unwrap_or_default().trim_end().to_owned();
    script.lines().map(code).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Whether an error's text is SQLite's for one of the tables not being there.
pub(super) fn is_missing(text: &str) -> bool {
    text.strip_prefix("no such table: ").is_some_and(|name| {
        let name = name.strip_prefix("main.").unwrap_or(name);
        [&LOG_ENTRIES, &DETECTIONS, &RUNS].iter().any(|table| table.name == name)
    })
}

/// Checks that entries can be scored here; the error names what is missing and how to get it.
pub fn require(database: &Database) -> Result<()> {
    require_columns(database, &LOG_ENTRIES)?;
    require_columns(database, &DETECTIONS)
}

/// Checks that detections can be listed and acknowledged here.
pub fn require_detections(database: &Database) -> Result<()> {
    require_columns(database, &DETECTIONS)?;
    require_columns(database, &ACKNOWLEDGED)
}

/// Whether detections of several scorers are told apart here; the seed's first tables did not.
pub fn has_scorer(database: &Database) -> Result<bool> {
    Ok(has(&columns(database, DETECTIONS.name)?, "scorer"))
}

/// Whether runs are recorded here: in a table with our columns, where a row of ours can be found again by its id, and no
/// other column must be filled. A view has no key.
pub fn has_runs(database: &Database) -> Result<bool> {
    let present = described(database, RUNS.name)?;
    let is_ours = |column: &Column| RUNS.needed.iter().any(|name| column.is_called(name));
    Ok(RUNS.needed.iter().all(|name| present.iter().any(|column| column.is_called(name)))
        && has_id_as_key(&present)
        && present.iter().all(|column| is_ours(column) || !column.is_required))
}

/// Checks that `id` alone finds an entry again, where no rowid does: a score must not reach another row, of another
/// tenant's maybe, that has the same id.
pub(super) fn require_id_as_key(database: &Database) -> Result<()> {
    if has_id_as_key(&described(database, LOG_ENTRIES.name)?) {
        return Ok(());
    }
    // It may be gone since it was looked at.
    require_columns(database, &LOG_ENTRIES)?;
    let problem = "table log_entries has no rowid, and its id alone does not tell its rows apart: make id its PRIMARY KEY, \
                   or make it a table with a rowid";
    Err(Error::new(Kind::Database(rusqlite::ffi::SQLITE_ERROR), problem))
}

fn require_columns(database: &Database, table: &Table) -> Result<()> {
    refuse_unfit(database, table.name)?;
    let present = columns(database, table.name)?;
    let missing: Vec<_> = table.needed.iter().filter(|column| !has(&present, column)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (what, remedy) = if present.is_empty() {
        (format!("there is no table {}", table.name), INIT)
    } else {
        let is_addable = |column| table.addable.iter().any(|(addable, _)| *addable == column);
        let remedy = if missing.iter().copied().all(is_addable) { INIT } else { FOREIGN };
        (format!("table {} lacks {}", table.name, missing.join(", ")), remedy)
    };
    Err(Error::new(Kind::Database(rusqlite::ffi::SQLITE_ERROR), format!("{what}; {remedy}")))
}

/// The remedy for tables that are missing, or older than this version.
pub(super) const INIT: &str = "SELECT anomaly_init() makes what is missing";
const FOREIGN: &str = "this is a table of something else: rename it, or keep the logs in another database";

/// Scores are written to a table: a view has no rows of its own to find again, and a virtual table takes no index and need
/// not keep a transaction.
fn refuse_unfit(database: &Database, name: &str) -> Result<()> {
    let mut statement = database.connection.prepare(
        "SELECT CASE type WHEN 'view' THEN 'view' ELSE 'virtual table' END
         FROM (SELECT type, name, rootpage FROM sqlite_temp_master
               UNION ALL SELECT type, name, rootpage FROM sqlite_master)
         WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE AND coalesce(rootpage, 0) = 0",
    )?;
    let kind: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
    let Some(kind) = kind else { return Ok(()) };
    Err(Error::new(
        Kind::Database(rusqlite::ffi::SQLITE_ERROR),
        format!("{name} is a {kind}; anomalies are scored in a table: give the {kind} another name"),
    ))
}

/// A detection is looked up by its entry; where old duplicates rule out a unique index, a plain one must do. `None` where
/// there is an index for it.
fn missing_index(database: &Database) -> Result<Option<&'static str>> {
    let whole = |row: &Row<'_>| Ok((!row.get::<_, bool>(4)?).then_some(text(row, 1)?));
    for index in database.pragma("index_list", DETECTIONS.name, whole)?.into_iter().flatten() {
        let columns = database.pragma("index_info", &index, |row| text(row, 2))?;
        if columns.first().is_some_and(|first| first.eq_ignore_ascii_case("entry_id")) {
            return Ok(None);
        }
    }
    let duplicates: bool = database.value(
        "SELECT EXISTS (SELECT 1 FROM detections GROUP BY entry_id, scorer HAVING count(*) > 1)",
        [],
    )?;
    Ok(Some(if duplicates {
        "CREATE INDEX anomaly_detections_entry ON detections (entry_id, scorer)"
    } else {
        "CREATE UNIQUE INDEX anomaly_detections_entry ON detections (entry_id, scorer)"
    }))
}

/// One column, as [`PRAGMA table_xinfo`](https://www.sqlite.org/pragma.html#pragma_table_xinfo) lists it.
struct Column {
    name: String,
    /// Whether an insert must give it.
    is_required: bool,
    is_in_key: bool,
}

impl Column {
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The columns of `table`, generated ones included; none where there is no such table.
fn described(database: &Database, table: &str) -> Result<Vec<Column>> {
    database.pragma("table_xinfo", table, |row| {
        let (is_not_null, has_default) = (row.get(3)?, row.get_ref(4)? != ValueRef::Null);
        Ok(Column { name: text(row, 1)?, is_required: is_not_null && !has_default, is_in_key: row.get(5)? })
    })
}

fn has_id_as_key(columns: &[Column]) -> bool {
    let key: Vec<_> = columns.iter().filter(|column| column.is_in_key).collect();
    matches!(key[..], [only] if only.is_called("id"))
}

/// The names of the columns of `table`.
pub(super) fn columns(database: &Database, table: &str) -> Result<Vec<String>> {
    Ok(described(database, table)?.into_iter().map(|column| column.name).collect())
}

/// A name as a schema holds it, which need not be UTF-8. An expression has none.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(index)?.as_bytes_or_null()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

pub(super) fn has(columns: &[String], column: &str) -> bool {
    columns.iter().any(|name| name.eq_ignore_ascii_case(column))
}

fn objects(database: &Database) -> Result<Vec<String>> {
    let mut statement = database.connection.prepare(
        "SELECT type || ' ' || name FROM sqlite_master
         WHERE tbl_name IN ('log_entries', 'detections', 'anomaly_runs', 'anomaly_recent_runs')
           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY rowid",
    )?;
    let names = statement.query_map([], |row| text(row, 0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_without_its_comments_keeps_its_code() {
        assert_eq!(
            without_comments("-- all\nCREATE TABLE t (\n\n  a, -- one\n  b\n);"),
            "CREATE TABLE t (\n  a,\n  b\n);"
        );
        for script in [TABLES, INDEXES] {
            let code = without_comments(script);
            assert!(!code.contains("--"));
            assert_eq!(code.matches("CREATE").count(), script.matches("\nCREATE").count());
        }
    }
}
