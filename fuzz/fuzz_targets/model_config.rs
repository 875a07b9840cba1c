//! A model whose `config.json` is anything: `config.json NUL text`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use sqlite_anomaly_fuzz::folder::Folder;
use sqlite_anomaly_fuzz::json;

thread_local! {
    static FOLDER: Folder = Folder::lay_out();
}

fuzz_target!(|data: &[u8]| {
    let mut parts = json::parts(data);
    FOLDER.with(|folder| {
        folder.write("config.json", parts.next().unwrap_or_default());
        folder.use_on(parts.next().unwrap_or(b"ok"));
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::mutate(data, size, max_size, seed)
});
