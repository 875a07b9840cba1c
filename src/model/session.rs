//! ONNX sessions: one single-threaded session per thread that runs the model.
//!
//! Measured on two cores, two single-threaded sessions answer more rows a second than one session with two threads:
//! the matrices of a small model are too small to split.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use memchr::memmem::Finder;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights, SessionBuilder};
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::Tensor;

use super::tokenizer::Tokens;
use super::{Folder, Runtime};
use crate::error::{Error, Kind, Result};
use crate::sync::lock;

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
    // The sessions go first: they use the packed weights to their end.
    sessions: Mutex<Sessions>,
    returned: Condvar,
    weights: PrepackedWeights,
    environment: Environment,
    folder: Folder,
    inputs: Vec<(String, Input)>,
    /// The name of the output that holds the logits.
    output: String,
    threads: usize,
    batchable: bool,
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
    pub(super) fn open(runtime: &Runtime, folder: &Folder, threads: usize) -> Result<Self> {
        let graph = folder.graph();
        let unreadable =
            |error: std::io::Error| Error::model(format!("{} cannot be read: {error}", graph.display()));
        let batchable = !is_dynamically_quantised(graph).map_err(unreadable)?;
        let environment = runtime.environment().clone();
        let weights = PrepackedWeights::new();
        let first = open_session(&environment, &weights, graph)?;
        let (inputs, output) = inputs(&first)
            .and_then(|inputs| Ok((inputs, output(&first)?)))
            .map_err(|error| error.context(graph.display()))?;
        Ok(Self {
            sessions: Mutex::new(Sessions { idle: vec![first], made: 1, most: threads }),
            returned: Condvar::new(),
            weights,
            environment,
            folder: folder.clone(),
            inputs,
            output,
            threads,
            batchable,
        })
    }

    pub(super) fn graph(&self) -> &Path {
        self.folder.graph()
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
        let failed =
            |error: ort::Error| Error::new(Kind::Inference, format!("the model failed: {}", text(&error)));
        let inputs = self.tensors(rows, pad_id).map_err(failed)?;
        let mut session = self.borrow();
        let outputs = session.run(inputs).map_err(failed)?;
        let (shape, logits) = outputs[self.output.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
        if **shape == [rows.len() as i64, width as i64] {
            return Ok(logits.to_vec());
        }
        Err(Error::new(
            Kind::Inference,
            format!(
                "{} answered the shape {shape:?} where [{}, {width}] was expected: as many logits a text as \
                 config.json names labels; export the model again for text classification",
                self.folder.graph().display(),
                rows.len(),
            ),
        ))
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
        self.folder.check_unchanged()?;
        open_session(&self.environment, &self.weights, self.folder.graph())
    }
}

fn open_session(environment: &Environment, weights: &PrepackedWeights, graph: &Path) -> Result<Session> {
    let unusable = |error: ort::Error| {
        Error::model(format!(
            "{} is no usable ONNX model: {}; is it complete? download or export it again",
            graph.display(),
            text(&error)
        ))
    };
    session_builder(environment, weights)
        .and_then(|mut builder| builder.commit_from_file(graph))
        .map_err(unusable)
}

/// ONNX Runtime's words without their full stop: ours follow.
fn text(error: &ort::Error) -> String {
    error.to_string().trim_end_matches('.').to_owned()
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

/// The output called `logits`, else the first.
fn output(session: &Session) -> Result<String> {
    let outputs = session.outputs();
    let output = outputs.iter().find(|outlet| outlet.name() == "logits").or_else(|| outputs.first());
    output
        .map(|outlet| outlet.name().to_owned())
        .ok_or_else(|| Error::model("the graph has no output; export it with --task text-classification"))
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
