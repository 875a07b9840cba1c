//! Finding the files of a model by the name the user gave it, or what would bring them there.

use std::fs;
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::hub::{self, HubId, Snapshot};
use crate::error::{Error, Result, abridged};

/// The name of the model that ships with the extension.
const BUNDLED: &str = "bundled";

/// Whether the name is that of the model which ships with the extension.
pub fn is_bundled(name: &str) -> bool {
    name == BUNDLED
}

/// Where the graph is looked for, relative to the model's folder.
const GRAPHS: &[&str] = &["model.onnx", "onnx/model.onnx"];

/// Finds the model that `name` stands for: `bundled`, which lies in `model/` under `beside`; a folder; or a name on the
/// Hugging Face hub, in the local cache. `onnx_file` names the graph in it, where it is not called as usual; `allowed` are
/// the folders that its files may lie in or below, any where there are none.
pub fn find(name: &str, onnx_file: &str, allowed: &[PathBuf], beside: Option<&Path>) -> Result<Folder> {
    // What is said of other models is not meant for the bundled one, which is part of the extension.
    let (onnx_file, allowed) = if is_bundled(name) { ("", &[][..]) } else { (onnx_file, allowed) };
    let found = || {
        let folder = Place::find(name, beside)?.files(onnx_file)?;
        folder.require_within(allowed)?;
        Ok(folder)
    };
    found().map_err(|error: Error| error.context(format_args!("model '{}'", abridged(name))))
}

/// Where a name leads, before it is known what is there.
struct Place<'a> {
    path: PathBuf,
    hub: Option<(HubId<'a>, String)>,
}

impl<'a> Place<'a> {
    fn find(name: &'a str, beside: Option<&Path>) -> Result<Self> {
        let path = if is_bundled(name) { bundled(beside)? } else { PathBuf::from(name) };
        // Whole, so that a message shows which folder a relative name meant.
        let path = std::path::absolute(&path).unwrap_or(path);
        if path.is_dir() {
            return Ok(Self { path, hub: None });
        }
        if path.is_file() {
            return Err(Error::model(format!("{} is a file; give the folder it lies in", path.display())));
        }
        let Some(id) = HubId::parse(name) else {
            return Err(Error::model(format!(
                "there is no folder {}; give 'bundled', the path of a folder with config.json, tokenizer.json and \
                 model.onnx, or a hub id such as 'org/name@revision'",
                path.display()
            )));
        };
        let cache = hub::cache();
        match cache.as_deref().and_then(|cache| id.find(cache)) {
            Some(Snapshot { folder, commit }) => Ok(Self { path: folder, hub: Some((id, commit)) }),
            None => Err(Error::model(format!(
                "there is no folder {path}, and {cache} has no {id}. To fetch it: {download}. If it holds no ONNX \
                 file: {export}. The one that ships with the extension is called 'bundled'",
                path = path.display(),
                cache = cache.as_deref().map_or_else(
                    || "no Hugging Face cache (no home folder is known)".to_owned(),
                    |cache| format!("the Hugging Face cache {}", cache.display())
                ),
                download = id.download_command(),
                export = export(id),
            ))),
        }
    }

    /// Finds the files that a model needs, or says what would make them.
    fn files(self, onnx_file: &str) -> Result<Folder> {
        self.require("config.json", |id| match id {
            Some(id) => format!("fetch it: {}", id.download_command()),
            None => "copy the one of the Hugging Face model here".to_owned(),
        })?;
        self.require("tokenizer.json", |id| match id {
            Some(id) => format!("make a folder with one: {}", export(*id)),
            None => "save it with AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)".to_owned(),
        })?;
        let graph = self.graph(onnx_file)?;
        Folder::new(&self.path, &graph, self.hub.map(|(_, commit)| commit))
    }

    fn require(&self, file: &str, remedy: impl FnOnce(Option<&HubId<'_>>) -> String) -> Result<()> {
        if self.path.join(file).is_file() {
            return Ok(());
        }
        self.refuse_dangling(&[file])?;
        Err(self.lacks(file, &remedy(self.hub.as_ref().map(|(id, _)| id))))
    }

    /// The name of the graph's file in the folder: the given one, else the usual ones, else the only one there is.
    fn graph(&self, onnx_file: &str) -> Result<String> {
        let names = if onnx_file.is_empty() { GRAPHS } else { &[onnx_file][..] };
        if let Some(name) = names.iter().find(|name| self.path.join(name).is_file()) {
            return Ok((*name).to_owned());
        }
        self.refuse_dangling(names)?;
        let others = self.onnx_files();
        let remedy = match &others[..] {
            [] => format!("export the model: {}", self.export_commands()),
            [only] if onnx_file.is_empty() => return Ok(only.clone()),
            [first, ..] => {
                let is_usual = others.iter().any(|other| GRAPHS.contains(&other.as_str()));
                let file = if is_usual { String::new() } else { first.replace('\'', "''") };
                format!(
                    "it has {}: SELECT anomaly_config('onnx_file', '{file}') {}, then name the model again",
                    others.join(", "),
                    if is_usual { "takes the usual one" } else { "takes the first" }
                )
            }
        };
        Err(self.lacks(&names.join(" or "), &remedy))
    }

    /// In the Hugging Face cache, a file that was deleted or not downloaded completely is a link to nowhere.
    fn refuse_dangling(&self, names: &[&str]) -> Result<()> {
        let Some(name) = names.iter().find(|name| self.path.join(name).is_symlink()) else { return Ok(()) };
        let remedy = match &self.hub {
            Some((id, _)) => format!("fetch it again: {}", id.download_command()),
            None => "put it back".to_owned(),
        };
        Err(Error::model(format!(
            "{} is a link to a file that is gone; {remedy}",
            self.path.join(name).display()
        )))
    }

    /// The names of the ONNX files there are.
    fn onnx_files(&self) -> Vec<String> {
        let names = |folder: &str| {
            let entries = fs::read_dir(self.path.join(folder)).into_iter().flatten().flatten();
            let names = entries.map(|entry| format!("{folder}{}", entry.file_name().to_string_lossy()));
            let is_onnx = |name: &String| name.ends_with(".onnx") && self.path.join(name).is_file();
            names.filter(is_onnx).collect::<Vec<_>>()
        };
        let mut names = [names(""), names("onnx/")].concat();
        names.sort();
        names
    }

    fn export_commands(&self) -> String {
        const WEIGHTS: &[&str] = &["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
        if let Some((id, _)) = self.hub {
            return export(id);
        }
        let folder = self.path.to_string_lossy();
        let has_weights = WEIGHTS.iter().any(|file| self.path.join(file).is_file());
        format!(
            "optimum-cli export onnx --task text-classification --model {} {}",
            if has_weights { quoted(&folder) } else { "MODEL".to_owned() },
            quoted(&self.path.join("onnx").to_string_lossy())
        )
    }

    fn lacks(&self, what: &str, remedy: &str) -> Error {
        Error::model(format!("{} has no {what}; {remedy}", self.path.display()))
    }
}

/// How to export a model of the hub, and what to do then.
fn export(id: HubId<'_>) -> String {
    let (commands, folder) = id.export_commands();
    format!("{commands}, then SELECT anomaly_config('model', '{folder}')")
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+~:\\".contains(character);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn bundled(beside: Option<&Path>) -> Result<PathBuf> {
    let path = beside.map(|folder| folder.join("model"));
    path.filter(|path| path.is_dir()).ok_or_else(|| {
        let place = beside.map_or_else(
            || "the place of the extension's own file is unknown".to_owned(),
            |folder| format!("there is no folder {}", folder.join("model").display()),
        );
        Error::model(format!(
            "{place}; keep model/ beside the extension as `make dist` puts it, or give the path of a model's folder"
        ))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder_with(name: &str, files: &[&str]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sqlite-anomaly-folder-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for file in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "{}").unwrap();
        }
        path
    }

    #[test]
    fn the_graph_lies_in_the_folder_or_under_onnx() {
        let direct = folder_with("direct", &["config.json", "tokenizer.json", "model.onnx"]);
        let found = find(direct.to_str().unwrap(), "", &[], None).unwrap();
        assert_eq!(found.graph(), fs::canonicalize(&direct).unwrap().join("model.onnx"));
        let nested = folder_with("nested", &["config.json", "tokenizer.json", "onnx/model.onnx"]);
        let found = find(nested.to_str().unwrap(), "", &[], None).unwrap();
        assert_eq!(found.graph(), fs::canonicalize(&nested).unwrap().join("onnx/model.onnx"));
    }

    #[test]
    fn a_missing_file_is_named_with_its_remedy() {
        for (files, missing, remedy) in [
            (&["tokenizer.json", "model.onnx"][..], "config.json", "copy"),
            (&["config.json", "model.onnx"][..], "tokenizer.json", "save_pretrained"),
            (&["config.json", "tokenizer.json"][..], "model.onnx", "optimum-cli export onnx"),
        ] {
            let path = folder_with(missing, files);
            let error = find(path.to_str().unwrap(), "", &[], None).unwrap_err().to_string();
            assert!(error.contains(missing) && error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn the_bundled_model_lies_beside_the_extension() {
        let dist = folder_with("dist", &["model/config.json", "model/tokenizer.json", "model/model.onnx"]);
        let found = find("bundled", "", &[], Some(&dist)).unwrap();
        assert_eq!(found.graph(), fs::canonicalize(&dist).unwrap().join("model/model.onnx"));
        let error = find("bundled", "", &[], Some(Path::new("/nowhere"))).unwrap_err().to_string();
        assert!(error.contains("make dist"), "{error}");
    }
}
