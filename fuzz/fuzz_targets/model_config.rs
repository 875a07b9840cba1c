//! A model whose `config.json` is anything: `config.json NUL text`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sqlite_anomaly_fuzz::{folder, json, json_mutator};

fuzz_target!(|data: &[u8]| {
    let mut parts = json::parts(data);
    folder::with(|folder| {
        folder.write("config.json", parts.next().unwrap_or_default());
        folder.use_on(parts.next().unwrap_or(b"ok"));
    });
});

json_mutator!();
