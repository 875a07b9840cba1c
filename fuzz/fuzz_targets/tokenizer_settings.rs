//! A model whose tokenizer is anything: `tokenizer.json NUL text NUL tokenizer_config.json`, the last two as you like.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sqlite_anomaly_fuzz::{folder, json, json_mutator};

fuzz_target!(|data: &[u8]| {
    let mut parts = json::parts(data);
    folder::with(|folder| {
        folder.write("tokenizer.json", parts.next().unwrap_or_default());
        let text = parts.next().unwrap_or(b"it failed");
        match parts.next() {
            Some(settings) => folder.write("tokenizer_config.json", settings),
            None => folder.remove("tokenizer_config.json"),
        }
        folder.use_on(text);
    });
});

json_mutator!();
