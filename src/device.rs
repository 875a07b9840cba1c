//! Where a model runs, in the words that PyTorch users know: `cpu`, `cuda`, `cuda:1`.

use std::fmt;
use std::hash::{Hash, Hasher};

/// What can run a model; each is an [execution provider](https://onnxruntime.ai/docs/execution-providers/) of ONNX
/// Runtime, and which of them there are is up to the library at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The processor.
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT.
    TensorRt,
    /// AMD's MIGraphX.
    MiGraphX,
    /// Microsoft's DirectML.
    DirectMl,
    /// Apple's Core ML.
    CoreMl,
    /// Intel's OpenVINO.
    OpenVino,
    /// XNNPACK.
    Xnnpack,
    /// WebGPU.
    WebGpu,
}

/// Every kind with its name, and whether `:N` may choose one of several.
const KINDS: &[(Kind, &str, bool)] = &[
    (Kind::Cpu, "cpu", false),
    (Kind::Cuda, "cuda", true),
    (Kind::TensorRt, "tensorrt", true),
    (Kind::MiGraphX, "migraphx", true),
    (Kind::DirectMl, "directml", true),
    (Kind::CoreMl, "coreml", false),
    (Kind::OpenVino, "openvino", false),
    (Kind::Xnnpack, "xnnpack", false),
    (Kind::WebGpu, "webgpu", false),
];

/// One device. `cuda` and `cuda:0` are the same.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    kind: Kind,
    index: Option<u16>,
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.index()) == (other.kind, other.index())
    }
}

impl Eq for Device {}

impl Hash for Device {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, self.index()).hash(state);
    }
}

impl Device {
    /// The processor.
    pub const CPU: Self = Self { kind: Kind::Cpu, index: None };

    /// What may be named, in words.
    pub const ALLOWED: &'static str = "'cpu', 'cuda' or another of tensorrt, migraphx, directml, coreml, openvino, \
                                       xnnpack and webgpu, the first four also with a number ('cuda:1'), where this \
                                       ONNX Runtime has it";

    /// Reads a name such as `cuda:1`.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, index) = name.split_once(':').map_or((name, None), |(kind, index)| (kind, Some(index)));
        let &(kind, _, counted) = KINDS.iter().find(|(_, known, _)| *known == kind)?;
        match index {
            None => Some(Self { kind, index: None }),
            // One spelling a device: no sign, no leading zeros.
            Some(digits) => {
                let index: u16 = digits.parse().ok().filter(|index: &u16| index.to_string() == digits)?;
                counted.then_some(Self { kind, index: Some(index) })
            }
        }
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Which of several it is, from 0; the first where none was named.
    pub fn index(self) -> i32 {
        i32::from(self.index.unwrap_or(0))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(kind, ..)| *kind == self.kind).map_or("", |(_, name, _)| name);
        match self.index {
            None => f.write_str(name),
            Some(index) => write!(f, "{name}:{index}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        for name in ["cpu", "cuda", "cuda:0", "cuda:15", "directml:1", "coreml", "xnnpack"] {
            assert_eq!(Device::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(Device::parse("cuda:3").map(Device::index), Some(3));
        assert_eq!(Device::parse("cuda"), Device::parse("cuda:0"));
        assert_ne!(Device::parse("cuda"), Device::parse("cuda:1"));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for name in
            ["", "CPU", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "cuda:1:2", "cuda:70000", " cuda"]
        {
            assert_eq!(Device::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_kind_is_named_where_it_is_said_what_is_allowed() {
        assert!(KINDS.iter().all(|(_, name, _)| Device::ALLOWED.contains(name)));
    }
}
