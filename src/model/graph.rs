//! What an ONNX file says of itself before it is loaded: how it is quantised, and where its weights lie.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::iter;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use memchr::{memmem::Finder, memrchr_iter};
use sha2::{Digest, Sha256};

use super::folder::{Stamp, changed, stamp, unreadable};
use crate::error::{Error, Result};

/// How much is read of a file at once: what a processor core keeps close.
const BUFFER: usize = 128 << 10;

/// The file of a model's graph, and the files beside it that hold its weights, if any do
/// (<https://github.com/onnx/onnx/blob/main/docs/ExternalData.md>).
#[derive(Debug)]
pub(super) struct Graph {
    path: PathBuf,
    is_dynamically_quantised: bool,
    external: Vec<External>,
}

#[derive(Debug)]
struct External {
    /// The name by which the graph knows it.
    location: String,
    /// Where it lies, links followed.
    target: PathBuf,
    /// Whether that is outside the graph's folder.
    is_elsewhere: bool,
    stamp: Stamp,
}

/// Files that ONNX Runtime is given as they are in memory: the name in the graph, and the content.
pub(super) type Weights = Vec<(String, Arc<[u8]>)>;

impl Graph {
    /// Reads the file from front to end, a piece at a time.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let facts = File::open(path).and_then(|file| Facts::read(BufReader::with_capacity(BUFFER, file)));
        let facts = facts.map_err(|error| unreadable(path, &error))?;
        let external = facts.locations.into_iter().map(|location| External::find(path, location));
        Ok(Self {
            path: path.to_owned(),
            is_dynamically_quantised: facts.is_dynamically_quantised,
            external: external.collect::<Result<_>>()?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files beside it that hold its weights, links followed.
    pub(super) fn weights(&self) -> impl Iterator<Item = &Path> {
        self.external.iter().map(|file| file.target.as_path())
    }

    /// Whether it has operators such as `DynamicQuantizeLinear`.
    pub(super) fn is_dynamically_quantised(&self) -> bool {
        self.is_dynamically_quantised
    }

    /// Whether some of its weights are links out of its folder.
    pub(super) fn has_weights_elsewhere(&self) -> bool {
        self.external.iter().any(|file| file.is_elsewhere)
    }

    /// Reads the weights that are links out of its folder.
    pub(super) fn read_weights_elsewhere(&self) -> Result<Weights> {
        let elsewhere = self.external.iter().filter(|file| file.is_elsewhere);
        let read = |file: &External| match read(&file.target) {
            Ok(content) => Ok((file.location.clone(), content)),
            Err(error) => Err(unreadable(&file.target, &error)),
        };
        elsewhere.map(read).collect()
    }

    /// Fails when the files with its weights are no longer those that were found.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let is_unchanged = |file: &External| stamp(&file.target).is_ok_and(|stamp| stamp == file.stamp);
        if self.external.iter().all(is_unchanged) { Ok(()) } else { Err(changed(&self.path)) }
    }

    /// The SHA-256 of the file and of the files with its weights, one after the other, in hexadecimal.
    pub(super) fn sha256(&self) -> Result<String> {
        let mut hasher = Sha256::new();
        for path in iter::once(self.path()).chain(self.weights()) {
            let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher));
            read.map_err(|error| unreadable(path, &error))?;
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl External {
    /// Finds the file that `graph` names.
    fn find(graph: &Path, location: String) -> Result<Self> {
        let unusable = |problem: &str| {
            Error::model(format!(
                "{} keeps weights in '{location}', {problem}; download or export it again with all its files",
                graph.display()
            ))
        };
        let is_below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(&location).components().all(is_below) {
            return Err(unusable("which is outside its folder"));
        }
        let folder = graph.parent().unwrap_or(Path::new(""));
        let found = || {
            let target = fs::canonicalize(folder.join(&location))?;
            let is_elsewhere = !target.starts_with(fs::canonicalize(folder)?);
            // Reading a pipe would wait for ever, and ONNX Runtime can do nothing with a folder.
            if !target.is_file() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            Ok((stamp(&target)?, target, is_elsewhere))
        };
        let (stamp, target, is_elsewhere) =
            found().map_err(|_: io::Error| unusable("which is no file beside it"))?;
        Ok(Self { location, target, is_elsewhere, stamp })
    }
}

/// The content of a file, read to where it stays: weights are too large to be copied.
fn read(path: &Path) -> io::Result<Arc<[u8]>> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut content: Arc<[u8]> = iter::repeat_n(0, length).collect();
    if let Some(content) = Arc::get_mut(&mut content) {
        file.read_exact(content)?;
    }
    Ok(content)
}

/// What is found in the bytes of the file.
///
/// To parse a graph of gigabytes for two facts would take as much memory: both are names that stand in the file as
/// plain text.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    is_dynamically_quantised: bool,
    locations: BTreeSet<String>,
}

/// The operators `DynamicQuantizeLinear`, `DynamicQuantizeMatMul`, `DynamicQuantizeLSTM`.
const DYNAMIC: &[u8] = b"DynamicQuantize";

/// The key of a protobuf entry that names a file: field 1, 8 bytes.
const KEY: &[u8] = b"\x0a\x08location";

/// What stands before the length of its value, field 2, and of the entry as a whole, field 13 of a tensor.
const VALUE: u8 = 0x12;
const ENTRY: u8 = 0x6a;

/// More than the longest path and what stands before it.
const OVERLAP: usize = 8192;

impl Facts {
    fn read(mut reader: impl BufRead) -> io::Result<Self> {
        let (dynamic, key) = (Finder::new(DYNAMIC), Finder::new(KEY));
        let mut facts = Self::default();
        let mut window = Vec::new();
        loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(facts);
            }
            window.extend_from_slice(piece);
            let length = piece.len();
            reader.consume(length);
            facts.is_dynamically_quantised |= dynamic.find(&window).is_some();
            for at in key.find_iter(&window) {
                let (before, after) = window.split_at(at);
                facts.locations.extend(value_after(&after[KEY.len()..]));
                facts.locations.extend(value_before(before));
            }
            // The end of the piece before stays in front, in case something lies across the cut.
            window.drain(..window.len().saturating_sub(OVERLAP));
        }
    }
}

/// The value that follows its key.
fn value_after(bytes: &[u8]) -> Option<String> {
    let (value, _) = delimited(bytes.strip_prefix(&[VALUE])?)?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// The value that stands in front of its key: protobuf leaves the order open. With the key it is the whole entry.
fn value_before(bytes: &[u8]) -> Option<String> {
    let nearby = bytes.get(bytes.len().saturating_sub(OVERLAP)..)?;
    memrchr_iter(VALUE, nearby).find_map(|start| {
        let (value, rest) = delimited(&nearby[start + 1..])?;
        let entry = nearby.len() - start + KEY.len();
        let is_entry = rest.is_empty() && nearby[..start].ends_with(&[&[ENTRY], &length(entry)[..]].concat());
        std::str::from_utf8(value).ok().filter(|_| is_entry).map(str::to_owned)
    })
}

/// As many bytes as the length before them says, one or two bytes itself, and what comes after.
fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *bytes {
        [low @ 0..=0x7f, ref rest @ ..] => (usize::from(low), rest),
        [low, high @ 0..=0x7f, ref rest @ ..] => (usize::from(low & 0x7f) | usize::from(high) << 7, rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A length as protobuf writes it, in one or two bytes.
fn length(bytes: usize) -> Vec<u8> {
    if bytes < 0x80 { vec![bytes as u8] } else { vec![bytes as u8 | 0x80, (bytes >> 7) as u8] }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_across_pieces_is_found_once() {
        let long = "x".repeat(300);
        let mut bytes = b"....DynamicQuantizeLinear....\x0a\x08location\x12\x0amodel.data....".to_vec();
        bytes.extend(b"\x0a\x08location\x12\xac\x02");
        bytes.extend(long.as_bytes());
        // The value in front of its key.
        let longer = "y".repeat(300);
        bytes.extend(b"\x6a\xb9\x02\x12\xac\x02");
        bytes.extend(longer.as_bytes());
        bytes.extend(b"\x0a\x08location\x6a\x15\x12\x09some.data\x0a\x08location");
        let expected = Facts {
            is_dynamically_quantised: true,
            locations: ["model.data", "some.data", &long, &longer].map(str::to_owned).into_iter().collect(),
        };
        for capacity in 1..bytes.len() {
            assert_eq!(Facts::read(BufReader::with_capacity(capacity, &bytes[..])).unwrap(), expected);
        }
    }

    #[test]
    fn a_graph_that_holds_all_its_weights_has_neither() {
        let bytes = b"QuantizeLinear location \x0a\x08location\x12\x7fcut short";
        assert_eq!(Facts::read(&bytes[..]).unwrap(), Facts::default());
    }
}
