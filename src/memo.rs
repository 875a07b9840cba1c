//! Texts that were classified before: real logs repeat.
//!
//! A prediction is remembered under the text and under the tokens the model saw of it, since texts that differ only
//! in what the tokenizer's normaliser masks (numbers, addresses) are one sequence of tokens. Both maps are bounded by
//! entries and by bytes; the least recently used goes first.

use std::hash::Hash;
use std::sync::Arc;

use lru::LruCache;

use crate::model::{Prediction, Tokens};

/// The most bytes that each of the two maps holds.
const MAX_BYTES: usize = 32 << 20;

/// What an entry takes beside its key and its scores: links, hash slot, counters.
const OVERHEAD: usize = 128;

/// The predictions of one connection's model.
#[derive(Debug)]
pub struct Memo {
    texts: Bounded<Box<str>>,
    tokens: Bounded<Tokens>,
    answered: u64,
    runs: u64,
}

impl Memo {
    /// A memo that holds at most `entries` texts.
    pub fn new(entries: usize) -> Self {
        Self { texts: Bounded::new(entries), tokens: Bounded::new(entries), answered: 0, runs: 0 }
    }

    /// The prediction for a text.
    pub fn text(&mut self, text: &str) -> Option<Arc<Prediction>> {
        self.texts.get(text)
    }

    /// The prediction for what the model sees of a text.
    pub fn tokens(&mut self, tokens: &Tokens) -> Option<Arc<Prediction>> {
        self.tokens.get(tokens)
    }

    /// Remembers the prediction for a text.
    pub fn remember_text(&mut self, text: &str, prediction: &Arc<Prediction>) {
        self.texts.put(text.into(), text.len(), prediction);
    }

    /// Remembers the prediction for what the model sees.
    pub fn remember_tokens(&mut self, tokens: &Tokens, prediction: &Arc<Prediction>) {
        self.tokens.put(tokens.clone(), tokens.size(), prediction);
    }

    /// Counts texts that were answered.
    pub fn count_answers(&mut self, texts: usize) {
        self.answered += texts as u64;
    }

    /// Counts runs of the model.
    pub fn count_runs(&mut self, runs: usize) {
        self.runs += runs as u64;
    }

    /// How many texts were answered without, and how many with a run of the model.
    pub fn counters(&self) -> (u64, u64) {
        // Texts that were classified ahead may still wait to be asked for.
        (self.answered.saturating_sub(self.runs), self.runs)
    }

    /// How many texts are held.
    pub fn len(&self) -> usize {
        self.texts.map.len()
    }

    /// Whether no text is held.
    pub fn is_empty(&self) -> bool {
        self.texts.map.is_empty()
    }
}

#[derive(Debug)]
struct Bounded<K: Hash + Eq> {
    map: LruCache<K, (Arc<Prediction>, usize)>,
    entries: usize,
    bytes: usize,
}

impl<K: Hash + Eq> Bounded<K> {
    fn new(entries: usize) -> Self {
        Self { map: LruCache::unbounded(), entries, bytes: 0 }
    }

    fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<Arc<Prediction>>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get(key).map(|(prediction, _)| Arc::clone(prediction))
    }

    fn put(&mut self, key: K, size: usize, prediction: &Arc<Prediction>) {
        let size = size + size_of_val(prediction.scores()) + OVERHEAD;
        self.bytes += size;
        if let Some((_, replaced)) = self.map.put(key, (Arc::clone(prediction), size)) {
            self.bytes -= replaced;
        }
        while self.map.len() > self.entries || self.bytes > MAX_BYTES {
            let Some((_, (_, size))) = self.map.pop_lru() else { break };
            self.bytes -= size;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn prediction() -> Arc<Prediction> {
        Arc::new(Prediction::certain())
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut memo = Memo::new(2);
        memo.remember_text("a", &prediction());
        memo.remember_text("b", &prediction());
        assert!(memo.text("a").is_some());
        memo.remember_text("c", &prediction());
        assert!(memo.text("b").is_none() && memo.text("a").is_some() && memo.text("c").is_some());
    }

    #[test]
    fn it_is_bounded_by_bytes_too() {
        let mut memo = Memo::new(usize::MAX);
        let long = "x".repeat(1 << 20);
        for number in 0..100 {
            memo.remember_text(&format!("{number}{long}"), &prediction());
        }
        assert!(memo.len() < 32 && memo.texts.bytes <= MAX_BYTES);
    }

    #[test]
    fn a_memo_of_no_entries_remembers_nothing() {
        let mut memo = Memo::new(0);
        memo.remember_text("a", &prediction());
        assert!(memo.is_empty() && memo.texts.bytes == 0);
    }

    #[test]
    fn remembering_twice_counts_once() {
        let mut memo = Memo::new(10);
        memo.remember_text("a", &prediction());
        let bytes = memo.texts.bytes;
        memo.remember_text("a", &prediction());
        assert_eq!((memo.len(), memo.texts.bytes), (1, bytes));
    }
}
