//! ONNX sessions: one single-threaded session per thread that runs the model.
//!
//! Measured on two cores, two single-threaded sessions answer more rows a second than one session with two threads:
//! the matrices of a small model are too small to split.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use memchr::memmem::Finder;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::Runtime;
use super::tokenizer::Tokens;
use crate::error::{Error, Kind, Result};

/// The inputs a text classifier may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
}

impl Input {
    fn named(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            _ => None,
        }
    }
}

/// The sessions on one graph. They are made as they are needed, at most one per thread.
#[derive(Debug)]
pub(super) struct Pool {
    graph: PathBuf,
    environment: Environment,
    weights: PrepackedWeights,
    inputs: Vec<(String, Input)>,
    threads: usize,
    batchable: bool,
    sessions: Mutex<Sessions>,
    returned: Condvar,
}

#[derive(Debug)]
struct Sessions {
    idle: Vec<Session>,
    made: usize,
}

impl Pool {
    pub(super) fn open(runtime: &Runtime, graph: &Path, threads: usize) -> Result<Self> {
        let unreadable =
            |error: std::io::Error| Error::model(format!("{} cannot be read: {error}", graph.display()));
        let batchable = !is_dynamically_quantised(graph).map_err(unreadable)?;
        let environment = runtime.environment().clone();
        let weights = PrepackedWeights::new();
        let first = open_session(&environment, &weights, graph)?;
        let inputs = inputs(&first).map_err(|error| error.context(graph.display()))?;
        Ok(Self {
            graph: graph.to_owned(),
            environment,
            weights,
            inputs,
            threads,
            batchable,
            sessions: Mutex::new(Sessions { idle: vec![first], made: 1 }),
            returned: Condvar::new(),
        })
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Whether rows may share a batch.
    ///
    /// A dynamically quantised graph scales a batch by its largest value, so that a row's score would depend on the
    /// rows beside it; there each row runs alone.
    pub(super) fn is_batchable(&self) -> bool {
        self.batchable
    }

    /// The logits of all rows, `width` a row.
    pub(super) fn run(&self, rows: &[&Tokens], pad_id: i64, width: usize) -> Result<Vec<f32>> {
        let failed = |error: ort::Error| Error::new(Kind::Inference, format!("the model failed: {error}"));
        let inputs = self.tensors(rows, pad_id).map_err(failed)?;
        let mut session = self.borrow()?;
        let logits = (|| {
            let outputs = session.run(inputs).map_err(failed)?;
            let (shape, logits) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
            if **shape == [rows.len() as i64, width as i64] {
                return Ok(logits.to_vec());
            }
            Err(Error::new(
                Kind::Inference,
                format!(
                    "{} answered the shape {shape:?} where [{}, {width}] was expected: as many logits a text as \
                     config.json names labels; export the model again for text classification",
                    self.graph.display(),
                    rows.len(),
                ),
            ))
        })();
        self.give_back(session);
        logits
    }

    fn tensors(
        &self,
        rows: &[&Tokens],
        pad_id: i64,
    ) -> ort::Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>> {
        let length = rows.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
        self.inputs
            .iter()
            .map(|(name, input)| {
                let mut values = Vec::with_capacity(rows.len() * length);
                for (row, tokens) in rows.iter().enumerate() {
                    let fill = match input {
                        Input::Ids => {
                            values.extend(tokens.ids());
                            pad_id
                        }
                        Input::Mask => {
                            values.extend(tokens.ids().map(|_| 1));
                            0
                        }
                        Input::Types => {
                            values.extend(tokens.types());
                            0
                        }
                    };
                    values.resize((row + 1) * length, fill);
                }
                let tensor = Tensor::from_array(([rows.len(), length], values))?;
                Ok((Cow::from(name.as_str()), tensor.into()))
            })
            .collect()
    }

    /// An idle session, or a new one while there are fewer than threads, or the next that is given back.
    fn borrow(&self) -> Result<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = sessions.idle.pop() {
                return Ok(session);
            }
            if sessions.made < self.threads {
                sessions.made += 1;
                drop(sessions);
                return open_session(&self.environment, &self.weights, &self.graph).inspect_err(|_| {
                    self.sessions.lock().unwrap_or_else(PoisonError::into_inner).made -= 1;
                    self.returned.notify_one();
                });
            }
            sessions = self.returned.wait(sessions).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, session: Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).idle.push(session);
        self.returned.notify_one();
    }
}

fn open_session(environment: &Environment, weights: &PrepackedWeights, graph: &Path) -> Result<Session> {
    let unusable = |error: ort::Error| {
        Error::model(format!("{} is no usable ONNX model: {error}; export it again", graph.display()))
    };
    session_builder(environment, weights)
        .and_then(|mut builder| builder.commit_from_file(graph))
        .map_err(unusable)
}

fn session_builder(environment: &Environment, weights: &PrepackedWeights) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(environment)?
        .with_log_level(LogLevel::Fatal)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        // Every batch has a shape of its own: a plan for one is of no use to the next.
        .with_memory_pattern(false)?
        .with_prepacked_weights(weights)?;
    Ok(builder)
}

fn inputs(session: &Session) -> Result<Vec<(String, Input)>> {
    let known = "input_ids, attention_mask and token_type_ids";
    session
        .inputs()
        .iter()
        .map(|outlet| {
            let name = outlet.name();
            Input::named(name).map(|input| (name.to_owned(), input)).ok_or_else(|| {
                Error::model(format!(
                    "the graph asks for the input {name}, but a text classifier has {known}; \
                     export it with --task text-classification"
                ))
            })
        })
        .collect()
}

/// Whether the graph has operators such as `DynamicQuantizeLinear`, whose name stands in the file as plain text.
fn is_dynamically_quantised(graph: &Path) -> std::io::Result<bool> {
    contains(BufReader::with_capacity(1 << 20, File::open(graph)?), b"DynamicQuantize")
}

/// Whether `needle` occurs in what `reader` yields, read piece by piece.
fn contains(mut reader: impl BufRead, needle: &[u8]) -> std::io::Result<bool> {
    let finder = Finder::new(needle);
    let mut window = Vec::new();
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(false);
        }
        // The end of the piece before stays in front, in case the needle lies across the cut.
        window.extend_from_slice(piece);
        let length = piece.len();
        reader.consume(length);
        if finder.find(&window).is_some() {
            return Ok(true);
        }
        window.drain(..window.len().saturating_sub(needle.len() - 1));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_across_pieces_is_found() {
        let text = b"....DynamicQuantizeLinear....";
        for capacity in 1..text.len() {
            assert!(contains(BufReader::with_capacity(capacity, &text[..]), b"DynamicQuantize").unwrap());
            assert!(!contains(BufReader::with_capacity(capacity, &text[..]), b"DynamicQuantise").unwrap());
        }
    }
}
