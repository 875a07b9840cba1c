//! Statements of the host's that call for a write of what they write themselves.

use std::collections::BTreeSet;

use super::Database;
use crate::error::{Error, Result};

/// A table or an index: which database of the connection it is in, and its root page.
type Place = (i64, i64);

/// Refuses to run `write` while a statement that writes the same tables is running.
///
/// `UPDATE log_entries SET note = anomaly_score_all()` writes back the columns of a row as they were before the call, and
/// to its indexes what belongs to those: the scores would be lost, and an index no longer agree with its table.
pub(super) fn require_none(database: &Database, write: &str) -> Result<()> {
    let running = database.running_writes();
    if running.is_empty() {
        return Ok(());
    }
    let ours = places(database, write)?;
    for statement in running {
        if !places(database, &statement)?.is_disjoint(&ours) {
            return Err(Error::argument(
                "a statement that is running writes the same table: call this by itself, in a SELECT, when that has ended",
            ));
        }
    }
    Ok(())
}

/// Which tables and indexes a statement opens to write to, its triggers left out
/// (<https://www.sqlite.org/opcode.html#OpenWrite>).
fn places(database: &Database, sql: &str) -> Result<BTreeSet<Place>> {
    let mut statement = database.connection.prepare(&format!("EXPLAIN {sql}"))?;
    let mut instructions = statement.raw_query();
    let mut places = BTreeSet::new();
    let mut expected = 0;
    while let Some(instruction) = instructions.next()? {
        // The programs of triggers follow, each with addresses of its own.
        if instruction.get::<_, i64>("addr")? != expected {
            break;
        }
        expected += 1;
        match instruction.get::<_, String>("opcode")?.as_str() {
            // CREATE TABLE … AS SELECT writes to what is not there yet, and its page is none.
            "CreateBtree" => return Ok(BTreeSet::new()),
            "OpenWrite" => places.insert((instruction.get("p3")?, instruction.get("p2")?)),
            _ => continue,
        };
    }
    Ok(places)
}
