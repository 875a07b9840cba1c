//! The life of a row: pending, read, classified, written, reported.
//!
//! The model runs outside any write transaction; only the writing of a batch takes the lock.

use std::sync::Arc;
use std::time::Instant;

use crate::classification::Answer;
use crate::config::Settings;
use crate::connection::Connection;
use crate::db::detections::{self, Outcome, Scored, Written};
use crate::db::entries::{self, Entry, Queue};
use crate::db::{Database, schema, wait_while_locked};
use crate::error::Result;
use crate::model::Classifier;

/// What one batch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of the batch, from 1; 0 where nothing was looked for.
    pub batch: usize,
    /// Scores, detections and failures written.
    pub written: Written,
    /// Whether nothing was done because no model is configured.
    pub skipped: bool,
    /// Entries that were pending when the run began and have not been read yet.
    pub remaining: usize,
    /// From the reading of the batch to its commit, in milliseconds.
    pub elapsed_ms: u64,
    /// Why the first of the failed entries failed.
    pub error: Option<String>,
}

/// A run over all pending entries, a batch at a time.
#[derive(Debug)]
pub struct Run {
    connection: Arc<Connection>,
    settings: Settings,
    state: State,
}

#[derive(Debug)]
enum State {
    Fresh,
    Running { queue: Queue, batches: usize, remaining: usize },
    Done,
}

impl Run {
    /// A run with the given settings. Nothing happens before the first batch is asked for.
    pub fn new(connection: Arc<Connection>, settings: Settings) -> Self {
        Self { connection, settings, state: State::Fresh }
    }

    /// Scores and commits the next batch; `None` when nothing is left. The first call always reports.
    pub fn next(&mut self, database: &Database) -> Result<Option<Report>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Done => Ok(None),
            State::Fresh if self.settings.model.is_empty() => {
                Ok(Some(Report { skipped: true, ..Report::default() }))
            }
            State::Fresh => {
                let (queue, remaining) = self.begin(database)?;
                let report = self.batch(database, queue, 0, remaining)?;
                Ok(Some(report.unwrap_or_default()))
            }
            State::Running { queue, batches, remaining } => self.batch(database, queue, batches, remaining),
        }
    }

    fn begin(&self, database: &Database) -> Result<(Queue, usize)> {
        self.patiently(database, || {
            schema::require(database)?;
            let pending = entries::count_pending(database, &self.settings.tenant_id)?;
            Ok((Queue::open(database, &self.settings.tenant_id), pending))
        })
    }

    fn batch(
        &mut self,
        database: &Database,
        mut queue: Queue,
        batches: usize,
        remaining: usize,
    ) -> Result<Option<Report>> {
        let started = Instant::now();
        let entries = self.patiently(database, || queue.next_batch(database, self.settings.batch))?;
        if entries.is_empty() {
            return Ok(None);
        }
        let (written, error) = self.score(database, &queue, &entries)?;
        self.connection.record(|totals| {
            totals.scored += written.scored;
            totals.detections += written.detections;
            totals.failed += written.failed;
        });
        let batches = batches + 1;
        let remaining = remaining.saturating_sub(entries.len());
        self.state = State::Running { queue, batches, remaining };
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Some(Report { batch: batches, written, skipped: false, remaining, elapsed_ms, error }))
    }

    /// Classifies and writes one batch; also says why the first of its failed entries failed.
    fn score(
        &self,
        database: &Database,
        queue: &Queue,
        entries: &[Entry],
    ) -> Result<(Written, Option<String>)> {
        let model = self.connection.model()?;
        let classifier = model.classifier()?;
        let texts: Vec<_> = entries.iter().filter_map(Entry::text).collect();
        let answers = self.connection.classify(&model, &texts, &|| database.check_interrupt())?;
        let mut answers = answers.into_iter();
        let mut failure = None;
        let mut batch = Vec::with_capacity(entries.len());
        for entry in entries {
            let answer = entry.text().and_then(|_| answers.next());
            if failure.is_none() {
                failure = failure_of(entry, answer.as_ref());
            }
            let outcome = answer.and_then(Result::ok).map(|prediction| self.outcome(classifier, &prediction));
            batch.push(Scored { entry, outcome });
        }
        let Settings { tenant_id, .. } = &self.settings;
        let timeout = self.settings.busy_timeout();
        Ok((detections::write_batch(database, queue, tenant_id, timeout, &batch)?, failure))
    }

    fn outcome<'a>(&self, classifier: &'a Classifier, prediction: &crate::model::Prediction) -> Outcome<'a> {
        let (label, score) = classifier.top(prediction);
        let is_detection = label.anomalous && score >= self.settings.threshold;
        Outcome { score, label: &label.name, detection: is_detection.then_some(label.severity) }
    }

    /// Reading can meet a lock too: a writer in rollback-journal mode locks everybody out while it commits.
    fn patiently<T>(&self, database: &Database, work: impl FnMut() -> Result<T>) -> Result<T> {
        wait_while_locked(database, self.settings.busy_timeout(), work)
    }
}

fn failure_of(entry: &Entry, answer: Option<&Answer>) -> Option<String> {
    match answer {
        None => Some(format!("{}: its text is NULL", entry.name())),
        Some(Err(error)) => Some(format!("{}: {error}", entry.name())),
        Some(Ok(_)) => None,
    }
}
