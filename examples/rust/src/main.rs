//! Reads log lines from standard input into a database, scores them there, and prints what was found.
//!
//! ```console
//! $ cargo run -- ../../dist/anomaly0 logs.db < ../../sql/demo/sample.log
//! ```

use std::env;
use std::error::Error;
use std::io::{self, BufRead};

use rusqlite::{Connection, LoadExtensionGuard};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(extension), Some(database)) = (arguments.next(), arguments.next()) else {
        return Err("usage: find-anomalies EXTENSION DATABASE < LINES".into());
    };
    let mut db = open(&database, &extension)?;
    insert(&mut db, io::stdin().lock())?;
    score(&db)?;
    print_detections(&db)?;
    Ok(())
}

/// Opens a database with the extension loaded, the bundled model configured and the tables made.
fn open(database: &str, extension: &str) -> rusqlite::Result<Connection> {
    let db = Connection::open(database)?;
    // SAFETY: the library is the one that we ship. SQL cannot load others, for the guard goes at the end of the block.
    unsafe {
        let _allowed = LoadExtensionGuard::new(&db)?;
        db.load_extension(extension, None::<&str>)?;
    }
    db.query_row("SELECT anomaly_config('model', 'bundled')", [], |_| Ok(()))?;
    db.query_row("SELECT anomaly_init()", [], |_| Ok(()))?;
    Ok(db)
}

/// Inserts a line each; a line that was read before has its id already, and stays as it is.
fn insert(db: &mut Connection, lines: impl BufRead) -> Result<(), Box<dyn Error>> {
    let transaction = db.transaction()?;
    let mut statement = transaction
        .prepare("INSERT OR IGNORE INTO log_entries (id, source_id, text) VALUES (?1, 'stdin', ?2)")?;
    for (number, line) in lines.split(b'\n').enumerate() {
        // Logs are not always UTF-8.
        statement.execute((format!("stdin:{number}"), String::from_utf8_lossy(&line?)))?;
    }
    drop(statement);
    Ok(transaction.commit()?)
}

/// Scores what is pending; each row comes as its batch is committed.
fn score(db: &Connection) -> rusqlite::Result<()> {
    let mut statement =
        db.prepare("SELECT scored, detections, remaining FROM anomaly_score_pending(256, 0.75)")?;
    let mut batches = statement.query([])?;
    while let Some(batch) = batches.next()? {
        let (scored, detections, remaining): (i64, i64, i64) = (batch.get(0)?, batch.get(1)?, batch.get(2)?);
        println!("{scored} scored, {detections} detected, {remaining} to go");
    }
    Ok(())
}

fn print_detections(db: &Connection) -> rusqlite::Result<()> {
    let mut statement =
        db.prepare("SELECT severity, anomaly_label, anomaly_score, text FROM anomaly_detections(20)")?;
    let mut detections = statement.query([])?;
    while let Some(row) = detections.next()? {
        let (severity, label): (String, String) = (row.get(0)?, row.get(1)?);
        let (score, text): (f64, String) = (row.get(2)?, row.get(3)?);
        println!("{severity} {label} {score:.2} {text}");
    }
    Ok(())
}
