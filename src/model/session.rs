//! ONNX sessions: on the processor one single-threaded session per thread that runs the model, on any other device one.
//!
//! Measured on two cores, two single-threaded sessions answer more rows a second than one session with two threads:
//! the matrices of a small model are too small to split.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use once_cell::sync::OnceCell;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights, SessionBuilder};
use ort::session::{Session, SessionInputValue, SessionOutputs};

use super::batching::Sharing;
use super::folder::unreadable;
use super::graph::{Graph, Weights};
use super::interface::Interface;
use super::tokenizer::Tokens;
use super::{Folder, Runtime, parallel, provider};
use crate::device::Device;
use crate::error::{Error, Kind, Result};
use crate::sync::lock;

/// The sessions on one graph. They are made as they are needed.
#[derive(Debug)]
pub(super) struct Pool {
    // The sessions go first: they use the packed weights to their end.
    sessions: Mutex<Sessions>,
    returned: Condvar,
    source: Source,
    interface: Interface,
}

/// What every session is made from.
#[derive(Debug)]
struct Source {
    opener: Opener,
    graph: Graph,
    /// Weights that ONNX Runtime could not get by itself.
    weights: OnceCell<Weights>,
}

/// How a session is opened, whatever is in the graph.
#[derive(Debug)]
struct Opener {
    packed: PrepackedWeights,
    environment: Environment,
    folder: Folder,
    device: Device,
    threads: usize,
}

#[derive(Debug)]
struct Sessions {
    idle: Vec<Session>,
    made: usize,
    most: usize,
}

/// A session on loan: it goes back to the pool however its use ends.
struct Borrowed<'p> {
    pool: &'p Pool,
    session: Option<Session>,
}

impl Borrowed<'_> {
    fn run(&mut self, inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)>) -> ort::Result<SessionOutputs<'_>> {
        match &mut self.session {
            Some(session) => session.run(inputs),
            None => Err(ort::Error::new("the session was given back")),
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut sessions = lock(&self.pool.sessions);
        match self.session.take() {
            Some(session) => sessions.idle.push(session),
            None => sessions.made -= 1,
        }
        self.pool.returned.notify_one();
    }
}

impl Pool {
    pub(super) fn open(runtime: &Runtime, folder: &Folder, device: Device, threads: usize) -> Result<Self> {
        provider::require(device)?;
        let opener = Opener {
            packed: PrepackedWeights::new(),
            environment: runtime.environment().clone(),
            folder: folder.clone(),
            device,
            threads,
        };
        let (graph, first) =
            parallel::join(threads, || Graph::open(folder.graph()), || opener.open_with(&[]))?;
        let source = Source { opener, graph: graph?, weights: OnceCell::new() };
        let first = source.or_with_weights(first)?;
        let interface = Interface::of(&first).map_err(|error| error.context(folder.graph().display()))?;
        let most = if source.opener.is_on_processor() { threads } else { 1 };
        Ok(Self {
            sessions: Mutex::new(Sessions { idle: vec![first], made: 1, most }),
            returned: Condvar::new(),
            source,
            interface,
        })
    }

    pub(super) fn graph(&self) -> &Path {
        self.source.graph.path()
    }

    pub(super) fn threads(&self) -> usize {
        self.source.opener.threads
    }

    /// How many tokens a batch may hold, padding included.
    pub(super) fn padded_tokens(&self) -> usize {
        // More gains nothing on a processor (each matrix product is long enough to keep a core busy), loses the cache,
        // and leaves the threads a longer wait for the last of them; another device is there for large products.
        if self.source.opener.is_on_processor() { 256 } else { 16_384 }
    }

    /// Which rows may share a batch.
    ///
    /// A dynamically quantised graph scales a batch by its largest value, so that a row's score would depend on the
    /// rows beside it; there each row runs alone. A graph that is not told what is padding takes it for text.
    pub(super) fn sharing(&self) -> Sharing {
        if self.source.graph.is_dynamically_quantised() {
            Sharing::None
        } else if !self.interface.has_mask() {
            Sharing::SameLength
        } else {
            Sharing::Padded
        }
    }

    /// The logits of all rows, `width` a row.
    pub(super) fn run(&self, rows: &[&Tokens], pad_id: i64, width: usize) -> Result<Vec<f32>> {
        let failed = |error: ort::Error| {
            let graph = self.graph().display();
            let problem = text(&error);
            Error::new(
                Kind::Inference,
                format!(
                    "{graph}: the model failed: {problem}; export it again together with its tokenizer, or use \
                     another one"
                ),
            )
        };
        let inputs = self.interface.tensors(rows, pad_id).map_err(failed)?;
        let mut session = self.borrow();
        let outputs = session.run(inputs).map_err(failed)?;
        let (shape, logits) = self.interface.logits(&outputs).map_err(failed)?;
        if shape == [rows.len() as i64, width as i64] {
            return Ok(logits);
        }
        Err(Error::new(
            Kind::Inference,
            format!(
                "{} answered the shape {shape:?} where [{}, {width}] was expected: as many logits a text as \
                 config.json names labels; export the model again for text classification",
                self.graph().display(),
                rows.len(),
            ),
        ))
    }

    /// An idle session, or a new one while there are fewer than threads, or the next that is given back.
    ///
    /// Where no further session can be opened (no memory, files replaced meanwhile), those that are there do the work.
    fn borrow(&self) -> Borrowed<'_> {
        let mut sessions = lock(&self.sessions);
        loop {
            if let Some(session) = sessions.idle.pop() {
                return Borrowed { pool: self, session: Some(session) };
            }
            if sessions.made < sessions.most {
                sessions.made += 1;
                drop(sessions);
                let mut slot = Borrowed { pool: self, session: None };
                slot.session = self.open_another().ok();
                if slot.session.is_some() {
                    return slot;
                }
                drop(slot);
                sessions = lock(&self.sessions);
                sessions.most = sessions.made;
            } else {
                sessions = self.returned.wait(sessions).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn open_another(&self) -> Result<Session> {
        self.source.opener.folder.check_unchanged()?;
        self.source.graph.check_unchanged()?;
        self.source.open_session()
    }
}

impl Source {
    fn open_session(&self) -> Result<Session> {
        match self.weights.get() {
            Some(weights) => self.opener.open_with(weights),
            None => self.or_with_weights(self.opener.open_with(&[])),
        }
    }

    /// The session as it was opened, or, where that failed for weights behind links, one that is given them.
    ///
    /// Every file in the Hugging Face cache is a link, and ONNX Runtime refuses to follow some of those to weights:
    /// 1.24.1 all, later versions those that lead elsewhere than the graph's own link. Such weights are read here, once
    /// for all sessions, and only where it does refuse: they stay in memory for good.
    fn or_with_weights(&self, opened: Result<Session>) -> Result<Session> {
        match opened {
            Err(_) if self.graph.has_weights_elsewhere() => {
                self.opener.open_with(self.weights.get_or_try_init(|| self.graph.read_weights_elsewhere())?)
            }
            opened => opened,
        }
    }
}

impl Opener {
    fn is_on_processor(&self) -> bool {
        self.device == Device::CPU
    }

    fn open_with(&self, weights: &[(String, Arc<[u8]>)]) -> Result<Session> {
        let graph = self.folder.graph();
        let unusable = |error: ort::Error| {
            let problem = text(&error);
            system_error(&problem).map_or_else(
                || {
                    Error::model(format!(
                        "{} is no usable ONNX model: {problem}; is it complete? download or export it again",
                        graph.display()
                    ))
                },
                |error| unreadable(graph, &error),
            )
        };
        let builder = provider::register(self.builder().map_err(unusable)?, self.device, self.threads)?;
        let with_weights = weights.iter().try_fold(builder, |builder, (location, content)| {
            Ok(builder.with_external_initializer_file_in_memory(location, Arc::clone(content))?)
        });
        let session = with_weights.and_then(|mut builder| builder.commit_from_file(graph));
        session.map_err(unusable)
    }

    fn builder(&self) -> ort::Result<SessionBuilder> {
        let threads = if self.is_on_processor() { 1 } else { self.threads };
        let builder = Session::builder(&self.environment)?
            .with_log_level(LogLevel::Fatal)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            // Every batch has a shape of its own: a plan for one is of no use to the next.
            .with_memory_pattern(false)?
            .with_prepacked_weights(&self.packed)?;
        Ok(builder)
    }
}

/// What kept ONNX Runtime from opening the graph, or weights beside it: it gives the number of the system's error.
fn system_error(problem: &str) -> Option<io::Error> {
    let number =
        ["system error number ", "errcode = "].iter().find_map(|words| problem.split(words).nth(1))?;
    let number = number.split(|character: char| !character.is_ascii_digit()).next()?;
    number.parse().ok().map(io::Error::from_raw_os_error)
}

/// ONNX Runtime's words without their full stop: ours follow.
pub(super) fn text(error: &ort::Error) -> String {
    error.to_string().trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_told_from_one_that_is_no_model() {
        let number = |problem: &str| system_error(problem).and_then(|error| error.raw_os_error());
        assert_eq!(number("Load model from /m/model.onnx failed:system error number 24"), Some(24));
        assert_eq!(
            number("open file \"/m/model.onnx_data\" failed: errcode = 24 - Too many open files"),
            Some(24)
        );
        assert_eq!(number("Load model from /m/model.onnx failed:Protobuf parsing failed"), None);
    }
}
