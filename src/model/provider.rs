//! From a device to the execution provider of ONNX Runtime that serves it.
//!
//! A device that the library at hand cannot serve is an error. Left to itself, ONNX Runtime would go on with the
//! processor, and nobody would know why it is slow.

use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::builder::SessionBuilder;

use super::session::text;
use crate::device::{Device, Kind};
use crate::error::{Error, Result};

/// Asks ONNX Runtime whether it was built with a provider.
type IsAvailable = fn() -> ort::Result<bool>;

/// The kinds of devices, and what ONNX Runtime has for them.
const PROVIDERS: &[(Kind, &str, IsAvailable)] = &[
    (Kind::Cpu, ep::CPU::NAME, ep::CPU::is_available),
    (Kind::Cuda, ep::CUDA::NAME, ep::CUDA::is_available),
    (Kind::TensorRt, ep::TensorRT::NAME, ep::TensorRT::is_available),
    (Kind::MiGraphX, ep::MIGraphX::NAME, ep::MIGraphX::is_available),
    (Kind::DirectMl, ep::DirectML::NAME, ep::DirectML::is_available),
    (Kind::CoreMl, ep::CoreML::NAME, ep::CoreML::is_available),
    (Kind::OpenVino, ep::OpenVINO::NAME, ep::OpenVINO::is_available),
    (Kind::Xnnpack, ep::XNNPACK::NAME, ep::XNNPACK::is_available),
    (Kind::WebGpu, ep::WebGPU::NAME, ep::WebGPU::is_available),
];

/// The name of the provider of a device, such as `CUDAExecutionProvider`.
pub(super) fn name(device: Device) -> &'static str {
    PROVIDERS.iter().find(|(kind, ..)| *kind == device.kind()).map_or("", |&(_, name, _)| name)
}

/// The providers that the started ONNX Runtime has.
pub fn available() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().filter(|(.., has)| has().unwrap_or(false)).map(|&(_, name, _)| name)
}

/// Fails where the started ONNX Runtime has no provider for the device.
pub fn require(device: Device) -> Result<()> {
    if available().any(|available| available == name(device)) {
        return Ok(());
    }
    Err(unavailable(device, &format!("this ONNX Runtime has no {}", name(device))))
}

/// Makes sessions use the device. The processor is what they use anyway.
pub(super) fn register(builder: SessionBuilder, device: Device, threads: usize) -> Result<SessionBuilder> {
    let Some(provider) = provider(device, threads) else { return Ok(builder) };
    let registered = builder.with_execution_providers([provider.error_on_failure()]);
    registered.map_err(|error| unavailable(device, &text(&error.into())))
}

fn provider(device: Device, threads: usize) -> Option<ExecutionProviderDispatch> {
    let index = device.index();
    Some(match device.kind() {
        Kind::Cpu => return None,
        // Scores must not depend on the device: no shortened mantissas.
        Kind::Cuda => ep::CUDA::default().with_device_id(index).with_tf32(false).build(),
        Kind::TensorRt => ep::TensorRT::default().with_device_id(index).build(),
        Kind::MiGraphX => ep::MIGraphX::default().with_device_id(index).build(),
        Kind::DirectMl => ep::DirectML::default().with_device_id(index).build(),
        Kind::CoreMl => ep::CoreML::default().build(),
        Kind::OpenVino => ep::OpenVINO::default().with_num_threads(threads).build(),
        Kind::Xnnpack => match std::num::NonZeroUsize::new(threads) {
            Some(threads) => ep::XNNPACK::default().with_intra_op_num_threads(threads).build(),
            None => ep::XNNPACK::default().build(),
        },
        Kind::WebGpu => ep::WebGPU::default().build(),
    })
}

fn unavailable(device: Device, why: &str) -> Error {
    let available: Vec<_> = available().collect();
    Error::model(format!(
        "device '{device}' cannot be used: {why}; it has {}. SELECT anomaly_config('device', 'cpu') takes the \
         processor; for another device put an ONNX Runtime built for it beside the extension, or name one in \
         ORT_DYLIB_PATH",
        available.join(", ")
    ))
}
