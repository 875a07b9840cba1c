//! A Hugging Face text-classification model: its folder, its tokenizer, its ONNX session, its labels.
//!
//! The results are those of the transformers `text-classification` pipeline with `truncation=True, max_length=512`:
//! the text's first 512 code points, at most 512 tokens, softmax or sigmoid as the configuration asks, top label first.

mod batching;
mod folder;
mod graph;
mod hub;
mod interface;
mod labels;
mod parallel;
mod place;
mod provider;
mod registry;
mod runtime;
mod session;
mod tokenizer;

pub use folder::Folder;
pub use labels::Prediction;
pub use place::{find, is_bundled};
pub use provider::{available as available_providers, require as require_device};
pub use registry::{Shared, shared};
pub use runtime::Runtime;
pub use tokenizer::{Tokens, VISIBLE_BYTES, visible};

use std::path::Path;

use crate::device::Device;
use crate::error::{Error, Kind, Result};
use crate::severity::Label;
use labels::Head;
use session::Pool;
use tokenizer::Tokenizer;

/// How many texts a thread tokenises before it looks for an interrupt.
const TEXTS_AT_A_TIME: usize = 32;

/// A model that is loaded and ready.
#[derive(Debug)]
pub struct Classifier {
    head: Head,
    tokenizer: Tokenizer,
    pool: Pool,
}

/// Called between pieces of work on the caller's thread; an error stops the work.
pub type Check<'a> = &'a dyn Fn() -> Result<()>;

impl Classifier {
    /// Loads the model of `folder` for a device and `threads` threads; ONNX Runtime is looked for in the folder `beside`.
    pub fn load(folder: &Folder, beside: Option<&Path>, device: Device, threads: usize) -> Result<Self> {
        let config = folder.read_config()?;
        let head = Head::from_config(&config).map_err(|error| error.context(folder.config().display()))?;
        // The tokenizer takes a third of the time that ONNX Runtime and its session take. Not the other way round: the
        // many small pieces of a tokenizer are better allocated by the process's first thread, whose heap grows in
        // larger steps (glibc).
        let (pool, tokenizer) = parallel::join(
            threads,
            || Pool::open(Runtime::get_or_load(beside)?, folder, device, threads),
            || Tokenizer::load(folder, &config),
        )?;
        Ok(Self { head, tokenizer: tokenizer?, pool: pool? })
    }

    /// The label of the highest score; the first of equals.
    pub fn top<'a>(&'a self, prediction: &Prediction) -> (&'a Label, f64) {
        let (index, score) = prediction.top();
        (self.label(index), score)
    }

    /// The label of one logit.
    pub fn label(&self, index: usize) -> &Label {
        self.head.label(index)
    }

    /// What the model sees of each text: the tokens after cutting, normalising and truncating.
    ///
    /// As with [`predict`](Self::predict), a text that the tokenizer refuses is an error of its own.
    pub fn encode(&self, texts: &[&str], check: Check<'_>) -> Result<Vec<Result<Tokens>>> {
        let pieces: Vec<_> = texts.chunks(TEXTS_AT_A_TIME).collect();
        let encode =
            |piece: &&[&str]| piece.iter().map(|text| self.tokenizer.encode(text)).collect::<Vec<_>>();
        let encoded = parallel::map(self.pool.threads(), &pieces, check, encode)?;
        self.unless_it_never_works(encoded.into_iter().flatten().collect())
    }

    /// The prediction for each sequence of tokens, in their order.
    ///
    /// A sequence that the model fails on alone is an error of its own; a model that fails on everything is an error
    /// of the whole.
    pub fn predict(&self, sequences: &[&Tokens], check: Check<'_>) -> Result<Vec<Result<Prediction>>> {
        let lengths: Vec<_> = sequences.iter().map(|tokens| tokens.len()).collect();
        let batches =
            batching::plan(&lengths, self.pool.sharing(), self.pool.padded_tokens(), self.pool.threads());
        let outcomes = parallel::map(self.pool.threads(), &batches, check, |batch| {
            let tokens: Vec<_> = batch.iter().filter_map(|&row| sequences.get(row).copied()).collect();
            self.run_batch(&tokens)
        })?;
        let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
        let mut predictions: Vec<_> = sequences.iter().map(|_| Err(unanswered())).collect();
        for (row, outcome) in batches.into_iter().flatten().zip(outcomes.into_iter().flatten()) {
            if let Some(place) = predictions.get_mut(row) {
                *place = outcome;
            }
        }
        self.unless_it_never_works(predictions)
    }

    /// The outcomes, one for each text, unless all of them are errors and any other text would be one as well.
    fn unless_it_never_works<T>(&self, outcomes: Vec<Result<T>>) -> Result<Vec<Result<T>>> {
        match outcomes.first() {
            Some(Err(error)) if outcomes.iter().all(Result::is_err) && !self.works_at_all() => {
                Err(error.clone())
            }
            _ => Ok(outcomes),
        }
    }

    /// Runs one padded batch; where the model fails on it as a whole, each of its rows alone.
    fn run_batch(&self, tokens: &[&Tokens]) -> Result<Vec<Result<Prediction>>> {
        match self.run(tokens) {
            Err(error) if error.kind() != Kind::Inference => Err(error),
            Err(error) if tokens.len() < 2 => Ok(vec![Err(error)]),
            Err(_) => {
                let alone = tokens.iter().map(|&row| self.run_batch(&[row])).collect::<Result<Vec<_>>>()?;
                Ok(alone.into_iter().flatten().collect())
            }
            predictions => predictions,
        }
    }

    fn run(&self, tokens: &[&Tokens]) -> Result<Vec<Result<Prediction>>> {
        let width = self.head.width();
        let logits = self.pool.run(tokens, self.tokenizer.pad_id(), width)?;
        let named = |error: Error| error.context(self.pool.graph().display());
        Ok(logits.chunks(width).map(|row| self.head.predict(row).map_err(named)).collect())
    }

    /// Tells a model that fails on every text from one that was given nothing but texts it fails on.
    fn works_at_all(&self) -> bool {
        let probe = self.tokenizer.encode("ok").and_then(|tokens| self.run(&[&tokens]));
        probe.is_ok_and(|predictions| predictions.iter().all(Result::is_ok))
    }
}

fn unanswered() -> Error {
    Error::defect("a sequence of tokens was left unanswered")
}
