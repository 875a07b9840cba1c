//! The JSON argument of `anomaly_classify_each`, read as serde_json reads it: each element as by itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;
use sqlite_anomaly_fuzz::folder::test_model;
use sqlite_anomaly_fuzz::{Encoding, Host, Row, Value, json_mutator, promise};

fuzz_target!(|data: &[u8]| {
    let (encoding, argument) = match data {
        [0, rest @ ..] => (Encoding::Utf16Little, rest),
        [1, rest @ ..] => (Encoding::Utf16Big, rest),
        _ => (Encoding::Utf8, data),
    };
    let host = promise::host(encoding);
    promise::done(host.query("SELECT anomaly_config('model', ?)", &[test_model("levels")]), "no model");
    let each = "SELECT * FROM anomaly_classify_each(?)";
    let outcome = promise::answer(host.query(each, &[Value::Text(argument.to_owned())]));
    // SQLite ends no text at a NUL that is bound, but a database of UTF-16 changes what is no UTF-8.
    let elements = serde_json::from_slice::<Vec<Json>>(argument);
    match (outcome, elements) {
        (Some(rows), Ok(elements)) => check(&host, &rows, &elements),
        (Some(rows), Err(error)) if std::str::from_utf8(argument).is_ok() => {
            promise::broken(format_args!("{rows:?} come from what is no list: {error}"))
        }
        _ => {}
    }
    promise::alive(&host);
});

json_mutator!();

fn check(host: &Host, rows: &[Row], elements: &[Json]) {
    promise::hold(rows.len() == elements.len(), format_args!("{} rows of {}", rows.len(), elements.len()));
    for (index, (row, element)) in rows.iter().zip(elements).enumerate() {
        let [Value::Integer(at), described @ ..] = row.as_slice() else {
            promise::broken(format_args!("no place in {row:?}"))
        };
        promise::hold(usize::try_from(*at) == Ok(index), format_args!("row {index} says that it is {at}"));
        promise::label(described);
        let alone = match element {
            Json::Null => Value::Null,
            Json::String(text) => text.as_str().into(),
            other => other.to_string().as_str().into(),
        };
        let asked = host.query("SELECT anomaly_label(?1), anomaly_score(?1)", &[alone]);
        let asked = promise::done(asked, "an element fails alone");
        promise::hold(
            asked.first().is_some_and(|alone| described.starts_with(alone)),
            format_args!("element {index} is {asked:?} alone and {row:?} among others"),
        );
    }
}
