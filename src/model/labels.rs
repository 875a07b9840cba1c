//! From logits to labels and scores, by the rules of the transformers `text-classification` pipeline.

use serde_json::Value as Json;

use crate::error::{Error, Kind, Result};
use crate::severity::Label;

/// What turns logits into scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    Softmax,
    Sigmoid,
    Identity,
}

/// The classification head: its labels and its activation.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    labels: Vec<Label>,
    activation: Activation,
}

/// The score of every label, in the order of the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction(Box<[f32]>);

impl Prediction {
    #[cfg(test)]
    pub(crate) fn certain() -> Self {
        Self([1.0].into())
    }

    /// The scores.
    pub fn scores(&self) -> &[f32] {
        &self.0
    }

    /// The index of the highest score, the first of equals, and that score.
    pub(super) fn top(&self) -> (usize, f64) {
        let mut best = (0, f32::NEG_INFINITY);
        for (index, &score) in self.0.iter().enumerate() {
            if score > best.1 {
                best = (index, score);
            }
        }
        (best.0, f64::from(best.1))
    }
}

impl Head {
    /// Reads `id2label`, `num_labels` and `problem_type` of a Hugging Face configuration.
    ///
    /// The pipeline asks for `function_to_apply` of the configuration last, after cases that cover every number of
    /// labels, so it never has an effect; it has none here either.
    pub(super) fn from_config(config: &Json) -> Result<Self> {
        let labels = labels(config)?;
        let activation = match config.get("problem_type").and_then(Json::as_str) {
            Some("regression") => Activation::Identity,
            Some("multi_label_classification") => Activation::Sigmoid,
            _ if labels.len() == 1 => Activation::Sigmoid,
            _ => Activation::Softmax,
        };
        Ok(Self { labels, activation })
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The label of a logit of this head.
    pub(super) fn label(&self, index: usize) -> &Label {
        &self.labels[index]
    }

    /// How many logits a row has.
    pub(super) fn width(&self) -> usize {
        self.labels.len()
    }

    /// The scores that belong to one row of logits.
    pub(super) fn predict(&self, logits: &[f32]) -> Result<Prediction> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(Error::new(
                Kind::Inference,
                "the model answered NaN; export it again, or use another one",
            ));
        }
        let scores = match self.activation {
            Activation::Softmax => softmax(logits),
            Activation::Sigmoid => logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
            Activation::Identity => logits.into(),
        };
        if scores.iter().all(|score| score.is_finite()) {
            return Ok(Prediction(scores));
        }
        let problem = "the model answered NaN or infinity; export it again, or use another one";
        Err(Error::new(Kind::Inference, problem))
    }
}

fn softmax(logits: &[f32]) -> Box<[f32]> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

/// The labels in the order of the logits; transformers calls those without a name `LABEL_i` and assumes two. Where
/// `num_labels` contradicts the names, transformers drops them.
fn labels(config: &Json) -> Result<Vec<Label>> {
    const DEFAULT_COUNT: u64 = 2;
    const MOST: u64 = 100_000;
    let count = config.get("num_labels").and_then(Json::as_u64);
    let names = config.get("id2label").and_then(Json::as_object).filter(|names| !names.is_empty());
    if let Some(names) = names.filter(|names| count.is_none_or(|count| count == names.len() as u64)) {
        return (0..names.len())
            .map(|index| {
                let name = names.get(&index.to_string()).and_then(Json::as_str);
                name.map(Label::new).ok_or_else(|| {
                    Error::model(format!(
                        "id2label names {} labels, but none is \"{index}\"; number them from 0 up, as the logits are",
                        names.len()
                    ))
                })
            })
            .collect();
    }
    let count = count.unwrap_or(DEFAULT_COUNT);
    if !(1..=MOST).contains(&count) {
        return Err(Error::model(format!("num_labels is {count}, it must be from 1 to {MOST}")));
    }
    Ok((0..count).map(|index| Label::new(&format!("LABEL_{index}"))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(config: Json) -> Vec<String> {
        Head::from_config(&config).unwrap().labels.into_iter().map(|label| label.name).collect()
    }

    #[test]
    fn labels_come_in_the_order_of_the_logits() {
        assert_eq!(names(json!({"id2label": {"1": "b", "0": "a", "2": "c"}})), ["A", "B", "C"]);
    }

    #[test]
    fn labels_without_a_name_are_numbered() {
        assert_eq!(names(json!({})), ["LABEL_0", "LABEL_1"]);
        assert_eq!(names(json!({"num_labels": 3})), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    }

    #[test]
    fn names_that_are_not_as_many_as_the_labels_are_dropped() {
        let two = json!({"0": "a", "1": "b"});
        assert_eq!(names(json!({"num_labels": 2, "id2label": two})), ["A", "B"]);
        assert_eq!(names(json!({"num_labels": 3, "id2label": two})), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    }

    #[test]
    fn a_gap_in_the_labels_is_an_error() {
        let error = Head::from_config(&json!({"id2label": {"0": "a", "2": "c"}})).unwrap_err();
        assert!(error.to_string().starts_with("id2label names 2 labels, but none is \"1\"; number them"));
        assert!(Head::from_config(&json!({"num_labels": 0})).is_err());
    }

    #[test]
    fn the_activation_follows_the_pipeline() {
        let activation = |config: Json| Head::from_config(&config).unwrap().activation;
        let two = json!({"0": "a", "1": "b"});
        assert_eq!(activation(json!({"id2label": two})), Activation::Softmax);
        assert_eq!(activation(json!({"id2label": {"0": "a"}})), Activation::Sigmoid);
        assert_eq!(
            activation(json!({"id2label": two, "problem_type": "multi_label_classification"})),
            Activation::Sigmoid
        );
        assert_eq!(activation(json!({"id2label": two, "problem_type": "regression"})), Activation::Identity);
        assert_eq!(activation(json!({"id2label": two, "function_to_apply": "sigmoid"})), Activation::Softmax);
    }

    #[test]
    fn softmax_survives_large_logits_and_sums_to_one() {
        let scores = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((scores[0] - 0.731_058_6).abs() < 1e-6);
    }

    #[test]
    fn the_first_of_equal_scores_is_on_top() {
        let head = Head::from_config(&json!({"num_labels": 3})).unwrap();
        assert_eq!(head.predict(&[1.0, 2.0, 2.0]).unwrap().top().0, 1);
    }

    #[test]
    fn nan_and_infinity_are_errors_not_scores() {
        let head = Head::from_config(&json!({"num_labels": 2})).unwrap();
        for logit in [f32::NAN, f32::INFINITY] {
            assert_eq!(head.predict(&[logit, 0.0]).unwrap_err().kind(), Kind::Inference);
        }
    }
}
