//! The settings of one connection.
//!
//! Each setting starts as its environment variable says, else at its default, and can be changed with
//! `anomaly_config(key, value)`, but for those that are the host's alone: SQL must not widen what they allow.
//! [`SETTINGS`] is the list that error texts, the status table and the documentation follow.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::device::Device;
use crate::error::{Error, Result, abridged};
use crate::value::Value;

/// What there is to know about one setting.
#[derive(Debug)]
pub struct Setting {
    /// The key that `anomaly_config` takes.
    pub key: &'static str,
    /// The environment variable that holds the default.
    pub variable: &'static str,
    /// What may be set, in words.
    pub allowed: &'static str,
    /// Whether only the environment can set it.
    pub is_hosts: bool,
}

impl Setting {
    const fn new(key: &'static str, variable: &'static str, allowed: &'static str) -> Self {
        Self { key, variable, allowed, is_hosts: false }
    }

    const fn of_host(self) -> Self {
        Self { is_hosts: true, ..self }
    }

    fn unusable(&self, value: &str) -> Error {
        let Self { key, allowed, .. } = self;
        Error::argument(format!("setting '{key}' cannot be '{}': allowed is {allowed}", abridged(value)))
    }
}

/// Every setting, in the order in which they are documented.
pub const SETTINGS: &[Setting] = &[
    Setting::new(
        "model",
        "TURNSTONE_ANOMALY_MODEL",
        "'bundled', the path of a folder with config.json, tokenizer.json and model.onnx, a hub id such as \
         'org/name@revision', or '' for none",
    ),
    Setting::new(
        "onnx_file",
        "TURNSTONE_ANOMALY_ONNX_FILE",
        "the name of a file below the model's folder, such as 'onnx/model_quantized.onnx', or '' for model.onnx or \
         onnx/model.onnx",
    ),
    Setting::new("device", "TURNSTONE_ANOMALY_DEVICE", Device::ALLOWED),
    Setting::new("batch", "TURNSTONE_ANOMALY_BATCH", "a whole number of rows from 1 to 65536"),
    Setting::new("threshold", "TURNSTONE_ANOMALY_THRESHOLD", "a number from 0 to 1"),
    Setting::new("tenant_id", "TURNSTONE_TENANT_ID", "any text"),
    Setting::new("threads", "TURNSTONE_ANOMALY_THREADS", "a whole number of threads from 1 to 256"),
    Setting::new(
        "busy_timeout_ms",
        "TURNSTONE_ANOMALY_BUSY_TIMEOUT_MS",
        "a whole number of milliseconds from 0 to 86400000",
    ),
    Setting::new(
        "cache_entries",
        "TURNSTONE_ANOMALY_CACHE_ENTRIES",
        "a whole number of texts from 0 to 10000000",
    ),
    Setting::new(
        ALLOWED_MODEL_DIRS,
        "TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS",
        "folders that exist, by their whole paths, with the separator of PATH between them",
    )
    .of_host(),
    Setting::new(
        ALLOWED_MODEL_SHA256,
        "TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256",
        "SHA-256 sums of 64 hexadecimal digits, with spaces between them",
    )
    .of_host(),
];

const ALLOWED_MODEL_DIRS: &str = "allowed_model_dirs";
const ALLOWED_MODEL_SHA256: &str = "allowed_model_sha256";

/// The settings of one connection, each of them valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model as the user named it; empty when none is configured.
    pub model: String,
    /// The graph's file in the model's folder; empty for the usual names.
    pub onnx_file: String,
    /// Where the model runs.
    pub device: Device,
    /// Rows that are read, scored and committed together.
    pub batch: usize,
    /// The lowest score of an anomalous label that makes a detection.
    pub threshold: f64,
    /// The tenant whose rows are scored, beside those that belong to none.
    pub tenant_id: String,
    /// Threads that run the model.
    pub threads: usize,
    /// How long to wait for another connection's lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// How many texts the memo holds.
    pub cache_entries: usize,
    /// The folders that a model's files may lie in or below, links followed; any where there are none. The bundled model
    /// is part of the extension and always allowed.
    pub allowed_model_dirs: Vec<PathBuf>,
    /// The SHA-256 that a model's graph may have, in lower case; any where there are none.
    pub allowed_model_sha256: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: String::new(),
            onnx_file: String::new(),
            device: Device::CPU,
            batch: 256,
            threshold: 0.75,
            tenant_id: String::new(),
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(256),
            busy_timeout_ms: 30_000,
            cache_entries: 65_536,
            allowed_model_dirs: Vec::new(),
            allowed_model_sha256: Vec::new(),
        }
    }
}

impl Settings {
    /// The defaults, changed by what `environment` holds. An empty variable counts as unset; one that cannot be read is
    /// an error, for it may be a limit.
    pub fn from_environment(environment: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let mut settings = Self::default();
        for setting @ Setting { variable, .. } in SETTINGS {
            if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
                let Some(text) = value.to_str() else {
                    let error = setting.unusable(&value.to_string_lossy());
                    return Err(error.context(format_args!("environment variable {variable} is not UTF-8")));
                };
                settings
                    .assign(setting, text)
                    .map_err(|error| error.context(format_args!("environment variable {variable}")))?;
            }
        }
        Ok(settings)
    }

    /// Changes one setting, or leaves everything as it is and says what is allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let setting = find(key)?;
        if setting.is_hosts {
            return Err(Error::argument(format!(
                "setting '{key}' is not for SQL to change: set the environment variable {} before the extension is \
                 loaded",
                setting.variable
            )));
        }
        self.assign(setting, value)
    }

    fn assign(&mut self, setting: &Setting, value: &str) -> Result<()> {
        let unusable = || setting.unusable(value);
        let count = |low, high| whole_number(value, low, high).ok_or_else(unusable);
        match setting.key {
            "model" => self.model = value.to_owned(),
            "onnx_file" if is_below(value) => self.onnx_file = value.to_owned(),
            "device" => self.device = Device::parse(value).ok_or_else(unusable)?,
            "batch" => self.batch = count(1, MAX_BATCH)?,
            "threshold" => self.threshold = fraction(value).ok_or_else(unusable)?,
            "tenant_id" => self.tenant_id = value.to_owned(),
            "threads" => self.threads = count(1, 256)?,
            "busy_timeout_ms" => self.busy_timeout_ms = count(0, 86_400_000)? as u64,
            "cache_entries" => self.cache_entries = count(0, 10_000_000)?,
            ALLOWED_MODEL_DIRS => self.allowed_model_dirs = folders(value).ok_or_else(unusable)?,
            ALLOWED_MODEL_SHA256 => self.allowed_model_sha256 = sums(value).ok_or_else(unusable)?,
            _ => return Err(unusable()),
        }
        Ok(())
    }

    /// The present value of one setting.
    pub fn get(&self, key: &str) -> Result<Value> {
        Ok(match find(key)?.key {
            "model" => self.model.as_str().into(),
            "onnx_file" => self.onnx_file.as_str().into(),
            "device" => self.device.to_string().into(),
            "batch" => self.batch.into(),
            "threshold" => self.threshold.into(),
            "tenant_id" => self.tenant_id.as_str().into(),
            "threads" => self.threads.into(),
            "busy_timeout_ms" => Value::Integer(self.busy_timeout_ms as i64),
            "cache_entries" => self.cache_entries.into(),
            ALLOWED_MODEL_DIRS => env::join_paths(&self.allowed_model_dirs)
                .unwrap_or_default()
                .to_string_lossy()
                .as_ref()
                .into(),
            ALLOWED_MODEL_SHA256 => self.allowed_model_sha256.join(" ").into(),
            _ => Value::Null,
        })
    }

    /// How long to wait for another connection's lock.
    pub fn busy_timeout(&self) -> Duration {
        Duration::from_millis(self.busy_timeout_ms)
    }
}

/// The largest SQL batch: a batch is held in memory and committed as a whole.
const MAX_BATCH: usize = 65_536;

fn find(key: &str) -> Result<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key).ok_or_else(|| {
        let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        Error::argument(format!("there is no setting '{}': known are {}", abridged(key), known.join(", ")))
    })
}

/// Whether a relative name stays below the folder it is joined to.
fn is_below(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

fn whole_number(value: &str, low: usize, high: usize) -> Option<usize> {
    let number = value.trim().parse().ok()?;
    (low..=high).contains(&number).then_some(number)
}

fn fraction(value: &str) -> Option<f64> {
    let number = value.trim().parse().ok()?;
    (0.0..=1.0).contains(&number).then_some(number)
}

/// Folders as PATH lists them, links followed.
fn folders(value: &str) -> Option<Vec<PathBuf>> {
    let whole = |path: PathBuf| path.is_absolute().then(|| fs::canonicalize(path).ok()).flatten();
    let folders: Option<Vec<_>> = env::split_paths(value).map(whole).collect();
    folders.filter(|folders| folders.iter().all(|folder| folder.is_dir()))
}

/// At least one sum: a list that was set must not come to no limit.
fn sums(value: &str) -> Option<Vec<String>> {
    let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sums = value.split_whitespace().map(|sum| is_sum(sum).then(|| sum.to_ascii_lowercase()));
    sums.collect::<Option<Vec<_>>>().filter(|sums| !sums.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
    }

    #[test]
    fn the_environment_gives_the_defaults() {
        let settings = Settings::from_environment(environment(&[
            ("TURNSTONE_ANOMALY_MODEL", "bundled"),
            ("TURNSTONE_ANOMALY_BATCH", "64"),
            ("TURNSTONE_ANOMALY_THRESHOLD", "0.9"),
            ("TURNSTONE_TENANT_ID", "acme"),
        ]))
        .unwrap();
        let expected = Settings {
            model: "bundled".into(),
            batch: 64,
            threshold: 0.9,
            tenant_id: "acme".into(),
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let settings = Settings::from_environment(environment(&[("TURNSTONE_ANOMALY_BATCH", "")])).unwrap();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn a_bad_variable_is_named_with_what_is_allowed() {
        let error =
            Settings::from_environment(environment(&[("TURNSTONE_ANOMALY_BATCH", "many")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable TURNSTONE_ANOMALY_BATCH: setting 'batch' cannot be 'many': \
             allowed is a whole number of rows from 1 to 65536"
        );
    }

    #[test]
    fn every_setting_reads_back_what_was_set() {
        let mut settings = Settings::default();
        let values = ["bundled", "onnx/model.onnx", "cuda:1", "7", "0.5", "acme", "3", "250", "0"];
        let ours = SETTINGS.iter().filter(|setting| !setting.is_hosts);
        assert_eq!(ours.clone().count(), values.len());
        for (setting, value) in ours.zip(values) {
            settings.set(setting.key, value).unwrap();
            assert_eq!(settings.get(setting.key).unwrap().into_text().unwrap(), value);
        }
    }

    #[test]
    fn what_is_the_hosts_comes_from_the_environment_alone() {
        let sum = "AB".repeat(32);
        let both = format!("{sum} {}", "0".repeat(64));
        let mut settings = Settings::from_environment(environment(&[
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS", "/"),
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256", &both),
        ]))
        .unwrap();
        assert_eq!(settings.allowed_model_dirs, [Path::new("/")]);
        assert_eq!(settings.allowed_model_sha256, [sum.to_lowercase(), "0".repeat(64)]);
        let before = settings.clone();
        for setting in SETTINGS.iter().filter(|setting| setting.is_hosts) {
            let error = settings.set(setting.key, "").unwrap_err().to_string();
            assert!(error.contains(setting.key) && error.contains(setting.variable), "{error}");
        }
        assert_eq!(settings, before);
    }

    #[test]
    fn a_bad_limit_of_the_host_is_no_limit_left_out() {
        for (variable, value) in [
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS", "models"),
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS", "/there/is/none"),
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS", " "),
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256", "abc"),
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256", " "),
            ("TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256", &"x".repeat(64)),
        ] {
            let error =
                Settings::from_environment(environment(&[(variable, value)])).unwrap_err().to_string();
            assert!(error.contains(variable) && error.contains("allowed is"), "{error}");
        }
    }

    #[test]
    fn an_unusable_value_changes_nothing() {
        let mut settings = Settings::default();
        for (key, value) in [
            ("batch", "0"),
            ("batch", "65537"),
            ("threshold", "7"),
            ("threshold", "NaN"),
            ("device", "toaster"),
            ("onnx_file", "../elsewhere.onnx"),
            ("onnx_file", "/elsewhere.onnx"),
            ("threads", "-1"),
        ] {
            let error = settings.set(key, value).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(value) && error.contains("allowed is"), "{error}");
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn an_unknown_setting_lists_the_known_ones() {
        let error = Settings::default().get("modle").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no setting 'modle': known are model, onnx_file, device, batch, threshold, tenant_id, threads, \
             busy_timeout_ms, cache_entries, allowed_model_dirs, allowed_model_sha256"
        );
    }

    #[test]
    fn a_long_value_is_abridged_in_the_error() {
        let error = Settings::default().get(&"x".repeat(1000)).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
}
