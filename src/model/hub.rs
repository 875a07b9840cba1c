//! Models of the Hugging Face hub, as far as they are in the local cache. Nothing is fetched.
//!
//! The cache is the one that `hf download`, transformers and the other Hugging Face libraries fill
//! (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>).

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

/// The branch that is meant where no revision is named.
const DEFAULT_REVISION: &str = "main";

/// A model's name on the hub: `name`, `org/name` or `org/name@revision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HubId<'a> {
    repo: &'a str,
    /// A branch, a tag or a commit.
    revision: Option<&'a str>,
}

/// The files of one commit. They are links into the `blobs/` of the cache.
#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) folder: PathBuf,
    pub(super) commit: String,
}

impl<'a> HubId<'a> {
    /// Reads a name by the hub's rules; `None` for what can be a path only.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        const LONGEST: usize = 96;
        let (repo, revision) = name.split_once('@').map_or((name, None), |(repo, rest)| (repo, Some(rest)));
        let parts: Vec<_> = repo.split('/').collect();
        let is_repo = parts.len() <= 2 && repo.len() <= LONGEST && parts.iter().all(|part| is_name(part));
        let is_revision = |revision: &str| revision.split('/').all(is_name);
        (is_repo && revision.is_none_or(is_revision)).then_some(Self { repo, revision })
    }

    /// The snapshot of the revision in the cache folder `cache`.
    pub(super) fn find(self, cache: &Path) -> Option<Snapshot> {
        let revision = self.revision.unwrap_or(DEFAULT_REVISION);
        let wanted = Repo::with_revision(self.repo.to_owned(), RepoType::Model, revision.to_owned());
        let repo = Cache::new(cache.to_owned()).repo(wanted.clone());
        // A branch or a tag is a file that names the commit; a commit is a folder.
        let by_commit = || Some(repo.pointer_path(revision)).filter(|folder| folder.is_dir());
        // Anything else in that file's place, a pipe say, is not to be read.
        let branch = cache.join(wanted.folder_name()).join("refs").join(revision);
        let by_name = || branch.is_file().then(|| repo.get("config.json"))??.parent().map(Path::to_owned);
        let folder = by_name().or_else(by_commit)?;
        let commit = folder.file_name()?.to_string_lossy().into_owned();
        Some(Snapshot { folder, commit })
    }

    /// The command that downloads it.
    pub(super) fn download_command(self) -> String {
        format!("hf download {}{}", self.repo, self.revision_option())
    }

    /// The commands that make a folder of it which can be used, and that folder.
    pub(super) fn export_commands(self) -> (String, String) {
        const EXPORT: &str = "optimum-cli export onnx --task text-classification --model";
        let HubId { repo, revision } = self;
        let name = repo.rsplit('/').next().unwrap_or(repo);
        let folder = format!("{name}-onnx");
        match revision {
            None => (format!("{EXPORT} {repo} {folder}"), folder),
            // That command knows no revisions.
            Some(_) => {
                let download = self.download_command();
                (format!("{download} --local-dir {name} && {EXPORT} {name} {folder}"), folder)
            }
        }
    }

    fn revision_option(self) -> String {
        self.revision.map_or_else(String::new, |revision| format!(" --revision {revision}"))
    }
}

impl fmt::Display for HubId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at revision {}", self.repo, self.revision.unwrap_or(DEFAULT_REVISION))
    }
}

/// Letters, digits, `-`, `_` and `.`, neither first nor last of these the dot, and no two dots in a row.
fn is_name(part: &str) -> bool {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let edge = |character: char| "-.".contains(character);
    !part.is_empty()
        && part.chars().all(is_allowed)
        && !part.starts_with(edge)
        && !part.ends_with(edge)
        && !part.contains("..")
}

/// The folder of the cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in the user's `.cache/huggingface`.
pub(super) fn cache() -> Option<PathBuf> {
    cache_in(|variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn cache_in(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let user = variable("HOME").or_else(|| variable("USERPROFILE"));
    let expanded = |name| {
        let path = variable(name)?;
        match path.strip_prefix("~") {
            Ok(rest) => Some(user.as_ref()?.join(rest)),
            Err(_) => Some(path),
        }
    };
    expanded("HF_HUB_CACHE").or_else(|| expanded("HUGGINGFACE_HUB_CACHE")).or_else(|| {
        let caches = || expanded("XDG_CACHE_HOME").or_else(|| Some(user.as_ref()?.join(".cache")));
        let home = expanded("HF_HOME").or_else(|| Some(caches()?.join("huggingface")));
        home.map(|home| home.join("hub"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_the_rules_of_the_hub() {
        for (name, repo, revision) in [
            ("distilbert-base", "distilbert-base", None),
            ("org/name", "org/name", None),
            ("org/na_me.v1@main", "org/na_me.v1", Some("main")),
            ("org/name@refs/pr/3", "org/name", Some("refs/pr/3")),
        ] {
            assert_eq!(HubId::parse(name), Some(HubId { repo, revision }));
        }
        for name in [
            "",
            "a/b/c",
            "/a",
            "a/",
            "./a",
            "../a",
            "a/..",
            "a b",
            "a/b@",
            "a/b@../../x",
            "a/b@/x",
            "a\\b",
            "ü/b",
        ] {
            assert_eq!(HubId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_commands_name_repo_and_revision() {
        let id = HubId::parse("org/name@v2").unwrap();
        assert_eq!(id.download_command(), "hf download org/name --revision v2");
        assert_eq!(
            id.export_commands().0,
            "hf download org/name --revision v2 --local-dir name && \
             optimum-cli export onnx --task text-classification --model name name-onnx"
        );
        let (export, folder) = HubId::parse("org/name").unwrap().export_commands();
        assert_eq!(export, "optimum-cli export onnx --task text-classification --model org/name name-onnx");
        assert_eq!(folder, "name-onnx");
    }

    #[test]
    fn the_cache_lies_where_the_hugging_face_libraries_put_it() {
        for (environment, expected) in [
            (&[("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("HOME", "/u")][..], "/a"),
            (&[("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/u")], "/b/hub"),
            (&[("HF_HOME", "~/b"), ("HOME", "/u")], "/u/b/hub"),
            (&[("XDG_CACHE_HOME", "/c"), ("HOME", "/u")], "/c/huggingface/hub"),
            (&[("HOME", "/u")], "/u/.cache/huggingface/hub"),
            (&[("USERPROFILE", "/w")], "/w/.cache/huggingface/hub"),
        ] {
            let variable = |name: &str| {
                environment.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
            };
            assert_eq!(cache_in(variable), Some(PathBuf::from(expected)));
        }
        assert_eq!(cache_in(|_| None), None);
    }
}
