//! Texts to predictions: each distinct text once, and the model only for what was never seen.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::memo::Memo;
use crate::model::{Check, Classifier, Prediction, visible};
use crate::sync::lock;

/// The answer for one text: what the model says, or why it fails on this text alone.
pub type Answer = Result<Arc<Prediction>>;

/// The answers for `texts`, in their order, and how often the model was run for them.
pub fn classify(
    classifier: &Classifier,
    memo: &Mutex<Memo>,
    texts: &[&str],
    check: Check<'_>,
) -> Result<(Vec<Answer>, usize)> {
    let mut runs = 0;
    let visible = texts.iter().map(|text| visible(text));
    let answers = once_each(memo, visible, Memo::text, Memo::remember_text, |texts| {
        let encoded = classifier.encode(texts, check)?;
        let tokens = encoded.iter().filter_map(|tokens| tokens.as_ref().ok());
        let answers = once_each(memo, tokens, Memo::tokens, Memo::remember_tokens, |sequences| {
            runs = sequences.len();
            let predictions = classifier.predict(sequences, check)?;
            Ok(predictions.into_iter().map(|prediction| prediction.map(Arc::new)).collect())
        })?;
        let mut answers = answers.into_iter();
        let in_order = encoded.iter().filter_map(|tokens| match tokens {
            Ok(_) => answers.next(),
            Err(error) => Some(Err(error.clone())),
        });
        Ok(in_order.collect())
    })?;
    lock(memo).count_runs(runs);
    Ok((answers, runs))
}

/// The answers for `keys`, in their order: those that the memo holds from there, each distinct other one from
/// `compute`, whose predictions are remembered. The memo is free while `compute` runs.
fn once_each<K: Copy + Eq + Hash>(
    memo: &Mutex<Memo>,
    keys: impl Iterator<Item = K>,
    recall: impl Fn(&mut Memo, K) -> Option<Arc<Prediction>>,
    remember: impl Fn(&mut Memo, K, &Arc<Prediction>),
    compute: impl FnOnce(&[K]) -> Result<Vec<Answer>>,
) -> Result<Vec<Answer>> {
    let (distinct, places) = distinct(keys);
    let mut answers: Vec<Option<Answer>> = {
        let mut memo = lock(memo);
        distinct.iter().map(|&key| recall(&mut memo, key).map(Ok)).collect()
    };
    let unknown: Vec<_> = (0..distinct.len()).filter(|&index| answers[index].is_none()).collect();
    let unknown_keys: Vec<_> = unknown.iter().map(|&index| distinct[index]).collect();
    let fresh = compute(&unknown_keys)?;
    let mut memo = lock(memo);
    for (index, answer) in unknown.into_iter().zip(fresh) {
        if let Ok(prediction) = &answer {
            remember(&mut memo, distinct[index], prediction);
        }
        answers[index] = Some(answer);
    }
    Ok(places.into_iter().filter_map(|place| answers[place].clone()).collect())
}

/// The distinct items in the order of their first occurrence, and for each item which of them it is.
fn distinct<T: Copy + Eq + Hash>(items: impl Iterator<Item = T>) -> (Vec<T>, Vec<usize>) {
    let mut seen = HashMap::new();
    let mut distinct = Vec::new();
    let places = items.map(|item| {
        *seen.entry(item).or_insert_with(|| {
            distinct.push(item);
            distinct.len() - 1
        })
    });
    let places = places.collect();
    (distinct, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_items_keep_the_order_of_their_first_occurrence() {
        let (items, places) = distinct(["b", "a", "b", "c", "a"].into_iter());
        assert_eq!(items, ["b", "a", "c"]);
        assert_eq!(places, [0, 1, 0, 2, 1]);
    }
}
