//! ONNX sessions: on the processor one single-threaded session per thread that runs the model, on any other device one.
//!
//! Measured on two cores, two single-threaded sessions answer more rows a second than one session with two threads:
//! the matrices of a small model are too small to split.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights, SessionBuilder};
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::Tensor;

use super::graph::Graph;
use super::tokenizer::Tokens;
use super::{Folder, Runtime, provider};
use crate::device::Device;
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

/// The sessions on one graph. They are made as they are needed.
#[derive(Debug)]
pub(super) struct Pool {
    // The sessions go first: they use the packed weights to their end.
    sessions: Mutex<Sessions>,
    returned: Condvar,
    source: Source,
    inputs: Vec<(String, Input)>,
    /// The name of the output that holds the logits.
    output: String,
}

/// What every session is made from.
#[derive(Debug)]
struct Source {
    weights: PrepackedWeights,
    environment: Environment,
    folder: Folder,
    graph: Graph,
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
        let source = Source {
            weights: PrepackedWeights::new(),
            environment: runtime.environment().clone(),
            folder: folder.clone(),
            graph: Graph::open(folder.graph())?,
            device,
            threads,
        };
        let first = source.open_session()?;
        let (inputs, output) = inputs(&first)
            .and_then(|inputs| Ok((inputs, output(&first)?)))
            .map_err(|error| error.context(folder.graph().display()))?;
        let most = if source.is_on_processor() { threads } else { 1 };
        Ok(Self {
            sessions: Mutex::new(Sessions { idle: vec![first], made: 1, most }),
            returned: Condvar::new(),
            source,
            inputs,
            output,
        })
    }

    pub(super) fn graph(&self) -> &Path {
        self.source.graph.path()
    }

    pub(super) fn threads(&self) -> usize {
        self.source.threads
    }

    /// How many tokens a batch may hold, padding included.
    pub(super) fn padded_tokens(&self) -> usize {
        // More gains nothing on a processor (each matrix product is long enough to keep a core busy) and loses the
        // cache; another device is there for large products.
        if self.source.is_on_processor() { 512 } else { 16_384 }
    }

    /// Whether rows may share a batch.
    ///
    /// A dynamically quantised graph scales a batch by its largest value, so that a row's score would depend on the
    /// rows beside it; there each row runs alone.
    pub(super) fn is_batchable(&self) -> bool {
        !self.source.graph.is_dynamically_quantised()
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
                self.graph().display(),
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
        self.source.folder.check_unchanged()?;
        self.source.open_session()
    }
}

impl Source {
    fn is_on_processor(&self) -> bool {
        self.device == Device::CPU
    }

    fn open_session(&self) -> Result<Session> {
        let unusable = |error: ort::Error| {
            Error::model(format!(
                "{} is no usable ONNX model: {}; is it complete? download or export it again",
                self.graph.path().display(),
                text(&error)
            ))
        };
        let builder = self.builder().map_err(unusable)?;
        let builder = provider::register(builder, self.device, self.threads)?;
        let committed =
            self.with_weights(builder).and_then(|mut builder| builder.commit_from_file(self.graph.path()));
        committed.map_err(unusable)
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
            .with_prepacked_weights(&self.weights)?;
        Ok(builder)
    }

    fn with_weights(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        for (location, content) in self.graph.weights_in_memory() {
            builder = builder.with_external_initializer_file_in_memory(location, Arc::clone(content))?;
        }
        Ok(builder)
    }
}

/// ONNX Runtime's words without their full stop: ours follow.
pub(super) fn text(error: &ort::Error) -> String {
    error.to_string().trim().trim_end_matches('.').to_owned()
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
