//! The parts of a run, each alone: `cargo bench`. They need `make dist` for ONNX Runtime and the bundled model.

#![allow(clippy::expect_used)] // a benchmark without its model has nothing to measure

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Mutex;

use anomaly::classification::classify;
use anomaly::device::Device;
use anomaly::error::Result;
use anomaly::memo::Memo;
use anomaly::model::{self, Classifier};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LOG: &str = include_str!("../sql/demo/sample.log");
const ENOUGH: usize = 1 << 20;

fn never() -> Result<()> {
    Ok(())
}

fn classifier(threads: usize) -> Classifier {
    let dist = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dist");
    let folder = model::find("bundled", "", &[], Some(&dist)).expect("the bundled model: run make dist");
    Classifier::load(&folder, Some(&dist), Device::CPU, threads)
        .expect("the bundled model loads: run make dist")
}

fn parts(criterion: &mut Criterion) {
    let lines: Vec<&str> = LOG.lines().take(256).collect();
    let classifier = classifier(1);
    let mut group = criterion.benchmark_group("one thread, 256 lines");
    group.throughput(Throughput::Elements(lines.len() as u64)).sample_size(20);
    group.bench_function("tokenise", |bencher| {
        bencher.iter(|| classifier.encode(black_box(&lines), &never).expect("the lines are text"));
    });
    let tokens: Vec<_> =
        classifier.encode(&lines, &never).expect("the lines are text").into_iter().flatten().collect();
    let rows: Vec<_> = tokens.iter().collect();
    group.bench_function("run the model", |bencher| {
        bencher.iter(|| classifier.predict(black_box(&rows), &never).expect("the model answers"));
    });
    let memo = Mutex::new(Memo::new(ENOUGH));
    classify(&classifier, &memo, &lines, &never).expect("the model answers");
    group.bench_function("answer from memory", |bencher| {
        bencher.iter(|| classify(&classifier, &memo, black_box(&lines), &never).expect("all is remembered"));
    });
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
