//! The files of a model.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use crate::promise::{self, alive, answer, broken, done, hold, host};
use crate::{Encoding, Host, Row, Value};

/// The path of one of the small models of the tests.
pub fn test_model(name: &str) -> Value {
    path_value(&test_folder(name))
}

fn test_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models").join(name)
}

fn path_value(path: &Path) -> Value {
    path.to_string_lossy().as_ref().into()
}

/// A model's folder in TMPDIR, with the graph of `levels`; each input brings other files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Gives `use_it` the folder of this process, which is laid out once.
pub fn with(use_it: impl FnOnce(&Folder)) {
    thread_local! {
        static FOLDER: Folder = Folder::lay_out();
    }
    FOLDER.with(use_it);
}

impl Folder {
    /// Makes the folder, with the files of `levels`.
    fn lay_out() -> Self {
        let path = env::temp_dir().join(format!("sqlite-anomaly-fuzz-{}", process::id()));
        let folder = Self { path };
        fs::create_dir_all(&folder.path).unwrap_or_else(|error| folder.unwritable(&error));
        for file in ["config.json", "tokenizer.json", "model.onnx"] {
            let whole =
                fs::read(test_folder("levels").join(file)).unwrap_or_else(|error| folder.unwritable(&error));
            folder.write(file, &whole);
        }
        folder
    }

    /// Puts a file there.
    pub fn write(&self, file: &str, content: &[u8]) {
        fs::write(self.path.join(file), content).unwrap_or_else(|error| self.unwritable(&error));
    }

    /// Takes a file away, if it is there.
    pub fn remove(&self, file: &str) {
        let _ = fs::remove_file(self.path.join(file));
    }

    fn unwritable(&self, error: &std::io::Error) -> ! {
        eprintln!("{}: {error}", self.path.display());
        process::exit(2)
    }

    /// Uses the model on `text` as a host would: it answers by the rules, or its folder is blamed.
    pub fn use_on(&self, text: &[u8]) {
        let host = host(Encoding::Utf8);
        let text = Value::Text(text.to_owned());
        if self.ask(&host, "SELECT anomaly_config('model', ?)", path_value(&self.path)).is_some() {
            self.classify(&host, text);
        }
        done(host.query("SELECT * FROM anomaly_status", &[]), "anomaly_status fails");
        alive(&host);
    }

    /// What the host is told, or none where the folder is blamed.
    fn ask(&self, host: &Host, sql: &str, parameter: Value) -> Option<Vec<Row>> {
        answer(host.query(sql, &[parameter]).inspect_err(|failure| {
            let is_blamed = failure.text.contains(&*self.path.to_string_lossy());
            hold(is_blamed, format_args!("the error does not say which model: {failure}"));
        }))
    }

    fn classify(&self, host: &Host, text: Value) {
        let best = self.ask(host, "SELECT anomaly_label(?1), anomaly_score(?1)", text.clone());
        let all = self.ask(host, "SELECT label, score, severity, anomalous FROM anomaly_scores(?)", text);
        match (best.as_deref(), all.as_deref()) {
            (None, None) => {}
            (Some([best]), Some(all @ [first, ..])) => {
                all.iter().for_each(|columns| promise::label(columns));
                hold(first.starts_with(best), format_args!("{best:?} is not the first of {all:?}"));
            }
            (best, all) => broken(format_args!("{best:?} is not the first of {all:?}")),
        }
    }
}
