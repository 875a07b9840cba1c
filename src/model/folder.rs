//! The files of a model.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value as Json;

use super::graph::Graph;
use super::labels::Head;
use crate::error::{Error, Result};
use crate::severity::Label;

/// What the tokenizer class of transformers reads beside the tokenizer; a model may lack it.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// The files of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Folder {
    path: PathBuf,
    graph: PathBuf,
    revision: Option<String>,
    stamps: Vec<Stamp>,
}

/// Length and time of a file: another one means other content.
pub(super) type Stamp = (u64, Option<SystemTime>);

impl Folder {
    /// The files in the folder `path`, with the graph of this name.
    pub(super) fn new(path: &Path, graph: &str, revision: Option<String>) -> Result<Self> {
        // The same folder under any name, and from any working directory, is the same model.
        let unreadable = |error| Error::model(format!("{}: {error}", path.display()));
        let path = fs::canonicalize(path).map_err(unreadable)?;
        let graph = path.join(graph);
        let stamps = stamps(&path, &graph).map_err(unreadable)?;
        Ok(Self { path, graph, revision, stamps })
    }

    /// Fails when the files are no longer those that were found.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        match stamps(&self.path, &self.graph) {
            Ok(stamps) if stamps == self.stamps => Ok(()),
            _ => Err(changed(&self.path)),
        }
    }

    /// Fails when one of the files lies outside all of `allowed`, wherever links lead. No folder allows any.
    pub(super) fn require_within(&self, allowed: &[PathBuf]) -> Result<()> {
        if allowed.is_empty() {
            return Ok(());
        }
        let mut files = vec![self.graph.clone(), self.config(), self.tokenizer()];
        files.extend(Some(self.path.join(TOKENIZER_CONFIG)).filter(|file| file.is_file()));
        files.extend(Graph::open(&self.graph)?.weights().map(Path::to_owned));
        for file in files {
            let file = fs::canonicalize(&file).unwrap_or(file);
            if !allowed.iter().any(|folder| file.starts_with(folder)) {
                return Err(Error::model(format!(
                    "{} is outside the folders that TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS allows; whoever set it can \
                     allow more, before the extension is loaded",
                    file.display()
                )));
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn fake(name: &str) -> Self {
        Self { path: name.into(), graph: name.into(), revision: None, stamps: Vec::new() }
    }

    /// The file of the ONNX graph.
    pub fn graph(&self) -> &Path {
        &self.graph
    }

    /// The commit of a model of the Hugging Face hub.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The file of the model's configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The file of the tokenizer.
    pub fn tokenizer(&self) -> PathBuf {
        self.path.join("tokenizer.json")
    }

    /// The labels in the order of the logits.
    pub fn labels(&self) -> Result<Vec<Label>> {
        Ok(Head::from_config(&self.read_config()?)?.labels().to_vec())
    }

    /// Reads the configuration.
    pub(super) fn read_config(&self) -> Result<Json> {
        read_object(&self.config())
    }

    /// Reads what the model's tokenizer class is to know; nothing where there is no such file.
    pub(super) fn read_tokenizer_config(&self) -> Result<Json> {
        let path = self.path.join(TOKENIZER_CONFIG);
        if path.is_file() { read_object(&path) } else { Ok(Json::Null) }
    }
}

/// Reads a JSON object.
fn read_object(path: &Path) -> Result<Json> {
    let unusable = |problem: &dyn Display| {
        Error::model(format!(
            "{} cannot be used: {problem}; it must be that of a Hugging Face model",
            path.display()
        ))
    };
    let text = read_text(path).map_err(|error| unreadable(path, &error))?;
    let config: Json = serde_json::from_str(&text).map_err(|error| unusable(&error))?;
    if config.is_object() { Ok(config) } else { Err(unusable(&"it is not a JSON object")) }
}

/// Reads a text file, unless it is larger than any that a model comes with: memory is the host's.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    // The largest vocabularies, of a quarter of a million tokens, take some 40 MB.
    const LARGEST: u64 = 256 << 20;
    let mut text = String::new();
    let file = File::open(path)?;
    if file.metadata()?.len() > LARGEST || file.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST
    {
        let problem = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

/// The error that a file cannot be read. Where no file can be opened any more, this one is as good as others.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    /// EMFILE and ENFILE, or what Windows has for them.
    const NO_MORE_FILES: &[i32] = if cfg!(windows) { &[4] } else { &[24, 23] };
    let is_out_of_files = error.raw_os_error().is_some_and(|code| NO_MORE_FILES.contains(&code));
    let remedy = if is_out_of_files {
        "the process may open no more files: close some, or raise its limit (ulimit -n)"
    } else {
        "make it readable, or download it again"
    };
    Error::model(format!("{} cannot be read: {error}; {remedy}", path.display()))
}

/// The stamps of what makes up the model; those of weights beside the graph are the graph's own affair.
fn stamps(folder: &Path, graph: &Path) -> io::Result<Vec<Stamp>> {
    let files = [graph.to_owned(), folder.join("config.json"), folder.join("tokenizer.json")];
    let mut stamps = files.iter().map(|file| stamp(file)).collect::<io::Result<Vec<_>>>()?;
    stamps.extend(stamp(&folder.join(TOKENIZER_CONFIG)).ok());
    Ok(stamps)
}

/// The stamp of one file.
pub(super) fn stamp(file: &Path) -> io::Result<Stamp> {
    fs::metadata(file).map(|data| (data.len(), data.modified().ok()))
}

/// The error that `what` is not what it was when the model was found.
pub(super) fn changed(what: &Path) -> Error {
    Error::model(format!(
        "{} changed since the model was found; SELECT anomaly_reset() takes the new files",
        what.display()
    ))
}
