//! `sqlite-anomaly`: a SQLite loadable extension that runs a Hugging Face text-classification model inside SQL.
//!
//! # Layout
//!
//! `register` below is the whole SQL surface at a glance. What stands behind it, from the top down:
//!
//! - [`surface`]: the body of each SQL function;
//! - [`sqlite`]: SQLite's C API made safe, the only unsafe code;
//! - [`connection`]: what one connection holds; [`scoring`]: the life of a row from pending to detection;
//! - [`classification`]: texts to predictions; [`memo`]: texts classified before;
//! - [`model`]: a model's folder, tokenizer, sessions and labels; [`db`]: the SQL the extension itself runs;
//! - [`config`], [`device`], [`severity`], [`value`], [`error`], [`panics`], [`sync`]: what all of them speak of.

pub mod classification;
pub mod config;
pub mod connection;
pub mod db;
pub mod device;
pub mod error;
pub mod memo;
pub mod model;
pub mod panics;
pub mod scoring;
pub mod severity;
pub mod sqlite;
pub mod surface;
pub mod sync;
pub mod value;

use std::sync::Arc;

use connection::Connection;
use error::Result;
use sqlite::{Flags, Registrar};
use surface::{ClassifyEach, Detections, ScorePending, Scores, Status, bind};

sqlite::entry_point!(sqlite3_anomaly_init => register);

/// Adds every function to a connection that loads the extension; loading it again changes nothing.
fn register(db: &Registrar) -> Result<()> {
    if db.has("anomaly_version")? {
        return Ok(());
    }
    let connection = Arc::new(Connection::open(sqlite::library_path().as_deref())?);
    let of = |body| bind(&connection, body);

    db.scalar("anomaly_classify", 1, Flags::None, of(surface::classify))?;
    db.scalar("anomaly_label", 1, Flags::None, of(surface::label))?;
    db.scalar("anomaly_score", 1, Flags::None, of(surface::score))?;
    db.scalar("anomaly_score_all", 0, Flags::DirectOnly, of(surface::score_all))?;
    db.scalar("anomaly_score_all", 1, Flags::DirectOnly, of(surface::score_all))?;
    db.scalar("anomaly_score_all", 2, Flags::DirectOnly, of(surface::score_all))?;
    db.scalar("anomaly_init", 0, Flags::DirectOnly, of(surface::init))?;
    db.scalar("anomaly_acknowledge", 1, Flags::DirectOnly, of(surface::acknowledge))?;
    db.scalar("anomaly_acknowledge", 2, Flags::DirectOnly, of(surface::acknowledge))?;
    db.scalar("anomaly_config", 1, Flags::DirectOnly, of(surface::config))?;
    db.scalar("anomaly_config", 2, Flags::DirectOnly, of(surface::config))?;
    db.scalar("anomaly_reset", 0, Flags::DirectOnly, of(surface::reset))?;

    db.table(ScorePending(Arc::clone(&connection)))?;
    db.table(Scores(Arc::clone(&connection)))?;
    db.table(ClassifyEach(Arc::clone(&connection)))?;
    db.table(Detections(Arc::clone(&connection)))?;
    db.table(Status(Arc::clone(&connection)))?;

    // The last, for it tells that all are there.
    db.scalar("anomaly_version", 0, Flags::Innocuous, of(surface::version))
}
