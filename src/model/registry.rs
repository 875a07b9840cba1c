//! One model per process: connections that want the same model on the same device share it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use once_cell::sync::{Lazy, OnceCell};

use super::graph::Graph;
use super::{Classifier, Folder, provider};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::sync::lock;

/// A model that is loaded when it is first asked for, and dropped with its last user.
#[derive(Debug)]
pub struct Shared {
    folder: Folder,
    device: Device,
    threads: usize,
    beside: Option<PathBuf>,
    classifier: OnceCell<Classifier>,
    sha256: OnceCell<String>,
}

type Key = (Folder, Device, usize);

static SHARED: Lazy<Mutex<HashMap<Key, Weak<Shared>>>> = Lazy::new(Mutex::default);

/// The place of a model in this process. Nothing is loaded yet; ONNX Runtime is looked for in the folder `beside`.
pub fn shared(folder: Folder, device: Device, threads: usize, beside: Option<&Path>) -> Arc<Shared> {
    let mut all = lock(&SHARED);
    all.retain(|_, model| model.strong_count() > 0);
    let place = all.entry((folder.clone(), device, threads)).or_default();
    place.upgrade().unwrap_or_else(|| {
        let model = Arc::new(Shared {
            folder,
            device,
            threads,
            beside: beside.map(Path::to_owned),
            classifier: OnceCell::new(),
            sha256: OnceCell::new(),
        });
        *place = Arc::downgrade(&model);
        model
    })
}

impl Shared {
    /// The model, loaded now unless it is: by one thread, the others wait. A load that fails can be tried again.
    pub fn classifier(&self) -> Result<&Classifier> {
        self.classifier.get_or_try_init(|| {
            let loaded = Classifier::load(&self.folder, self.beside.as_deref(), self.device, self.threads)?;
            // A sum that was taken, and checked maybe, is to be that of what was loaded.
            if self.sha256.get().is_some() {
                self.folder.check_unchanged()?;
            }
            Ok(loaded)
        })
    }

    /// Whether the model is loaded.
    pub fn is_loaded(&self) -> bool {
        self.classifier.get().is_some()
    }

    /// The name of the execution provider that runs the model.
    pub fn provider(&self) -> &'static str {
        provider::name(self.device)
    }

    /// The model's files.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The SHA-256 of the graph's file (and of the weights beside it, where there are any), in hexadecimal; computed
    /// once.
    pub fn sha256(&self) -> Result<&str> {
        let compute = || {
            self.folder.check_unchanged()?;
            Graph::open(self.folder.graph())?.sha256()
        };
        self.sha256.get_or_try_init(compute).map(String::as_str)
    }

    /// Fails unless the graph has one of the `allowed` sums; none allows any.
    pub fn require_sha256(&self, allowed: &[String]) -> Result<()> {
        if allowed.is_empty() {
            return Ok(());
        }
        let sha256 = self.sha256()?;
        if allowed.iter().any(|sum| sum == sha256) {
            return Ok(());
        }
        Err(Error::model(format!(
            "{} has the SHA-256 {sha256}, which TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256 does not list; put the file back \
             that was there, or have it listed before the extension is loaded",
            self.folder.graph().display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_wishes_share_a_model_and_it_goes_with_its_last_user() {
        let folder = Folder::fake("shared");
        let wish = |threads| shared(folder.clone(), Device::CPU, threads, None);
        let first = wish(2);
        assert!(Arc::ptr_eq(&first, &wish(2)));
        assert!(!Arc::ptr_eq(&first, &wish(1)));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
    }
}
