//! What a graph takes and gives: tensors of tokens in, logits out.

use std::borrow::Cow;

use half::f16;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{Tensor, TensorElementType as Element};

use super::tokenizer::Tokens;
use crate::error::{Error, Result};

/// The inputs and the output of a text classifier.
#[derive(Debug)]
pub(super) struct Interface {
    inputs: Vec<Input>,
    /// The name of the output that holds the logits.
    output: String,
    logits: Element,
}

#[derive(Debug)]
struct Input {
    name: String,
    role: Role,
    element: Element,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ids,
    Mask,
    Types,
}

impl Role {
    fn named(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            _ => None,
        }
    }

    /// Appends the values of one row; gives what fills it up to the length of its batch.
    fn append(self, values: &mut Vec<i64>, tokens: &Tokens, pad_id: i64) -> i64 {
        match self {
            Self::Ids => {
                values.extend(tokens.ids());
                pad_id
            }
            Self::Mask => {
                values.extend(tokens.ids().map(|_| 1));
                0
            }
            Self::Types => {
                values.extend(tokens.types());
                0
            }
        }
    }
}

/// A shape and the values in it.
pub(super) type Logits = (Vec<i64>, Vec<f32>);

impl Interface {
    /// Reads it off a session on the graph.
    pub(super) fn of(session: &Session) -> Result<Self> {
        let inputs =
            session.inputs().iter().map(|outlet| Input::read(outlet.name(), outlet.dtype().tensor_type()));
        let inputs = inputs.collect::<Result<_>>()?;
        let outputs = session.outputs();
        let output = outputs.iter().find(|outlet| outlet.name() == "logits").or_else(|| outputs.first());
        let output = output.ok_or_else(|| unusable("has no output"))?;
        match output.dtype().tensor_type() {
            Some(logits @ (Element::Float32 | Element::Float64 | Element::Float16)) => {
                Ok(Self { inputs, output: output.name().to_owned(), logits })
            }
            other => Err(unusable(&format!("gives {} where logits were expected", named(other)))),
        }
    }

    /// Whether the graph is told which tokens are padding.
    pub(super) fn has_mask(&self) -> bool {
        self.inputs.iter().any(|input| input.role == Role::Mask)
    }

    /// The tensors of a batch, each row filled up to the longest.
    pub(super) fn tensors(
        &self,
        rows: &[&Tokens],
        pad_id: i64,
    ) -> ort::Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>> {
        let length = rows.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
        let tensor = |input: &Input| -> ort::Result<SessionInputValue<'_>> {
            let mut values = Vec::with_capacity(rows.len() * length);
            for (row, tokens) in rows.iter().enumerate() {
                let fill = input.role.append(&mut values, tokens, pad_id);
                values.resize((row + 1) * length, fill);
            }
            let shape = [rows.len(), length];
            if input.element == Element::Int64 {
                return Ok(Tensor::from_array((shape, values))?.into());
            }
            let values: Vec<_> = values.into_iter().map(|value| value as i32).collect();
            Ok(Tensor::from_array((shape, values))?.into())
        };
        self.inputs.iter().map(|input| Ok((Cow::from(input.name.as_str()), tensor(input)?))).collect()
    }

    /// The logits among the outputs of a run.
    pub(super) fn logits(&self, outputs: &SessionOutputs<'_>) -> ort::Result<Logits> {
        let output = &outputs[self.output.as_str()];
        Ok(match self.logits {
            Element::Float64 => {
                let (shape, values) = output.try_extract_tensor::<f64>()?;
                (shape.to_vec(), values.iter().map(|&value| value as f32).collect())
            }
            Element::Float16 => {
                let (shape, values) = output.try_extract_tensor::<f16>()?;
                (shape.to_vec(), values.iter().map(|value| value.to_f32()).collect())
            }
            _ => {
                let (shape, values) = output.try_extract_tensor::<f32>()?;
                (shape.to_vec(), values.to_vec())
            }
        })
    }
}

impl Input {
    fn read(name: &str, element: Option<Element>) -> Result<Self> {
        let known = "input_ids, attention_mask and token_type_ids";
        let role = Role::named(name).ok_or_else(|| {
            unusable(&format!("asks for the input {name}, but a text classifier has {known}"))
        })?;
        match element {
            Some(element @ (Element::Int64 | Element::Int32)) => {
                Ok(Self { name: name.to_owned(), role, element })
            }
            other => {
                Err(unusable(&format!("asks for {name} as {}, but token ids are integers", named(other))))
            }
        }
    }
}

fn named(element: Option<Element>) -> String {
    element.map_or_else(|| "no tensor".to_owned(), |element| format!("a tensor of {element}"))
}

fn unusable(problem: &str) -> Error {
    Error::model(format!("the graph {problem}; export it with --task text-classification"))
}
