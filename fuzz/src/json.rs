//! Changes of JSON that leave it JSON: bytes changed at random rarely do.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Value as Json, json};

/// What stands between the parts of an input, in no JSON.
pub const SEPARATOR: u8 = 0;

/// The parts of an input.
pub fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|&byte| byte == SEPARATOR)
}

/// Has libFuzzer change a target's inputs by [`mutate`].
#[macro_export]
macro_rules! json_mutator {
    () => {
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::json::mutate(data, size, max_size, seed)
        });
    };
}

/// libFuzzer's mutator, which three times in four changes a part as JSON where it is some; gives the new length.
pub fn mutate(data: &mut [u8], size: usize, room: usize, seed: u32) -> usize {
    let mut chance = Chance(seed.into());
    let changed = (chance.below(4) > 0).then(|| changed(&data[..size], &mut chance)).flatten();
    match changed {
        Some(changed) if changed.len() <= room => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        _ => fuzzer_mutate(data, size, room),
    }
}

fn changed(data: &[u8], chance: &mut Chance) -> Option<Vec<u8>> {
    let mut parts: Vec<_> = parts(data).map(<[u8]>::to_vec).collect();
    let index = chance.below(parts.len());
    let part = parts.get_mut(index)?;
    let mut document: Json = serde_json::from_slice(part).ok()?;
    for _ in 0..=chance.below(3) {
        change(&mut document, chance);
    }
    *part = serde_json::to_vec(&document).ok()?;
    Some(parts.join(&SEPARATOR))
}

/// Changes one value somewhere in the document.
fn change(document: &mut Json, chance: &mut Chance) {
    let count = count(document);
    let other = nth(document, &mut chance.below(count)).map_or(Json::Null, |value| value.clone());
    let Some(value) = nth(document, &mut chance.below(count)) else { return };
    match chance.below(5) {
        0 => *value = odd(chance),
        1 => *value = other,
        2 => add(value, other, chance),
        3 => remove(value, chance),
        _ => vary(value, chance),
    }
}

fn count(value: &Json) -> usize {
    1 + match value {
        Json::Array(items) => items.iter().map(count).sum(),
        Json::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value that stands after `skip` others, from the outside in.
fn nth<'j>(value: &'j mut Json, skip: &mut usize) -> Option<&'j mut Json> {
    if *skip == 0 {
        return Some(value);
    }
    *skip -= 1;
    match value {
        Json::Array(items) => items.iter_mut().find_map(|item| nth(item, skip)),
        Json::Object(members) => members.values_mut().find_map(|member| nth(member, skip)),
        _ => None,
    }
}

fn odd(chance: &mut Chance) -> Json {
    let all = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(0.5),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("\u{1f980}\u{0}"),
        json!("(a+)+$"),
        json!("x".repeat(600)),
        json!([]),
        json!({}),
    ];
    all[chance.below(all.len())].clone()
}

/// Adds to a list or an object; two texts become one.
fn add(value: &mut Json, other: Json, chance: &mut Chance) {
    match value {
        Json::Array(items) => items.insert(chance.below(items.len() + 1), other),
        Json::Object(members) => {
            let key = other.as_str().map_or_else(|| members.len().to_string(), str::to_owned);
            members.insert(key, other);
        }
        Json::String(text) => text.push_str(other.as_str().unwrap_or(" ")),
        _ => *value = Json::Array(vec![value.take(), other]),
    }
}

/// Removes from a list, an object or a text.
fn remove(value: &mut Json, chance: &mut Chance) {
    match value {
        Json::Array(items) if !items.is_empty() => {
            items.remove(chance.below(items.len()));
        }
        Json::Object(members) => {
            let key = members.keys().nth(chance.below(members.len())).cloned();
            key.and_then(|key| members.remove(&key));
        }
        Json::String(text) => {
            text.pop();
        }
        _ => {}
    }
}

/// Goes to a value that is near.
fn vary(value: &mut Json, chance: &mut Chance) {
    *value = match value.take() {
        Json::Bool(flag) => json!(!flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => json!(number.wrapping_add(chance.below(9) as i64 - 4)),
            None => json!(number.as_f64().map(|number| -number)),
        },
        Json::String(text) => {
            let mut letters: Vec<_> = text.chars().collect();
            letters.insert(chance.below(letters.len() + 1), char::from(chance.below(128) as u8));
            json!(String::from_iter(letters))
        }
        Json::Array(mut items) => {
            items.reverse();
            Json::Array(items)
        }
        other => other,
    };
}

/// Numbers at random (Steele, Lea and Flood's SplitMix64).
struct Chance(u64);

impl Chance {
    /// A number below `limit`; 0 where there is none.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % limit.max(1) as u64) as usize
    }
}
