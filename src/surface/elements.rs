//! The elements of a JSON array, one after another. Of each no more is held than a model sees of it: an array may be as
//! large as SQLite lets a value be, and so may one of its elements.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use memchr::memchr2;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::model::{Check, VISIBLE_BYTES, visible};
use crate::value::require_room;

/// How many values are read before the next look for an interrupt: a millisecond's worth.
const VALUES_AT_A_TIME: usize = 16_384;

/// What JSON takes for blank.
const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// A place in an array: before its next element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements {
    index: usize,
    /// Where the element begins, or the blanks before it; `None` behind the last.
    place: Option<usize>,
}

impl Elements {
    /// The elements of `json`, which is read to its end: what is no array is told before anything is made of it.
    pub(super) fn of(json: &str, check: Check<'_>) -> Result<Self> {
        // serde_json takes the escapes out of a string in memory of its own, which grows to the next power of two.
        require_room(longest_escaped(json).saturating_mul(2))?;
        let first = Self::first(json)?;
        let mut next = first;
        let watch = Watch::new(check);
        while next.read(json, &watch)?.is_some() {}
        Ok(first)
    }

    /// What a model sees of the next elements, at most `count`: of strings their text, of `null` nothing, of anything
    /// else its JSON. None behind the last.
    pub(super) fn next(&mut self, json: &str, count: usize, check: Check<'_>) -> Result<Vec<Option<String>>> {
        let watch = Watch::new(check);
        let mut texts = Vec::new();
        while texts.len() < count
            && let Some(text) = self.read(json, &watch)?
        {
            texts.push(text);
        }
        Ok(texts)
    }

    fn first(json: &str) -> Result<Self> {
        let within = json.trim_start_matches(BLANK).strip_prefix('[');
        let within = within.ok_or_else(|| refused(&"it does not begin with [", 0))?;
        let elements = within.trim_start_matches(BLANK);
        let place = json.len() - elements.len();
        match elements.strip_prefix(']') {
            Some(rest) => Self { index: 0, place: None }.at_the_end(json, rest),
            None => Ok(Self { index: 0, place: Some(place) }),
        }
    }

    fn read(&mut self, json: &str, watch: &Watch<'_>) -> Result<Option<Option<String>>> {
        let Some(place) = self.place else { return Ok(None) };
        let Self { index, .. } = *self;
        let element = json[place..].trim_start_matches(BLANK);
        let start = json.len() - element.len();
        let (text, length) = read(element, watch).map_err(|error| {
            watch.interrupt.take().unwrap_or_else(|| malformed(index, element, start, &error))
        })?;
        let rest = element[length..].trim_start_matches(BLANK);
        let next = Self { index: index + 1, place: Some(json.len() - rest.len() + 1) };
        *self = match rest.chars().next() {
            Some(',') => next,
            Some(']') => Self { place: None, ..next }.at_the_end(json, &rest[1..])?,
            _ => {
                let problem = format_args!("neither , nor ] follows element {index}");
                return Err(refused(&problem, json.len() - rest.len()));
            }
        };
        Ok(Some(text))
    }

    fn at_the_end(self, json: &str, rest: &str) -> Result<Self> {
        let rest = rest.trim_start_matches(BLANK);
        if rest.is_empty() {
            Ok(self)
        } else {
            Err(refused(&"something follows its end", json.len() - rest.len()))
        }
    }
}

/// The length of the longest string that has escapes.
fn longest_escaped(json: &str) -> usize {
    let json = json.as_bytes();
    let (mut longest, mut place) = (0, 0);
    // Where the present string begins, and whether it has escapes.
    let mut string = None;
    while let Some(ahead) = json.get(place..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        place += ahead;
        string = match (json[place], string) {
            (b'\\', string) => {
                // What is escaped may be a quotation mark.
                place += 1;
                string.map(|(start, _)| (start, true))
            }
            (_, None) => Some((place, false)),
            (_, Some((start, has_escapes))) => {
                longest = longest.max(if has_escapes { place - start } else { 0 });
                None
            }
        };
        place += 1;
    }
    let unfinished =
        string.filter(|&(_, has_escapes)| has_escapes).map_or(0, |(start, _)| json.len() - start);
    longest.max(unfinished)
}

/// What is wrong in an element that begins at `start`.
fn malformed(index: usize, element: &str, start: usize, error: &serde_json::Error) -> Error {
    let lines = element.split_inclusive('\n').take(error.line().saturating_sub(1));
    let place = start + lines.map(str::len).sum::<usize>() + error.column();
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    // serde_json counts from 1.
    refused(&format_args!("element {index}: {text}"), place.saturating_sub(1))
}

fn refused(problem: &dyn Display, place: usize) -> Error {
    Error::argument(format!(
        "anomaly_classify_each(json_array): not a JSON array ({problem}, at byte {}); \
         pass one such as SELECT json_group_array(text) FROM … gives",
        place + 1
    ))
}

/// What a model sees of the element that `json` begins with, and the element's length.
fn read(json: &str, watch: &Watch<'_>) -> serde_json::Result<(Option<String>, usize)> {
    let is_string = json.starts_with('"');
    let mut text = String::new();
    let mut reader = serde_json::Deserializer::from_str(json);
    Reading { text: &mut text, before: "", is_quoted: !is_string, watch }.deserialize(&mut reader)?;
    let length = reader.into_iter::<Json>().byte_offset();
    text.truncate(visible(&text).len());
    Ok((Some(text).filter(|_| !json.starts_with('n')), length))
}

/// Looks for an interrupt now and then.
struct Watch<'c> {
    check: Check<'c>,
    values: Cell<usize>,
    interrupt: RefCell<Option<Error>>,
}

impl<'c> Watch<'c> {
    fn new(check: Check<'c>) -> Self {
        Self { check, values: Cell::new(0), interrupt: RefCell::new(None) }
    }

    /// Called for each value.
    fn look(&self) -> Result<()> {
        let values = self.values.get() + 1;
        self.values.set(values % VALUES_AT_A_TIME);
        if values < VALUES_AT_A_TIME {
            return Ok(());
        }
        (self.check)().inspect_err(|error| *self.interrupt.borrow_mut() = Some(error.clone()))
    }
}

/// Writes a value as it is read, as compact JSON with the members of objects in the order of their names; what no model
/// sees is left out.
struct Reading<'r> {
    text: &'r mut String,
    /// What stands before the value.
    before: &'static str,
    /// Whether a string is written as JSON, or as it is.
    is_quoted: bool,
    watch: &'r Watch<'r>,
}

impl Reading<'_> {
    /// How many members of an object come before all that a model does not see: none is shorter than `"":0,`.
    const MOST_MEMBERS: usize = 128;

    fn write(&mut self, part: &str) {
        if self.text.len() < VISIBLE_BYTES {
            self.text.push_str(part);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, value: D) -> std::result::Result<(), D::Error> {
        self.watch.look().map_err(D::Error::custom)?;
        self.write(self.before);
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(mut self) -> std::result::Result<(), E> {
        self.write("null");
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> std::result::Result<(), E> {
        self.write(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(mut self, number: i64) -> std::result::Result<(), E> {
        self.write(&number.to_string());
        Ok(())
    }

    fn visit_u64<E>(mut self, number: u64) -> std::result::Result<(), E> {
        self.write(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(mut self, number: f64) -> std::result::Result<(), E> {
        self.write(&Json::from(number).to_string());
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> std::result::Result<(), E> {
        let text = visible(text);
        if self.is_quoted {
            self.write(&quoted(text))
        } else {
            self.write(text)
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> std::result::Result<(), A::Error> {
        let Self { text, watch, .. } = &mut self;
        let mut before = "[";
        while elements.next_element_seed(Reading { text, before, is_quoted: true, watch })?.is_some() {
            before = ",";
        }
        self.write(if before == "[" { "[]" } else { "]" });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> std::result::Result<(), A::Error> {
        let mut first = BTreeMap::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let mut text = String::new();
            let watch = self.watch;
            members.next_value_seed(Reading { text: &mut text, before: ":", is_quoted: true, watch })?;
            first.insert(name, text);
            if first.len() > Self::MOST_MEMBERS {
                first.pop_last();
            }
        }
        let members: Vec<_> = first.iter().map(|(name, value)| quoted(name) + value).collect();
        self.write(&format!("{{{}}}", members.join(",")));
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

/// What a model may see of a member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> std::result::Result<String, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = String;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> std::result::Result<String, E> {
        Ok(visible(name).to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const UNWATCHED: Check<'static> = &|| Ok(());

    fn texts(json: &str) -> Result<Vec<Option<String>>> {
        Elements::of(json, UNWATCHED)?.next(json, usize::MAX, UNWATCHED)
    }

    #[test]
    fn elements_are_read_as_texts() {
        let some = |text: &str| Some(text.to_owned());
        let read = texts(" [\"a\\n\" ,null,\t7 , {\"k\" : 1},[ ] ,true]\n").unwrap();
        assert_eq!(read, [some("a\n"), None, some("7"), some(r#"{"k":1}"#), some("[]"), some("true")]);
        assert_eq!(texts("[ ] ").unwrap(), []);
    }

    #[test]
    fn so_many_are_read_at_a_time() {
        let json = "[1,2,3]";
        let mut elements = Elements::of(json, UNWATCHED).unwrap();
        let counts = [2, 2, 2].map(|count| elements.next(json, count, UNWATCHED).unwrap().len());
        assert_eq!(counts, [2, 1, 0]);
    }

    #[test]
    fn what_is_no_string_reads_as_serde_json_writes_it() {
        let many: Vec<String> =
            (0..300).map(|n| format!(r#""{}": [{n}, "{n}"]"#, (n * 7919) % 300)).collect();
        for json in [
            "-0".into(),
            "1e2".into(),
            "0.1".into(),
            "18446744073709551615".into(),
            "-9223372036854775808".into(),
            r#"{"b": 1, "a": {"d": [], "c": "\u00e4\"\u0000"}, "b": [null, 2]}"#.into(),
            format!("[{}]", "[0, true], ".repeat(400) + "{}"),
            format!("{{{}}}", many.join(", ")),
            format!("[\"{}\"]", "\u{1f980}".repeat(600)),
        ] {
            let written = serde_json::from_str::<Json>(&json).unwrap().to_string();
            assert_eq!(texts(&format!("[{json}]")).unwrap(), [Some(visible(&written).to_owned())]);
        }
    }

    #[test]
    fn what_is_no_array_is_an_error_with_its_place_and_a_remedy() {
        let deep = format!("[{}", "[".repeat(1000));
        for (json, problem) in [
            (r#"{"a": 1}"#, "it does not begin with [, at byte 1"),
            ("", "it does not begin with [, at byte 1"),
            ("[1,", "element 1: EOF while parsing a value, at byte 3"),
            ("[1,\n\n nul]", "element 1: expected ident, at byte 10"),
            ("[1,]", "element 1: expected value, at byte 4"),
            ("[1 2]", "neither , nor ] follows element 0, at byte 4"),
            ("[1", "neither , nor ] follows element 0, at byte 3"),
            ("[] []", "something follows its end, at byte 4"),
            ("[1]]", "something follows its end, at byte 4"),
            ("[1e999]", "element 0: number out of range"),
            (r#"["\ud800"]"#, "element 0: unexpected end of hex escape"),
            (&deep, "element 0: recursion limit exceeded"),
        ] {
            let error = texts(json).unwrap_err().to_string();
            assert!(error.contains(&format!("not a JSON array ({problem}")), "{error}");
            assert!(error.contains("json_group_array"), "{error}");
        }
    }

    #[test]
    fn the_longest_string_with_escapes_is_found() {
        for (json, length) in [
            ("", 0),
            (r#"["a long one", 1]"#, 0),
            (r#"["a\nb", "a longer one", "\""]"#, 5),
            (r#"["\\", "\"\"\"", "x"]"#, 7),
            (r#"["a\nb"#, 5),
            (r#"["a\"#, 3),
            (r#"\"a"#, 0),
        ] {
            assert_eq!(longest_escaped(json), length, "{json}");
        }
    }

    #[test]
    fn an_interrupt_stops_the_reading_within_an_element_too() {
        let json = format!("[[{}0]]", "0,".repeat(100_000));
        let stop: Check<'_> = &|| Err(Error::interrupted());
        assert_eq!(Elements::of(&json, stop).unwrap_err().kind(), crate::error::Kind::Interrupted);
    }
}
