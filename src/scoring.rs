//! The life of a row: pending, read, classified, written, reported.
//!
//! The model runs outside any write transaction; only the writing of a batch takes the lock.
//!
//! A statement that reads a virtual table keeps SQLite's read lock from its first row to its last, whatever the table
//! does in between. So when another connection writes to a WAL database during a run, the run's snapshot is stale and
//! `SQLITE_BUSY_SNAPSHOT` refuses its next batch, for good. The run then ends early: it reports what remains, and the
//! next call finds the predictions in the memo. A scalar function reads no table, so `anomaly_score_all` has no such
//! lock: there every batch sees the newest state, and all locks are free between batches.

use std::time::Instant;

use crate::classification::Answer;
use crate::config::Settings;
use crate::connection::{Connection, Model};
use crate::db::detections::{Outcome, Progress, Scored, Writer, Written};
use crate::db::entries::{Entry, Queue};
use crate::db::runs::{Origin, Record};
use crate::db::{Database, schema, wait_while_locked};
use crate::error::{Error, Result};
use crate::model::{Classifier, Prediction};

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
    /// Whether the run ended with this although entries remain.
    pub ended_early: bool,
    /// From the reading of the batch to its commit, in milliseconds.
    pub elapsed_ms: u64,
    /// Why the first of the failed entries failed, or why the run ended early.
    pub error: Option<String>,
}

impl Report {
    /// Adds a later batch of the same run.
    pub fn add(&mut self, later: Self) {
        *self = Self {
            written: self.written + later.written,
            elapsed_ms: self.elapsed_ms + later.elapsed_ms,
            error: self.error.take().or(later.error),
            ..later
        };
    }
}

/// Why a run ended before all pending entries were scored.
const STALE: &str = "another connection wrote to the database during this statement, which ends it early: \
                     call anomaly_score_pending again for what remains";

/// A run over all pending entries, a batch at a time.
#[derive(Debug)]
pub struct Run {
    settings: Settings,
    state: State,
}

#[derive(Debug)]
enum State {
    Fresh,
    Running(Box<Running>),
    Done,
}

/// What a run that has begun holds between its batches.
#[derive(Debug)]
struct Running {
    /// The one that was configured when the run began.
    model: Model,
    queue: Queue,
    writer: Writer,
    /// What is kept of the run, in a database that keeps any.
    record: Option<Record>,
    /// Whether the record says that nothing more will come.
    is_concluded: bool,
    /// Whether a batch became part of a transaction of the host's.
    is_hosts: bool,
    batches: usize,
    /// Entries that were pending at the start and have not been scored yet.
    remaining: usize,
    /// Why the first of the failed entries failed.
    failure: Option<String>,
    ahead: ReadAhead,
}

/// How many runs of the model are worth waiting for at once: enough to share out evenly and to find rows of like length.
const RUNS_AT_ONCE: usize = 512;

/// The most entries that are classified together.
const MOST_AHEAD: usize = 8_192;

/// Which of the next entries have answers in the memo already.
///
/// Where most texts were seen before, a batch leaves the model next to nothing to do, and most of that in small pieces. So
/// the texts of the batches after it are classified with it, as many as the last time needed for [`RUNS_AT_ONCE`] runs.
#[derive(Debug, Default)]
struct ReadAhead {
    /// Entries before the next look.
    prepared: usize,
    /// Entries to look at together; 0 for those of one batch.
    together: usize,
}

impl ReadAhead {
    /// Notes that a batch was classified, together with the `next` entries, by so many runs of the model.
    fn pass(&mut self, batch: usize, next: usize, runs: usize) {
        if self.prepared >= batch {
            self.prepared -= batch;
            return;
        }
        self.prepared = next;
        let entries = batch + next;
        // Where as good as everything is known, there is nothing to gather, and a second reading would cost more.
        let is_worthwhile = runs * RUNS_AT_ONCE > entries;
        let together = entries.saturating_mul(RUNS_AT_ONCE) / runs.max(1);
        self.together = if is_worthwhile { together.min(MOST_AHEAD) } else { 0 };
    }
}

impl Running {
    /// Records that nothing was left after the last batch. A run that found nothing to score at all leaves no record: a
    /// pipeline that calls once a minute would leave half a million a year.
    fn conclude(&self, database: &Database) -> Result<()> {
        match &self.record {
            Some(record) if self.batches > 0 && !self.is_concluded => {
                record.conclude(database, self.failure.as_deref())
            }
            _ => Ok(()),
        }
    }

    /// Records what stopped the run. Not so what was part of a transaction of the host's: the fault may have undone that
    /// transaction as a whole, and the host's next one has nothing to do with it.
    fn fail(&self, database: &Database, error: &Error) {
        if let Some(record) = self.record.as_ref().filter(|_| !self.is_hosts) {
            record.fail(database, Some(self.remaining), error);
        }
    }
}

impl Run {
    /// A run with the given settings. Nothing happens before the first batch is asked for.
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Fresh }
    }

    /// Scores and commits the next batch; `None` when nothing is left. The first call always reports.
    pub fn next(&mut self, connection: &Connection, database: &Database) -> Result<Option<Report>> {
        let (mut running, is_first) = match std::mem::replace(&mut self.state, State::Done) {
            State::Done => return Ok(None),
            State::Fresh if self.settings.model.is_empty() => {
                return Ok(Some(Report { skipped: true, ..Report::default() }));
            }
            State::Fresh => (self.begin(connection, database)?, true),
            State::Running(running) => (running, false),
        };
        match self.batch(connection, database, &mut running) {
            Ok(Some(report)) => {
                if !report.ended_early {
                    self.state = State::Running(running);
                }
                Ok(Some(report))
            }
            Ok(None) => {
                running.conclude(database)?;
                Ok(is_first.then(Report::default))
            }
            Err(error) => {
                running.fail(database, &error);
                Err(error)
            }
        }
    }

    fn begin(&self, connection: &Connection, database: &Database) -> Result<Box<Running>> {
        let Settings { tenant_id, model, threshold, .. } = &self.settings;
        let timeout = self.settings.busy_timeout();
        let record =
            self.patiently(database, || Record::begin(database, tenant_id, model, *threshold, timeout))?;
        match self.open(connection, database) {
            Ok((model, queue, writer)) => Ok(Box::new(Running {
                record,
                model,
                remaining: queue.remaining(),
                queue,
                writer,
                is_concluded: false,
                is_hosts: false,
                batches: 0,
                failure: None,
                ahead: ReadAhead::default(),
            })),
            Err(error) => {
                if let Some(record) = record {
                    record.fail(database, None, &error);
                }
                Err(error)
            }
        }
    }

    fn open(&self, connection: &Connection, database: &Database) -> Result<(Model, Queue, Writer)> {
        // A model that cannot be found is told even when there is nothing to score.
        let model = connection.model()?;
        let Settings { tenant_id, .. } = &self.settings;
        let timeout = self.settings.busy_timeout();
        let (queue, writer) = self.patiently(database, || {
            schema::require(database)?;
            let queue = Queue::open(database, tenant_id)?;
            let writer = Writer::open(database, &queue, tenant_id, timeout)?;
            Ok((queue, writer))
        })?;
        Ok((model, queue, writer))
    }

    fn batch(
        &self,
        connection: &Connection,
        database: &Database,
        running: &mut Running,
    ) -> Result<Option<Report>> {
        let started = Instant::now();
        let entries = self.patiently(database, || running.queue.next_batch(database, self.settings.batch))?;
        if entries.is_empty() {
            return Ok(None);
        }
        if let Some(record) = &mut running.record {
            record.describe(|| origin(&running.model));
        }
        let batch = running.batches + 1;
        running.is_hosts |= !database.is_autocommit();
        let (written, error) = match self.score(database, running, &entries) {
            Err(error) if error.is_stale() && database.is_autocommit() => {
                let (remaining, error) = (running.remaining, Some(STALE.to_owned()));
                return Ok(Some(Report { batch, remaining, ended_early: true, error, ..Report::default() }));
            }
            outcome => outcome?,
        };
        running.batches = batch;
        running.remaining = running.queue.remaining();
        running.is_concluded = running.queue.is_read();
        running.failure = running.failure.take().or_else(|| error.clone());
        connection.record(|totals| {
            totals.scored += written.scored;
            totals.detections += written.detections;
            totals.failed += written.failed;
        });
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let remaining = running.remaining;
        Ok(Some(Report { batch, written, remaining, elapsed_ms, error, ..Report::default() }))
    }

    /// The entries of the next batches that are to be classified with this one; none when this one was with another.
    fn read_ahead(&self, database: &Database, running: &Running, entries: &[Entry]) -> Result<Vec<Entry>> {
        if running.ahead.prepared >= entries.len() {
            return Ok(Vec::new());
        }
        // What does not fit into the memo would be forgotten before its turn.
        let together = running.ahead.together.min(self.settings.cache_entries / 2);
        self.patiently(database, || running.queue.peek(database, together.saturating_sub(entries.len())))
    }

    /// Classifies and writes one batch; also says why the first of its failed entries failed.
    fn score(
        &self,
        database: &Database,
        running: &mut Running,
        entries: &[Entry],
    ) -> Result<(Written, Option<String>)> {
        let next = self.read_ahead(database, running, entries)?;
        let mut texts: Vec<_> = entries.iter().filter_map(Entry::text).collect();
        let count = texts.len();
        texts.extend(next.iter().filter_map(Entry::text));
        let (answers, runs) = running.model.classify_first(&texts, count, &|| database.check_interrupt())?;
        running.ahead.pass(entries.len(), next.len(), runs);
        let classifier = running.model.classifier()?;
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
        let error = running.failure.as_deref().or(failure.as_deref());
        let progress = running.record.as_ref().map(|record| Progress { record, error });
        Ok((running.writer.write(database, &running.queue, &batch, progress)?, failure))
    }

    fn outcome<'a>(&self, classifier: &'a Classifier, prediction: &Prediction) -> Outcome<'a> {
        let (label, score) = classifier.top(prediction);
        let is_detection = label.anomalous && score >= self.settings.threshold;
        Outcome { score, label: &label.name, detection: is_detection.then_some(label.severity) }
    }

    /// Reading can meet a lock too: a writer in rollback-journal mode locks everybody out while it commits.
    fn patiently<T>(&self, database: &Database, work: impl FnMut() -> Result<T>) -> Result<T> {
        wait_while_locked(database, self.settings.busy_timeout(), work)
    }
}

fn origin(model: &Model) -> Origin {
    let model = model.shared();
    let revision = model.folder().revision().map(str::to_owned);
    Origin { revision, sha256: model.sha256().ok().map(str::to_owned) }
}

fn failure_of(entry: &Entry, answer: Option<&Answer>) -> Option<String> {
    match answer {
        None => Some(format!("{}: {}", entry.name(), entry.lack())),
        Some(Err(error)) => Some(format!("{}: {error}", entry.name())),
        Some(Ok(_)) => None,
    }
}
