//! The files of the checkout, without what `.gitignore` leaves out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Every file by its path in the checkout; those that are no text are named only.
#[derive(Debug)]
pub(super) struct Tree {
    files: BTreeMap<PathBuf, Option<String>>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let patterns = fs::read_to_string(root.join(".gitignore")).context("cannot read .gitignore")?;
        let ignored = Ignored::parse(&patterns)?;
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(root.join(&folder));
            for entry in entries.with_context(|| format!("cannot list {}", folder.display()))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if ignored.contains(&path) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else {
                    // Others may be at work in the checkout: a file that is gone by now is no finding.
                    let Ok(bytes) = fs::read(entry.path()) else { continue };
                    files.insert(path, String::from_utf8(bytes).ok());
                }
            }
        }
        Ok(Self { files })
    }

    pub(super) fn text(&self, path: &Path) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_path(), text.as_deref()?)))
    }

    /// Whether a file or a folder is there.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file.starts_with(path))
    }

    pub(super) fn names_in(&self, folder: &str) -> Vec<&str> {
        let inside = self
            .files
            .keys()
            .filter(|path| path.parent() == Some(Path::new(folder)));
        inside.filter_map(|path| path.file_name()?.to_str()).collect()
    }
}

/// The two forms our `.gitignore` uses: a path from the top, and an ending.
#[derive(Debug)]
struct Ignored {
    paths: Vec<PathBuf>,
    endings: Vec<String>,
}

impl Ignored {
    fn parse(patterns: &str) -> Result<Self> {
        let mut ignored = Self {
            paths: vec![PathBuf::from(".git")],
            endings: Vec::new(),
        };
        for pattern in patterns
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some(path) = pattern.strip_prefix('/') {
                ignored.paths.push(PathBuf::from(path.trim_end_matches('/')));
            } else if let Some(ending) = pattern.strip_prefix('*') {
                ignored.endings.push(ending.to_owned());
            } else {
                bail!(
                    ".gitignore has `{pattern}`: write it as `/path` or `*.ending`, which the tidy checks understand"
                );
            }
        }
        Ok(ignored)
    }

    fn contains(&self, path: &Path) -> bool {
        self.paths.iter().any(|ignored| ignored == path)
            || path
                .to_str()
                .is_some_and(|path| self.endings.iter().any(|ending| path.ends_with(ending.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_are_the_folders_and_endings_of_the_list() {
        let ignored = Ignored::parse("/target\n# built\n*.db\n").expect("both forms are known");
        assert!(ignored.contains(Path::new("target")));
        assert!(ignored.contains(Path::new("crates/store/x.db")));
        assert!(!ignored.contains(Path::new("crates/target")));
    }

    #[test]
    fn a_pattern_of_another_form_is_an_error_and_not_overlooked() {
        assert!(Ignored::parse("!keep").is_err());
    }
}
