//! Statements of the host's that call for a write of what they write themselves.

use std::collections::BTreeSet;

use super::Database;
use crate::error::{Error, Result};

/// A table or an index: which database of the connection it is in, and its root page.
type Place = (i64, i64);

/// The functions that write.
const CALLS: [&str; 3] = ["anomaly_score_all", "anomaly_score_pending", "anomaly_acknowledge"];

/// Refuses to run `write` for a call in a statement that writes the same tables.
///
/// `UPDATE log_entries SET note = anomaly_score_all()` writes back the columns of a row as they were before the call, and
/// to its indexes what belongs to those: the scores would be lost, and an index no longer agree with its table. A call in
/// a trigger of such a statement does no harm: a row is as it will be by then.
pub(super) fn require_none(database: &Database, write: &str) -> Result<()> {
    for statement in database.running_writes() {
        let text = statement.to_ascii_lowercase();
        let calls = CALLS.iter().any(|call| text.contains(call));
        if calls && !places(database, &statement)?.is_disjoint(&places(database, write)?) {
            return Err(Error::argument(
                "this statement writes the same table itself: call it in a SELECT of its own",
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
