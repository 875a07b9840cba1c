//! The pending rows of `log_entries`, and their way to scored.

use std::collections::VecDeque;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row};

use super::cell::Cell;
use super::{Database, schema};
use crate::error::{Result, abridged};

/// How many keys are looked up at once.
///
/// Without the index that `anomaly_init()` makes, the look-up scans and sorts the table: it must not happen for every
/// batch. With or without it, what is held in memory does not grow with the table.
const LOOK_AHEAD: usize = 65_536;

/// How many code points of a text a detection keeps.
const DETECTION_TEXT: usize = 2000;

/// The rows of one tenant, and those of none.
const TENANT: &str = "(tenant_id = ?1 OR tenant_id = '')";

/// The bytes of an id as they are stored.
const IDENTITY: &str = "CAST(id AS BLOB)";

/// One log entry as it was read.
#[derive(Debug)]
pub struct Entry {
    pub(super) key: Cell,
    id: Cell,
    text: Option<String>,
    /// What tells it from other rows, where that is not its id.
    identity: Option<Cell>,
}

impl Entry {
    /// The text, cut to the 2,000 code points that a detection keeps; `None` where there is nothing to score.
    ///
    /// Numbers are read as their text, blobs and invalid UTF-8 with replacement characters.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.id != Cell::Null)
    }

    /// Why there is nothing to score.
    pub fn lack(&self) -> &'static str {
        if self.id == Cell::Null { "it has no id" } else { "its text is NULL" }
    }

    /// What tells it from other rows, beside its key.
    pub(super) fn identity(&self) -> &Cell {
        self.identity.as_ref().unwrap_or(&self.id)
    }

    /// How to name the entry in a message.
    pub fn name(&self) -> String {
        match &self.id {
            Cell::Text(text) => format!("entry '{}'", abridged(&String::from_utf8_lossy(text))),
            Cell::Integer(number) => format!("entry {number}"),
            _ => "an entry".to_owned(),
        }
    }

    fn read(key: Cell, row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key,
            id: row.get(0)?,
            text: match row.get_ref(1)? {
                ValueRef::Null => None,
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    Some(first_code_points(bytes, DETECTION_TEXT))
                }
                // The query casts numbers to text.
                ValueRef::Integer(_) | ValueRef::Real(_) => None,
            },
            identity: row.get(2)?,
        })
    }
}

/// The first `count` code points; reads no further, however long the text is.
fn first_code_points(bytes: &[u8], count: usize) -> String {
    const LONGEST_CODE_POINT: usize = 4;
    let (head, _) = bytes.split_at(bytes.len().min(count * LONGEST_CODE_POINT));
    String::from_utf8_lossy(head).chars().take(count).collect()
}

/// Pending entries, newest `ingest_time` first.
#[derive(Debug)]
pub struct Queue {
    tenant_id: String,
    /// The column that finds a row again: the rowid where the table has one.
    key: &'static str,
    /// Whether text has another encoding than that in which it is read, which a text that is not valid does not survive.
    is_converted: bool,
    ahead: VecDeque<Cell>,
    /// Whether the last look-up saw the end of what is to be read.
    exhausted: bool,
    /// How many entries were pending at the start and have not been read yet.
    remaining: usize,
}

impl Queue {
    /// The queue of one tenant.
    pub fn open(database: &Database, tenant_id: &str) -> Result<Self> {
        let columns = schema::columns(database, "log_entries")?;
        let is_free = |name: &&str| !schema::has(&columns, name);
        let finds_rows =
            |name: &&str| database.connection.prepare(&format!("SELECT {name} FROM log_entries")).is_ok();
        // The three names of the rowid (https://www.sqlite.org/rowidtable.html), less those of columns.
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().filter(is_free).find(finds_rows);
        if rowid.is_none() {
            schema::require_id_as_key(database)?;
        }
        Ok(Self {
            tenant_id: tenant_id.to_owned(),
            key: rowid.unwrap_or("id"),
            is_converted: database.value::<String>("PRAGMA encoding", [])? != "UTF-8",
            ahead: VecDeque::new(),
            exhausted: false,
            remaining: count_pending(database, tenant_id)?,
        })
    }

    /// How many entries were pending when the queue was opened and have not been read yet, by anyone.
    pub fn remaining(&self) -> usize {
        if self.is_read() { 0 } else { self.remaining }
    }

    /// Whether it is known that nothing more is pending.
    pub fn is_read(&self) -> bool {
        self.exhausted && self.ahead.is_empty()
    }

    /// The next entries that are still pending, at most `limit`; none after the last.
    pub fn next_batch(&mut self, database: &Database, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while entries.is_empty() && (!self.ahead.is_empty() || self.look_ahead(database)?) {
            let count = limit.min(self.ahead.len());
            // The keys leave the queue when their rows were read: a read that meets a lock is tried again.
            entries = self.read(database, count)?;
            self.ahead.drain(..count);
            self.remaining = self.remaining.saturating_sub(count);
        }
        Ok(entries)
    }

    /// The entries that the next batches will hold, at most `count` and as far as their keys were looked up. They stay in
    /// the queue.
    pub fn peek(&self, database: &Database, count: usize) -> Result<Vec<Entry>> {
        self.read(database, count)
    }

    /// Fills `ahead`; false when nothing more is pending.
    ///
    /// No more entries are read than were pending at the start: triggers may insert one for each that is scored.
    fn look_ahead(&mut self, database: &Database) -> Result<bool> {
        if self.exhausted {
            return Ok(false);
        }
        let most = self.remaining.min(LOOK_AHEAD);
        let mut statement = database.connection.prepare(&format!(
            "SELECT {} FROM log_entries WHERE anomaly_scored_at IS NULL AND {TENANT}
             ORDER BY ingest_time DESC LIMIT {most}",
            self.key
        ))?;
        let keys = statement.query_map([&self.tenant_id], |row| row.get(0))?;
        self.ahead = keys.collect::<rusqlite::Result<_>>()?;
        self.exhausted = self.ahead.len() < LOOK_AHEAD || self.ahead.len() == self.remaining;
        Ok(!self.ahead.is_empty())
    }

    /// Reads the rows of the next `count` keys that are still pending.
    fn read(&self, database: &Database, count: usize) -> Result<Vec<Entry>> {
        let mut statement = database.connection.prepare(&format!(
            "SELECT id, CASE WHEN typeof(text) IN ('integer', 'real') THEN CAST(text AS TEXT) ELSE text END, {}
             FROM log_entries WHERE {} = ?1 AND anomaly_scored_at IS NULL",
            if self.is_converted { IDENTITY } else { "NULL" },
            self.key
        ))?;
        let mut entries = Vec::with_capacity(count.min(self.ahead.len()));
        for key in self.ahead.iter().take(count) {
            let row = statement.query_row([key], |row| Entry::read(key.clone(), row)).optional()?;
            entries.extend(row);
        }
        Ok(entries)
    }

    /// The condition that finds an entry again, as long as it is pending: parameters 1 and 2 are its key and its identity.
    ///
    /// That is checked beside the rowid, which `VACUUM` may give to another row.
    pub(super) fn still_pending(&self) -> String {
        let identity = if self.is_converted { IDENTITY } else { "id" };
        format!("{} = ?1 AND {identity} IS ?2 AND anomaly_scored_at IS NULL", self.key)
    }
}

/// Counts the pending entries of a tenant.
pub fn count_pending(database: &Database, tenant_id: &str) -> Result<usize> {
    let sql = format!("SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL AND {TENANT}");
    database.count(&sql, [tenant_id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_code_points() {
        assert_eq!(first_code_points("äöü".as_bytes(), 2), "äö");
        assert_eq!(first_code_points("abc".as_bytes(), 5), "abc");
        assert_eq!(first_code_points(&"🦀".repeat(3000).into_bytes(), 2000).chars().count(), 2000);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(first_code_points(b"a\xffb", 10), "a\u{fffd}b");
    }
}
