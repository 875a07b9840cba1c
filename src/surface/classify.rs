//! `anomaly_classify`, `anomaly_label`, `anomaly_score`, `anomaly_scores` and `anomaly_classify_each`.

use std::sync::Arc;
use std::vec;

use serde_json::Value as Json;

use super::Ready;
use super::elements::Elements;
use crate::classification::Answer;
use crate::connection::{Connection, Model};
use crate::db::Database;
use crate::error::{Error, Result};
use crate::model::{Prediction, VISIBLE_BYTES};
use crate::severity::Label;
use crate::sqlite::{Arguments, Passed, Rows, TableFunction};
use crate::value::Value;

/// `anomaly_classify(text)`: label, score, severity and whether the label is an anomaly, as JSON.
pub fn classify(connection: &Connection, database: &Database, arguments: Passed<'_>) -> Result<Value> {
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
pub fn label(connection: &Connection, database: &Database, arguments: Passed<'_>) -> Result<Value> {
    top(connection, database, arguments, |label, _| label.name.as_str().into())
}

/// `anomaly_score(text)`: the highest score.
pub fn score(connection: &Connection, database: &Database, arguments: Passed<'_>) -> Result<Value> {
    top(connection, database, arguments, |_, score| score.into())
}

fn top(
    connection: &Connection,
    database: &Database,
    arguments: Passed<'_>,
    result: impl FnOnce(&Label, f64) -> Value,
) -> Result<Value> {
    // A text may be large, and no more of it is needed.
    let Some(text) = arguments.head(0, VISIBLE_BYTES)? else { return Ok(Value::Null) };
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
    type Rows<'db> = Ready;

    fn open(&self, database: &Database, arguments: Arguments<'_>) -> Result<Ready> {
        let connection = &*self.0;
        let text = arguments.get(0).borrowed().head(VISIBLE_BYTES)?;
        let Some(text) = text else { return Ok(Ready::new(Vec::new())) };
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
    type Rows<'db> = Option<Each>;

    fn open(&self, database: &Database, arguments: Arguments<'_>) -> Result<Option<Each>> {
        if *arguments.get(0) == Value::Null {
            return Ok(None);
        }
        self.0.note(Each::begin(&self.0, database, arguments.get(0))).map(Some)
    }
}

/// The elements of an array, so many of which are read and classified together as are soon asked for.
pub struct Each {
    connection: Arc<Connection>,
    model: Model,
    /// The argument as text, where it is none itself.
    copy: Option<String>,
    elements: Elements,
    /// Those that were classified, and how many there were before.
    ready: vec::IntoIter<Option<Answer>>,
    index: usize,
}

impl Each {
    /// As many as keep the cores busy, though most of them were seen before.
    const TOGETHER: usize = 8192;

    fn begin(connection: &Arc<Connection>, database: &Database, argument: &Value) -> Result<Self> {
        let copy = match argument {
            Value::Text(_) => None,
            other => other.borrowed().head(usize::MAX)?,
        };
        let elements = Elements::of(as_text(&copy, argument), &|| database.check_interrupt())?;
        let model = connection.model()?;
        // A model that cannot be used is told even where there is nothing to classify.
        model.classifier()?;
        let connection = Arc::clone(connection);
        Ok(Self { connection, model, copy, elements, ready: Vec::new().into_iter(), index: 0 })
    }

    fn read(&mut self, database: &Database, argument: &Value) -> Result<Vec<Option<Answer>>> {
        let check = || database.check_interrupt();
        let texts = self.elements.next(as_text(&self.copy, argument), Self::TOGETHER, &check)?;
        let present: Vec<_> = texts.iter().flatten().map(String::as_str).collect();
        let mut answers = self.model.classify(&present, &check)?.into_iter();
        Ok(texts.iter().map(|text| text.as_ref().and_then(|_| answers.next())).collect())
    }

    fn next_row(&mut self, database: &Database, argument: &Value) -> Result<Option<Vec<Value>>> {
        if self.ready.as_slice().is_empty() {
            self.ready = self.read(database, argument)?.into_iter();
        }
        let Some(answer) = self.ready.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        let prediction = answer.transpose().map_err(|error| error.context(format!("element {index}")))?;
        let classifier = self.model.classifier()?;
        let description = prediction.map_or([const { Value::Null }; 4], |prediction| {
            let (label, score) = classifier.top(&prediction);
            described(label, score)
        });
        Ok(Some([Value::from(index)].into_iter().chain(description).collect()))
    }
}

impl Rows for Each {
    fn next(&mut self, database: &Database, arguments: Arguments<'_>) -> Result<Option<Vec<Value>>> {
        let row = self.next_row(database, arguments.get(0));
        self.connection.note(row)
    }
}

fn as_text<'a>(copy: &'a Option<String>, argument: &'a Value) -> &'a str {
    match (copy, argument) {
        (Some(copy), _) | (None, Value::Text(copy)) => copy,
        _ => "",
    }
}
