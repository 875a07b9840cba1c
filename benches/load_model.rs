//! What ONNX Runtime alone needs to load a model: `load_model LIBRARY GRAPH`, to be timed from outside.

use std::error::Error;

use ort::logging::LogLevel;
use ort::session::Session;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: load_model LIBRARY GRAPH");
    let (library, graph) = (next()?, next()?);
    let environment = ort::init_from(&library)?.with_telemetry(false).build()?;
    Session::builder(&environment)?
        .with_log_level(LogLevel::Fatal)?
        .with_intra_threads(1)?
        .commit_from_file(&graph)?;
    Ok(())
}
