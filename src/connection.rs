//! What one SQLite connection holds: its settings, its model, its memo.
//!
//! No lock is held while SQL or the model runs: a trigger that the extension's own SQL fires may call its functions.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::classification::{self, Answer};
use crate::config::Settings;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::memo::Memo;
use crate::model::{self, Check, Classifier, Folder, Runtime, Shared, is_bundled, require_device, shared};
use crate::sync::lock;
use crate::value::Value;

/// The state behind the functions of one SQLite connection.
#[derive(Debug)]
pub struct Connection {
    beside: Option<PathBuf>,
    settings: Mutex<Settings>,
    model: Mutex<Option<Arc<Shared>>>,
    memo: Mutex<Arc<Mutex<Memo>>>,
    totals: Mutex<Totals>,
}

/// A model and what it has said on this connection.
#[derive(Clone, Debug)]
pub struct Model {
    shared: Arc<Shared>,
    memo: Arc<Mutex<Memo>>,
}

impl Model {
    /// The model as all connections of the process share it.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The model, loaded now unless it is.
    pub fn classifier(&self) -> Result<&Classifier> {
        self.shared.classifier()
    }

    /// The answers for `texts`, in their order.
    pub fn classify(&self, texts: &[&str], check: Check<'_>) -> Result<Vec<Answer>> {
        self.classify_first(texts, texts.len(), check).map(|(answers, _)| answers)
    }

    /// The answers for the first `count` of `texts`, in their order; those for the others are left to the memo. Also how
    /// often the model was run.
    pub fn classify_first(
        &self,
        texts: &[&str],
        count: usize,
        check: Check<'_>,
    ) -> Result<(Vec<Answer>, usize)> {
        let (mut answers, runs) = classification::classify(self.classifier()?, &self.memo, texts, check)?;
        answers.truncate(count);
        lock(&self.memo).count_answers(answers.len());
        Ok((answers, runs))
    }
}

/// What decides a prediction, beside the text.
fn named(settings: &Settings) -> (&str, &str, Device) {
    (&settings.model, &settings.onnx_file, settings.device)
}

fn empty_memo(settings: &Settings) -> Arc<Mutex<Memo>> {
    Arc::new(Mutex::new(Memo::new(settings.cache_entries)))
}

/// What happened on this connection so far.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Entries scored.
    pub scored: usize,
    /// Detections inserted.
    pub detections: usize,
    /// Entries that could not be scored.
    pub failed: usize,
    /// The text of the last error.
    pub last_error: Option<String>,
}

impl Connection {
    /// The state of a new connection; `library` is the file of the extension, beside which its companions lie.
    pub fn open(library: Option<&Path>) -> Result<Self> {
        let settings = Settings::from_environment(|name| std::env::var_os(name))?;
        let settings = Settings { model: found_from_anywhere(settings.model), ..settings };
        Ok(Self {
            beside: library.and_then(Path::parent).map(Path::to_owned),
            memo: Mutex::new(empty_memo(&settings)),
            settings: Mutex::new(settings),
            model: Mutex::default(),
            totals: Mutex::default(),
        })
    }

    /// A copy of the present settings.
    pub fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// Changes a setting. A model that cannot be found is refused here; it is loaded when it is first used.
    pub fn configure(&self, key: &str, value: &str) -> Result<Value> {
        let before = self.settings();
        let mut after = before.clone();
        after.set(key, value)?;
        after.model = found_from_anywhere(after.model);
        let is_renamed = named(&after) != named(&before);
        if is_renamed || after.threads != before.threads {
            self.check(&before, &after)?;
            *lock(&self.model) = None;
        }
        if is_renamed || after.cache_entries != before.cache_entries {
            *lock(&self.memo) = empty_memo(&after);
        }
        let changed = after.get(key);
        *lock(&self.settings) = after;
        changed
    }

    /// Refuses a model that cannot be found and a device that this ONNX Runtime does not have.
    ///
    /// A new `onnx_file` is looked for when the model is used: it may be meant for the model that is named next.
    fn check(&self, before: &Settings, after: &Settings) -> Result<()> {
        if after.model != before.model && !after.model.is_empty() {
            self.find(after)?;
        }
        if after.device != before.device && after.device != Device::CPU {
            Runtime::get_or_load(self.beside.as_deref())?;
            require_device(after.device)?;
        }
        Ok(())
    }

    fn find(&self, settings: &Settings) -> Result<Folder> {
        let Settings { model, onnx_file, allowed_model_dirs, .. } = settings;
        model::find(model, onnx_file, allowed_model_dirs, self.beside.as_deref())
    }

    /// Drops the model and everything remembered; the settings stay.
    pub fn reset(&self) {
        *lock(&self.model) = None;
        *lock(&self.memo) = empty_memo(&self.settings());
    }

    /// The configured model, found but not necessarily loaded. It stays what it is when another is configured.
    pub fn model(&self) -> Result<Model> {
        let settings = self.settings();
        if settings.model.is_empty() {
            return Err(Error::argument(
                "no model is configured: SELECT anomaly_config('model', 'bundled') takes the one that ships with \
                 the extension; a folder or the environment variable TURNSTONE_ANOMALY_MODEL names another",
            ));
        }
        let mut found = lock(&self.model);
        let shared = match &*found {
            Some(shared) => Arc::clone(shared),
            None => {
                let folder = self.find(&settings)?;
                let shared = shared(folder, settings.device, settings.threads, self.beside.as_deref());
                let known = shared.require_sha256(&settings.allowed_model_sha256);
                known.map_err(|error| error.context(format_args!("model '{}'", settings.model)))?;
                shared
            }
        };
        *found = Some(Arc::clone(&shared));
        Ok(Model { shared, memo: Arc::clone(&lock(&self.memo)) })
    }

    /// Texts answered from memory, runs of the model, and texts held.
    pub fn memo_counters(&self) -> (u64, u64, usize) {
        let memo = Arc::clone(&lock(&self.memo));
        let memo = lock(&memo);
        let (hits, misses) = memo.counters();
        (hits, misses, memo.len())
    }

    /// What happened so far.
    pub fn totals(&self) -> Totals {
        lock(&self.totals).clone()
    }

    /// Adds to what happened.
    pub fn record(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut lock(&self.totals));
    }

    /// Remembers the text of an error on its way to the host.
    pub fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| self.record(|totals| totals.last_error = Some(error.to_string())))
    }
}

/// The name of a model, as the whole path where it is that of a folder: the host may go to another working directory.
fn found_from_anywhere(model: String) -> String {
    let whole = || std::path::absolute(&model).ok()?.into_os_string().into_string().ok();
    let is_folder = !is_bundled(&model) && Path::new(&model).is_dir();
    is_folder.then(whole).flatten().unwrap_or(model)
}
