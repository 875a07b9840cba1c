//! The `detections` table: what a batch writes, what is listed, what is acknowledged.

use std::mem;
use std::ops::Add;
use std::time::Duration;

use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
use rusqlite::{Statement, ToSql, params};

use super::entries::{Entry, Queue};
use super::runs::Record;
use super::{Database, atomically, cell, conflict, identifier, now, schema, wait_while_locked};
use crate::error::{Error, Result};
use crate::value::Value;

/// The name under which this extension's detections are filed.
const SCORER: &str = "anomaly";

/// The columns of `detections`, in the order of its schema.
pub const COLUMNS: &[&str] = &[
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
    "acknowledged",
    "acknowledged_at",
    "notes",
    "scorer",
];

/// What the model said of one entry.
#[derive(Debug)]
pub struct Scored<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Score and label; `None` where the entry could not be scored.
    pub outcome: Option<Outcome<'a>>,
}

/// Score, label, and whether they make a detection.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The score of the label.
    pub score: f64,
    /// The label, upper-cased.
    pub label: &'a str,
    /// The severity to file it under where it is a detection.
    pub detection: Option<&'a str>,
}

/// What a batch came to. An entry that another scorer was quicker with counts nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Entries that got a score and a label.
    pub scored: usize,
    /// Detections that were inserted.
    pub detections: usize,
    /// Entries that were marked as scored without either.
    pub failed: usize,
}

impl Add for Written {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            scored: self.scored + other.scored,
            detections: self.detections + other.detections,
            failed: self.failed + other.failed,
        }
    }
}

/// The record of a run, and how far it had come before a batch.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The run's row.
    pub record: &'a Record,
    /// Why the first of its failed entries failed.
    pub error: Option<&'a str>,
}

/// Writes batches to the tables of one database.
#[derive(Debug)]
pub struct Writer {
    tenant_id: String,
    timeout: Duration,
    /// Whether detections of several scorers are told apart here.
    has_scorer: bool,
}

impl Writer {
    /// Looks at the tables. Writing must not: a transaction that reads first can find its snapshot stale.
    pub fn open(database: &Database, queue: &Queue, tenant_id: &str, timeout: Duration) -> Result<Self> {
        let writer =
            Self { tenant_id: tenant_id.to_owned(), timeout, has_scorer: schema::has_scorer(database)? };
        conflict::require_none(database, &writer.insert(queue))?;
        conflict::require_none(database, &update(queue))?;
        Ok(writer)
    }

    /// Writes a batch as a whole: scores and detections together.
    ///
    /// Detections come first. Where no savepoint protects the batch, a retry then finds entries still pending whose
    /// detections exist, which it skips, and never a scored entry whose detection was lost.
    /// With it goes the record of its run, if one is kept.
    pub fn write(
        &self,
        database: &Database,
        queue: &Queue,
        batch: &[Scored<'_>],
        record: Option<Progress<'_>>,
    ) -> Result<Written> {
        let undo = "UPDATE log_entries SET anomaly_scored_at = NULL WHERE 0";
        atomically(database, self.timeout, Some(undo), |database| {
            let scored_at = now();
            let detections = self.insert_detections(database, queue, &scored_at, batch)?;
            let (scored, failed) = update_entries(database, queue, &scored_at, batch)?;
            let written = Written { scored, detections, failed };
            if let Some(Progress { record, error }) = record {
                record.write(database, written, Some(queue.remaining()), queue.is_read(), error)?;
            }
            Ok(written)
        })
    }

    fn insert_detections(
        &self,
        database: &Database,
        queue: &Queue,
        detected_at: &str,
        batch: &[Scored<'_>],
    ) -> Result<usize> {
        let mut insert = database.connection.prepare(&self.insert(queue))?;
        let mut inserted = 0;
        for Scored { entry, outcome } in batch {
            let Some((outcome, severity)) = outcome.and_then(|outcome| Some((outcome, outcome.detection?)))
            else {
                continue;
            };
            let parameters = params![
                entry.key,
                entry.identity(),
                identifier(),
                self.tenant_id,
                outcome.label,
                outcome.score,
                severity,
                entry.text(),
                detected_at,
                SCORER,
            ];
            inserted += match database.write(&mut insert, parameters).map_err(|error| database.refine(error))
            {
                Err(error) if is_of_another_scorer(database, queue, entry, &error)? => 0,
                outcome => outcome?,
            };
        }
        Ok(inserted)
    }

    /// The columns of an entry are copied by SQLite: they may be large, and hold text that is not valid.
    fn insert(&self, queue: &Queue) -> String {
        let (column, value, same_scorer) =
            if self.has_scorer { (", scorer", ", ?10", "scorer = ?10") } else { ("", "", "?10 IS NOT NULL") };
        format!(
            "INSERT INTO detections (id, tenant_id, entry_id, source_id, anomaly_label, anomaly_score, severity, text,
                                     timestamp_iso, detected_at{column})
             SELECT ?3, ?4, id, source_id, ?5, ?6, ?7, ?8, timestamp_iso, ?9{value}
             FROM log_entries AS entry
             WHERE {pending} AND NOT EXISTS (
                 SELECT 1 FROM detections WHERE entry_id IS +entry.id AND {same_scorer}
             )",
            pending = queue.still_pending()
        )
    }
}

/// Whether a detection was refused because the table, as the seed made it, has one for each entry only, and that of
/// another scorer is there.
fn is_of_another_scorer(database: &Database, queue: &Queue, entry: &Entry, error: &Error) -> Result<bool> {
    if !matches!(error.code(), SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY) {
        return Ok(false);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM detections WHERE entry_id IS (SELECT +id FROM log_entries WHERE {}))",
        queue.still_pending()
    );
    database.value(&sql, params![entry.key, entry.identity()])
}

/// Writes scores and labels, both `NULL` where an entry could not be scored, to those that are still pending; counts
/// the ones with and the ones without.
fn update_entries(
    database: &Database,
    queue: &Queue,
    scored_at: &str,
    batch: &[Scored<'_>],
) -> Result<(usize, usize)> {
    let mut update = database.connection.prepare(&update(queue))?;
    let (mut scored, mut failed) = (0, 0);
    for (index, Scored { entry, outcome }) in batch.iter().enumerate() {
        let (score, label) = outcome.map(|outcome| (outcome.score, outcome.label)).unzip();
        let parameters = params![entry.key, entry.identity(), score, label, scored_at];
        let changed = database.write(&mut update, parameters)?;
        // Nothing changes where another scorer was quicker; or by the will of the host, which one look shows.
        if changed == 0 || index == 0 {
            require_scored(database, queue, entry)?;
        }
        *if outcome.is_some() { &mut scored } else { &mut failed } += changed;
    }
    Ok((scored, failed))
}

fn update(queue: &Queue) -> String {
    format!(
        "UPDATE log_entries SET anomaly_score = ?3, anomaly_label = ?4, anomaly_scored_at = ?5 WHERE {}",
        queue.still_pending()
    )
}

/// A detection without its score would be inserted again, and the entry be scored again, in every run.
fn require_scored(database: &Database, queue: &Queue, entry: &Entry) -> Result<()> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM log_entries WHERE {})", queue.still_pending());
    if database.value(&sql, params![entry.key, entry.identity()])? {
        return Err(Error::argument(format!(
            "{} stays pending although its score was written: look for a trigger on log_entries, or an authorizer of this \
             connection, that undoes or ignores it",
            entry.name()
        )));
    }
    Ok(())
}

/// Which detections to list.
#[derive(Debug)]
pub struct Filter {
    /// The tenant whose detections are listed, beside those that belong to none.
    pub tenant_id: String,
    /// At most so many.
    pub limit: i64,
    /// Only those that nobody has acknowledged.
    pub unacknowledged: bool,
    /// Only those with this label.
    pub label: Option<String>,
    /// Only those of this scorer.
    pub scorer: Option<String>,
}

/// Detections, each read as it is asked for.
#[derive(Debug)]
pub struct Listing<'db> {
    /// Open until the last row was read, or one could not be.
    statement: Option<Statement<'db>>,
}

impl Listing<'_> {
    /// The values of [`COLUMNS`] of the next detection.
    pub fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        let Some(mut statement) = self.statement.take() else { return Ok(None) };
        let mut rows = statement.raw_query();
        let row = rows.next()?.map(|row| cell::values(row, COLUMNS.len())).transpose()?;
        // They hold nothing, but dropped they would take the statement back to its first row.
        mem::forget(rows);
        self.statement = row.is_some().then_some(statement);
        Ok(row)
    }
}

/// The detections that `filter` lets through, newest first.
pub fn list<'db>(database: &'db Database, filter: &Filter) -> Result<Listing<'db>> {
    schema::require_detections(database)?;
    // A table of the seed's may lack columns that came later.
    let columns = if schema::has_scorer(database)? { COLUMNS.join(", ") } else { without_scorer() };
    let mut sql = format!("SELECT {columns} FROM detections WHERE (tenant_id = ? OR tenant_id = '')");
    let mut parameters: Vec<Box<dyn ToSql>> = vec![Box::new(filter.tenant_id.clone())];
    if filter.unacknowledged {
        sql.push_str(" AND acknowledged = 0");
    }
    if let Some(label) = &filter.label {
        sql.push_str(" AND anomaly_label = ?");
        parameters.push(Box::new(label.to_uppercase()));
    }
    if let Some(scorer) = &filter.scorer {
        sql.push_str(" AND scorer = ?");
        parameters.push(Box::new(scorer.to_lowercase()));
    }
    sql.push_str(" ORDER BY detected_at DESC LIMIT ?");
    parameters.push(Box::new(filter.limit));
    let mut statement = database.connection.prepare(&sql)?;
    for (index, parameter) in parameters.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, parameter)?;
    }
    Ok(Listing { statement: Some(statement) })
}

fn without_scorer() -> String {
    COLUMNS.join(", ").replace("scorer", "'anomaly' AS scorer")
}

/// Marks a detection as acknowledged; false when the tenant has none with this id.
pub fn acknowledge(
    database: &Database,
    tenant_id: &str,
    timeout: Duration,
    id: &str,
    notes: &str,
) -> Result<bool> {
    schema::require_detections(database)?;
    let sql = "UPDATE detections SET acknowledged = 1, acknowledged_at = ?1, notes = ?2
               WHERE id = ?3 AND (tenant_id = ?4 OR tenant_id = '')";
    wait_while_locked(database, timeout, || {
        conflict::require_none(database, sql)?;
        let mut update = database.connection.prepare(sql)?;
        Ok(database.write(&mut update, params![now(), notes, id, tenant_id])? > 0)
    })
}

/// Counts the detections of all tenants.
pub fn count(database: &Database) -> Result<usize> {
    database.count("SELECT count(*) FROM detections", [])
}
