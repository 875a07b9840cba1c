//! Texts to token ids.

use std::fmt::Display;
use std::path::PathBuf;

use serde_json::Value as Json;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::{
    ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer as HuggingFace, TruncationDirection,
    TruncationParams,
};

use super::folder::{Folder, read_text, unreadable};
use crate::error::{Error, Kind, Result};
use crate::panics::caught;

/// How many tokens the seed's pipeline keeps, special ones included.
const MAX_TOKENS: usize = 512;

/// What the model sees of a text: the key under which its prediction is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tokens {
    ids: Box<[u32]>,
    /// The segments where the tokenizer tells any apart, else empty: every type is 0.
    types: Box<[u32]>,
}

impl Tokens {
    /// How many tokens there are.
    #[allow(clippy::len_without_is_empty)] // there is always a token
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.ids.iter().map(|&id| i64::from(id))
    }

    /// The type of each token.
    pub(super) fn types(&self) -> impl Iterator<Item = i64> {
        (0..self.ids.len()).map(|index| self.types.get(index).map_or(0, |&segment| i64::from(segment)))
    }

    /// About how many bytes this takes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.ids) + size_of_val(&*self.types)
    }
}

/// The tokenizer of a model, set to the pipeline's truncation.
#[derive(Debug)]
pub(super) struct Tokenizer {
    inner: HuggingFace,
    pad_id: i64,
    path: PathBuf,
}

impl Tokenizer {
    pub(super) fn load(folder: &Folder, config: &Json) -> Result<Self> {
        let path = folder.tokenizer();
        let unusable = |error: tokenizers::Error| {
            Error::model(format!(
                "{} cannot be used: {error}; save it again with AutoTokenizer.save_pretrained",
                path.display()
            ))
        };
        let text = read_text(&path).map_err(|error| unreadable(&path, &error))?;
        let mut inner = guarded(|| text.parse::<HuggingFace>()).map_err(unusable)?;
        let pad_id = inner
            .get_padding()
            .map(|padding| i64::from(padding.pad_id))
            .or_else(|| config.get("pad_token_id").and_then(Json::as_i64))
            .unwrap_or(0);
        inner.with_padding(None);
        drop_out_nothing(&mut inner);
        let settings = folder.read_tokenizer_config()?;
        let direction = truncation_side(&settings, &inner);
        let truncation =
            TruncationParams { max_length: longest_sequence(config), direction, ..Default::default() };
        inner.with_truncation(Some(truncation)).map_err(unusable)?;
        overrule(&mut inner, &settings).map_err(unusable)?;
        Ok(Self { inner, pad_id, path })
    }

    /// The token that fills up the shorter rows of a batch.
    pub(super) fn pad_id(&self) -> i64 {
        self.pad_id
    }

    pub(super) fn encode(&self, text: &str) -> Result<Tokens> {
        let unusable = |problem: &dyn Display| {
            let remedy = "save it again with AutoTokenizer.save_pretrained, or use another model";
            Error::new(
                Kind::Inference,
                format!("the tokenizer of {} {problem}; {remedy}", self.path.display()),
            )
        };
        let encoding = guarded(|| self.inner.encode_fast(visible(text), true))
            .map_err(|error| unusable(&format_args!("refuses the text: {error}")))?;
        if encoding.is_empty() {
            // A row of padding alone would take its score from the rows beside it.
            return Err(unusable(&"makes no token of the text"));
        }
        let types = encoding.get_type_ids();
        let types = if types.iter().all(|&segment| segment == 0) { &[] } else { types };
        Ok(Tokens { ids: encoding.get_ids().into(), types: types.into() })
    }
}

/// Runs the tokenizer, which panics where the parts of its file contradict each other.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    caught(work).unwrap_or_else(|panic| Err(panic.reason.into()))
}

/// Leaves every merge in place: what dropout is for is training, and a score must be a function of the text alone.
fn drop_out_nothing(tokenizer: &mut HuggingFace) {
    if let ModelWrapper::BPE(model) = tokenizer.get_model()
        && model.dropout.is_some()
    {
        let mut model = model.clone();
        model.dropout = None;
        tokenizer.with_model(model);
    }
}

/// Which end of a long text is cut off: tokenizer_config.json says it, else tokenizer.json.
fn truncation_side(settings: &Json, tokenizer: &HuggingFace) -> TruncationDirection {
    match settings.get("truncation_side").and_then(Json::as_str) {
        Some("left") => TruncationDirection::Left,
        Some("right") => TruncationDirection::Right,
        _ => tokenizer.get_truncation().map_or(TruncationDirection::Right, |truncation| truncation.direction),
    }
}

/// Lets tokenizer_config.json have the last word where the tokenizer classes of transformers do: they make the
/// normaliser and the pre-tokenizer anew from what it says. Files that were saved together agree anyway.
fn overrule(tokenizer: &mut HuggingFace, settings: &Json) -> tokenizers::Result<()> {
    /// The class that takes tokenizer.json as it is, by its names in transformers 4 and 5.
    const AS_IT_IS: &[&str] = &["PreTrainedTokenizerFast", "TokenizersBackend"];
    if settings.get("tokenizer_class").and_then(Json::as_str).is_some_and(|class| AS_IT_IS.contains(&class)) {
        return Ok(());
    }
    let flag = |key: &str| settings.get(key).and_then(Json::as_bool);
    if let Some(NormalizerWrapper::BertNormalizer(bert)) = tokenizer.get_normalizer() {
        let overruled = BertNormalizer::new(
            bert.clean_text,
            flag("tokenize_chinese_chars").unwrap_or(bert.handle_chinese_chars),
            flag("strip_accents").or(bert.strip_accents),
            flag("do_lower_case").unwrap_or(bert.lowercase),
        );
        tokenizer.with_normalizer(Some(overruled))?;
    }
    if let Some(PreTokenizerWrapper::ByteLevel(bytes)) = tokenizer.get_pre_tokenizer() {
        let overruled = bytes.add_prefix_space(flag("add_prefix_space").unwrap_or(bytes.add_prefix_space));
        tokenizer.with_pre_tokenizer(Some(overruled));
    }
    Ok(())
}

/// Architectures that count the positions of a text from the one after the padding token's.
const COUNTED_FROM_PADDING: &[&str] = &[
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

/// The pipeline's limit, or the model's own where that is smaller (the pipeline would fail there).
fn longest_sequence(config: &Json) -> usize {
    let number = |key| config.get(key).and_then(Json::as_u64).and_then(|number| usize::try_from(number).ok());
    let architecture = config.get("model_type").and_then(Json::as_str).unwrap_or("");
    let first = if COUNTED_FROM_PADDING.contains(&architecture) {
        number("pad_token_id").unwrap_or(1).saturating_add(1)
    } else {
        0
    };
    // DeBERTa may know relative positions only, and take texts of any length.
    let is_relative = config.get("position_biased_input").and_then(Json::as_bool) == Some(false);
    let positions = number("max_position_embeddings").filter(|_| !is_relative).unwrap_or(usize::MAX);
    positions.saturating_sub(first).clamp(8, MAX_TOKENS)
}

/// How many code points of a text a model sees, as in the seed.
const CODE_POINTS: usize = 512;

/// The part of a text that a model sees lies within so many bytes.
pub const VISIBLE_BYTES: usize = 4 * CODE_POINTS;

/// The part of a text that a model sees.
pub fn visible(text: &str) -> &str {
    text.char_indices().nth(CODE_POINTS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_cut_after_512_code_points() {
        assert_eq!(visible(&"🦀".repeat(600)), "🦀".repeat(512));
        assert_eq!(visible("short"), "short");
    }

    #[test]
    fn the_sequence_fits_the_model() {
        assert_eq!(longest_sequence(&json!({})), 512);
        assert_eq!(longest_sequence(&json!({"max_position_embeddings": 128})), 128);
        assert_eq!(longest_sequence(&json!({"max_position_embeddings": 4096})), 512);
        let relative = json!({"max_position_embeddings": 128, "position_biased_input": false});
        assert_eq!(longest_sequence(&relative), 512);
    }

    #[test]
    fn the_positions_of_roberta_begin_after_that_of_the_padding() {
        let roberta = |positions| json!({"model_type": "roberta", "max_position_embeddings": positions});
        assert_eq!(longest_sequence(&roberta(514)), 512);
        assert_eq!(longest_sequence(&roberta(130)), 128);
    }
}
