//! `anomaly_classify`, `anomaly_label`, `anomaly_score`, `anomaly_scores` and `anomaly_classify_each`.

use std::sync::Arc;

use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::Ready;
use crate::connection::{Connection, Model};
use crate::db::Database;
use crate::error::{Error, Result};
use crate::model::{Prediction, visible};
use crate::severity::Label;
use crate::sqlite::{Arguments, TableFunction};
use crate::value::Value;

/// `anomaly_classify(text)`: label, score, severity and whether the label is an anomaly, as JSON.
pub fn classify(connection: &Connection, database: &Database, arguments: Vec<Value>) -> Result<Value> {
    top(connection, database, arguments, |label, score| {
        format!(
            // An f32 in its shortest form: the digits beyond are no information.
            r#"{{"label":{name},"score":{score},"severity":"{severity}","anomalous":{anomalous}}}"#,
            name = Json::from(label.name.as_str()),
            score = score as f32,
            severity = label.severity,
            anomalous = label.anomalous,
        )
        .into()
    })
}

/// `anomaly_label(text)`: the label with the highest score.
pub fn label(connection: &Connection, database: &Database, arguments: Vec<Value>) -> Result<Value> {
    top(connection, database, arguments, |label, _| label.name.as_str().into())
}

/// `anomaly_score(text)`: the highest score.
pub fn score(connection: &Connection, database: &Database, arguments: Vec<Value>) -> Result<Value> {
    top(connection, database, arguments, |_, score| score.into())
}

fn top(
    connection: &Connection,
    database: &Database,
    arguments: Vec<Value>,
    result: impl FnOnce(&Label, f64) -> Value,
) -> Result<Value> {
    let text = arguments.into_iter().next().and_then(Value::into_text);
    let Some(text) = text else { return Ok(Value::Null) };
    let model = connection.model()?;
    let prediction = predict(&model, database, &text)?;
    let (label, score) = model.classifier()?.top(&prediction);
    Ok(result(label, score))
}

fn predict(model: &Model, database: &Database, text: &str) -> Result<Arc<Prediction>> {
    let answers = model.classify(&[text], &|| database.check_interrupt())?;
    answers.into_iter().next().unwrap_or_else(|| Err(Error::defect("a text was left unanswered")))
}

/// The columns that describe one label of one text.
fn described(label: &Label, score: f64) -> [Value; 4] {
    [label.name.as_str().into(), score.into(), label.severity.into(), label.anomalous.into()]
}

/// `anomaly_scores(text)`: every label of the model, best first; no row for `NULL`.
pub struct Scores(pub Arc<Connection>);

impl TableFunction for Scores {
    const NAME: &'static str = "anomaly_scores";
    const COLUMNS: &'static [&'static str] = &["label", "score", "severity", "anomalous"];
    const ARGUMENTS: &'static [&'static str] = &["text"];
    const REQUIRED: usize = 1;
    type Rows = Ready;

    fn open(&self, database: &Database, arguments: Arguments<'_>) -> Result<Ready> {
        let connection = &*self.0;
        let Some(text) = arguments.get(0).text() else { return Ok(Ready::new(Vec::new())) };
        connection.note((|| {
            let model = connection.model()?;
            let prediction = predict(&model, database, &text)?;
            let classifier = model.classifier()?;
            let mut scores: Vec<_> = prediction.scores().iter().copied().enumerate().collect();
            scores.sort_by(|(_, left), (_, right)| right.total_cmp(left));
            let rows = scores
                .into_iter()
                .map(|(index, score)| described(classifier.label(index), f64::from(score)).to_vec());
            Ok(Ready::new(rows.collect()))
        })())
    }
}

/// `anomaly_classify_each(json_array)`: the best label of each element, in batches.
pub struct ClassifyEach(pub Arc<Connection>);

impl TableFunction for ClassifyEach {
    const NAME: &'static str = "anomaly_classify_each";
    const COLUMNS: &'static [&'static str] = &["idx", "label", "score", "severity", "anomalous"];
    const ARGUMENTS: &'static [&'static str] = &["json_array"];
    const REQUIRED: usize = 1;
    type Rows = Ready;

    fn open(&self, database: &Database, arguments: Arguments<'_>) -> Result<Ready> {
        let connection = &*self.0;
        let Some(json) = arguments.get(0).text() else { return Ok(Ready::new(Vec::new())) };
        connection.note(elements(&json).and_then(|texts| each(connection, database, &texts)))
    }
}

/// What the model sees of the elements of a JSON array: of strings their text, of `null` nothing, of anything else its
/// JSON.
fn elements(json: &str) -> Result<Vec<Option<String>>> {
    // An array may be as large as SQLite lets a value be: no more than one element is held as a whole.
    let elements: serde_json::Result<Vec<&RawValue>> = serde_json::from_str(json);
    let texts = elements.and_then(|elements| elements.into_iter().map(element).collect());
    texts.map_err(|error| {
        Error::argument(format!(
            "anomaly_classify_each(json_array): not a JSON array ({error}); \
             pass one such as SELECT json_group_array(text) FROM … gives"
        ))
    })
}

fn element(json: &RawValue) -> serde_json::Result<Option<String>> {
    let text = match serde_json::from_str(json.get())? {
        Json::Null => return Ok(None),
        Json::String(text) => text,
        other => other.to_string(),
    };
    Ok(Some(visible(&text).to_owned()))
}

fn each(connection: &Connection, database: &Database, texts: &[Option<String>]) -> Result<Ready> {
    let model = connection.model()?;
    let present: Vec<_> = texts.iter().flatten().map(String::as_str).collect();
    let answers = model.classify(&present, &|| database.check_interrupt())?;
    let classifier = model.classifier()?;
    let mut answers = answers.into_iter();
    let rows = texts.iter().enumerate().map(|(index, text)| {
        let answer = text.as_ref().and_then(|_| answers.next()).transpose();
        let prediction = answer.map_err(|error| error.context(format!("element {index}")))?;
        let description = prediction.map_or([const { Value::Null }; 4], |prediction| {
            let (label, score) = classifier.top(&prediction);
            described(label, score)
        });
        Ok([Value::from(index)].into_iter().chain(description).collect())
    });
    Ok(Ready::new(rows.collect::<Result<_>>()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_as_texts() {
        let texts = elements(r#"["a", null, 7, {"k": 1}]"#).unwrap();
        assert_eq!(texts, [Some("a".into()), None, Some("7".into()), Some(r#"{"k":1}"#.into())]);
    }

    #[test]
    fn what_is_no_array_is_an_error_with_a_remedy() {
        let error = elements(r#"{"a": 1}"#).unwrap_err().to_string();
        assert!(error.contains("not a JSON array") && error.contains("json_group_array"), "{error}");
    }
}
