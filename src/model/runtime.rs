//! Finding and starting ONNX Runtime.

use std::env;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use once_cell::sync::OnceCell;
use ort::environment::{Environment, EnvironmentBuilder};
use ort::logging::LogLevel;

use crate::error::{Error, Result};

/// The environment variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The oldest ONNX Runtime whose API this build can speak.
const OLDEST: &str = "1.24";

/// ONNX Runtime, started. There is one per process, and it stays.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
}

static RUNTIME: OnceCell<Runtime> = OnceCell::new();

impl Runtime {
    /// Starts ONNX Runtime with the library that `ORT_DYLIB_PATH` names, else with the one in the folder `beside`, else
    /// with that of the Python package beside this folder, else with the one that the system's loader finds.
    pub fn get_or_load(beside: Option<&Path>) -> Result<&'static Self> {
        RUNTIME.get_or_try_init(|| {
            let (builder, library) = load_library(beside)?;
            let environment = builder
                .with_name("sqlite-anomaly")
                .with_telemetry(false)
                // The host's stderr is not ours: what matters comes back as an error.
                .with_logger(Arc::new(|_, _, _, _, _| {}))
                .build()
                .map_err(|error| Error::model(format!("ONNX Runtime does not start: {error}")))?;
            environment.set_log_level(LogLevel::Fatal);
            Ok(Self { environment, library })
        })
    }

    /// The runtime, if one was started.
    pub fn started() -> Option<&'static Self> {
        RUNTIME.get()
    }

    /// The library file in use.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What the library says of itself: its version, commit and build flags.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

fn load_library(beside: Option<&Path>) -> Result<(EnvironmentBuilder, PathBuf)> {
    if let Some(library) = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from) {
        // Who names a library wants that one: another in its place would be found out late.
        return load(&library).map(|builder| (builder, library.clone())).map_err(|problem| {
            Error::model(format!(
                "the environment variable {VARIABLE} names {}, which is no usable ONNX Runtime library, {OLDEST} or \
                 newer: {problem}. Correct it, or unset it for the one beside the extension",
                library.display()
            ))
        });
    }
    let mut problems = Vec::new();
    for library in candidates(beside) {
        match load(&library) {
            Ok(builder) => return Ok((builder, library)),
            Err(problem) => problems.push(problem),
        }
    }
    Err(Error::model(format!(
        "no usable ONNX Runtime library, {OLDEST} or newer: {}. Put {} beside the extension, as `make dist` does, or \
         name one in the environment variable {VARIABLE} (the PyPI package onnxruntime holds it under \
         onnxruntime/capi/)",
        problems.join("; "),
        file_name(),
    )))
}

fn load(library: &Path) -> std::result::Result<EnvironmentBuilder, String> {
    // A bare name is the system's loader's to find.
    if library.components().count() > 1 {
        let found = library.metadata().map_err(|_| format!("there is no {}", library.display()))?;
        // A pipe, opened, would keep the process waiting for ever.
        if !found.is_file() {
            return Err(format!("{} is no file", library.display()));
        }
        check_complete(library)?;
    }
    ort::init_from(library).map_err(|error| error.to_string())
}

/// Refuses a library file that was cut short: the loader would map what is not there, and end the process with SIGBUS.
#[cfg(target_os = "linux")]
fn check_complete(library: &Path) -> std::result::Result<(), String> {
    use object::elf::{FileHeader32, FileHeader64};
    use object::read::elf::{FileHeader, ProgramHeader};
    use object::{Endianness, ReadCache, ReadRef};

    fn segments_are_there<'data, Elf: FileHeader<Endian = Endianness>>(
        file: impl ReadRef<'data>,
    ) -> object::Result<bool> {
        let header = Elf::parse(file)?;
        let endian = header.endian()?;
        let length = file.len().unwrap_or(0);
        let end = |segment: &Elf::ProgramHeader| {
            segment.p_offset(endian).into().checked_add(segment.p_filesz(endian).into())
        };
        let mut segments = header.program_headers(endian, file)?.iter();
        Ok(segments.all(|segment| end(segment).is_some_and(|end| end <= length)))
    }

    // What is no file is the loader's to find and to complain about.
    let Ok(file) = File::open(library) else { return Ok(()) };
    let file = &ReadCache::new(file);
    let complete = match object::FileKind::parse(file) {
        Ok(object::FileKind::Elf64) => segments_are_there::<FileHeader64<Endianness>>(file),
        Ok(object::FileKind::Elf32) => segments_are_there::<FileHeader32<Endianness>>(file),
        _ => return Ok(()),
    };
    if complete == Ok(true) { Ok(()) } else { Err(format!("{} is incomplete", library.display())) }
}

/// The other systems' loaders check this themselves.
#[cfg(not(target_os = "linux"))]
fn check_complete(_: &Path) -> std::result::Result<(), String> {
    Ok(())
}

/// Beside the extension, then in the Python package `onnxruntime` beside the extension's own, then wherever the system's
/// loader looks.
fn candidates(beside: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let own = beside.map(|folder| folder.join(file_name()));
    let packaged = beside.and_then(Path::parent).map(in_package).unwrap_or_default();
    own.into_iter().chain(packaged).chain([PathBuf::from(file_name())])
}

/// The library in the package `onnxruntime` under a folder of Python packages: its name holds its version there.
fn in_package(packages: &Path) -> Vec<PathBuf> {
    let folder = packages.join("onnxruntime").join("capi");
    let stem = format!("{}onnxruntime.", env::consts::DLL_PREFIX);
    let is_library =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&stem));
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(is_library).collect()
}

/// `libonnxruntime.so`, `libonnxruntime.dylib` or `onnxruntime.dll`.
fn file_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}
