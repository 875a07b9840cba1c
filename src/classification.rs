//! Texts to predictions: each distinct text once, and the model only for what was never seen.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::memo::Memo;
use crate::model::{Check, Classifier, Prediction, Tokens, visible};

/// The answer for one text: what the model says, or why it fails on this text alone.
pub type Answer = Result<Arc<Prediction>>;

/// The answers for `texts`, in their order.
pub fn classify(
    classifier: &Classifier,
    memo: &Mutex<Memo>,
    texts: &[&str],
    check: Check<'_>,
) -> Result<Vec<Answer>> {
    let (distinct, places) = distinct(texts.iter().map(|text| visible(text)));
    let mut answers: Vec<Option<Answer>> = {
        let mut memo = lock(memo);
        distinct.iter().map(|text| memo.text(text).map(Ok)).collect()
    };
    let unknown: Vec<_> = (0..distinct.len()).filter(|&index| answers[index].is_none()).collect();
    let unknown_texts: Vec<_> = unknown.iter().map(|&index| distinct[index]).collect();
    let (fresh, runs) = run(classifier, memo, &unknown_texts, check)?;
    let mut memo = lock(memo);
    for (index, answer) in unknown.into_iter().zip(fresh) {
        if let Ok(prediction) = &answer {
            memo.remember_text(distinct[index], prediction);
        }
        answers[index] = Some(answer);
    }
    memo.count(texts.len() - runs.min(texts.len()), runs);
    Ok(places.into_iter().filter_map(|place| answers[place].clone()).collect())
}

/// The answers for texts that are not in memory, and how many sequences the model ran on for them.
fn run(
    classifier: &Classifier,
    memo: &Mutex<Memo>,
    texts: &[&str],
    check: Check<'_>,
) -> Result<(Vec<Answer>, usize)> {
    let encoded = classifier.encode(texts, check)?;
    let (distinct, places) = distinct(encoded.iter().filter_map(|tokens| tokens.as_ref().ok()));
    let mut answers: Vec<Option<Answer>> = {
        let mut memo = lock(memo);
        distinct.iter().map(|tokens| memo.tokens(tokens).map(Ok)).collect()
    };
    let unknown: Vec<_> = (0..distinct.len()).filter(|&index| answers[index].is_none()).collect();
    let sequences: Vec<&Tokens> = unknown.iter().map(|&index| distinct[index]).collect();
    let fresh = classifier.predict(&sequences, check)?;
    let runs = sequences.len();
    let mut memo = lock(memo);
    for (index, answer) in unknown.into_iter().zip(fresh) {
        let answer = answer.map(Arc::new);
        if let Ok(prediction) = &answer {
            memo.remember_tokens(distinct[index].clone(), prediction);
        }
        answers[index] = Some(answer);
    }
    let mut places = places.into_iter();
    let answers = encoded.iter().filter_map(|tokens| match tokens {
        Ok(_) => places.next().and_then(|place| answers[place].clone()),
        Err(error) => Some(Err(error.clone())),
    });
    Ok((answers.collect(), runs))
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

fn lock(memo: &Mutex<Memo>) -> MutexGuard<'_, Memo> {
    memo.lock().unwrap_or_else(PoisonError::into_inner)
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
