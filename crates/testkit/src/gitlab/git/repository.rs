use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::objects::{Commit, Entry, Objects};
use super::write::{Author, Put};
use crate::gitlab::DEFAULT_BRANCH;

const FIRST_AUTHOR: (&str, &str) = ("Alice", "alice@example.com");

#[derive(Debug)]
pub(in crate::gitlab) struct Repository {
    pub(super) folder: PathBuf,
    objects: Objects,
}

impl Repository {
    /// Makes it where it is not there yet, with one commit.
    pub(in crate::gitlab) fn open(folder: &Path) -> anyhow::Result<Self> {
        if !folder.join("HEAD").exists() {
            fs::create_dir_all(folder)?;
            let mut init = Command::new("git");
            init.args(["init", "--quiet", "--bare", "--initial-branch", DEFAULT_BRANCH])
                .arg(folder);
            anyhow::ensure!(
                init.status().context("git does not start")?.success(),
                "git makes no repository"
            );
        }
        let mut repository = Self {
            folder: folder.to_owned(),
            objects: Objects::open(folder)?,
        };
        if repository.branch(DEFAULT_BRANCH)?.is_none() {
            let readme = Put::file("README.md", "100644", b"# proj\n".to_vec());
            let (name, email) = FIRST_AUTHOR;
            let author = Author {
                name: name.to_owned(),
                email: email.to_owned(),
            };
            repository.write(DEFAULT_BRANCH, None, &author, "Initial commit", &[readme])?;
        }
        Ok(repository)
    }

    pub(in crate::gitlab) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest commit of a branch.
    pub(in crate::gitlab) fn branch(&mut self, name: &str) -> anyhow::Result<Option<Commit>> {
        if !is_plain(name) {
            return Ok(None);
        }
        self.objects.commit(&format!("refs/heads/{name}"))
    }

    /// What a branch or the hash of a commit leads to.
    pub(in crate::gitlab) fn resolve(&mut self, reference: &str) -> anyhow::Result<Option<Commit>> {
        let name = if reference == "HEAD" { DEFAULT_BRANCH } else { reference };
        if let Some(commit) = self.branch(name)? {
            return Ok(Some(commit));
        }
        let is_hash = name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { self.objects.commit(name) } else { Ok(None) }
    }

    pub(in crate::gitlab) fn branches(&self) -> anyhow::Result<Vec<String>> {
        let names = self.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// What a path leads to at a commit.
    pub(in crate::gitlab) fn entry(&mut self, commit: &Commit, path: &str) -> anyhow::Result<Option<Entry>> {
        let mut tree = commit.tree.clone();
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            match self.objects.entry(&tree, segment)? {
                Some(entry) if segments.peek().is_none() => return Ok(Some(entry)),
                Some(entry) if entry.is_folder() => tree = entry.id,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    pub(in crate::gitlab) fn blob(&mut self, id: &str) -> anyhow::Result<Vec<u8>> {
        Ok(self.objects.get(id)?.context("a blob is not there")?.content)
    }

    /// The commit that gave a path what it has: as `git log -1 -- path`, a merge is followed to a parent that has the same.
    pub(in crate::gitlab) fn last_commit_of(&mut self, commit: &Commit, path: &str) -> anyhow::Result<String> {
        let mut commit = commit.clone();
        let entry = self.entry(&commit, path)?;
        'older: loop {
            for parent in &commit.parents {
                let parent = self.objects.commit(parent)?.context("a parent is not there")?;
                if self.entry(&parent, path)? == entry {
                    commit = parent;
                    continue 'older;
                }
            }
            return Ok(commit.id);
        }
    }

    /// Newest first.
    pub(in crate::gitlab) fn log(&mut self, from: &Commit) -> anyhow::Result<Vec<Commit>> {
        let ids = self.git(&["rev-list", "--topo-order", &from.id])?;
        ids.lines()
            .map(|id| self.objects.commit(id)?.context("a commit is not there"))
            .collect()
    }

    pub(in crate::gitlab) fn is_merged(&self, commit: &Commit, into: &Commit) -> bool {
        self.git(&["merge-base", "--is-ancestor", &commit.id, &into.id]).is_ok()
    }

    /// Lines that a commit added and took away.
    pub(in crate::gitlab) fn lines_changed(&self, commit: &Commit) -> anyhow::Result<(u64, u64)> {
        let changed = self.git(&["diff-tree", "--root", "--numstat", "-r", "--no-commit-id", &commit.id])?;
        let mut sum = (0, 0);
        for line in changed.lines() {
            let mut numbers = line.split('\t').map(|number| number.parse::<u64>().unwrap_or(0));
            sum.0 += numbers.next().unwrap_or(0);
            sum.1 += numbers.next().unwrap_or(0);
        }
        Ok(sum)
    }

    /// Of the files that a commit changed.
    pub(in crate::gitlab) fn paths_of(&self, commit: &Commit) -> anyhow::Result<Vec<String>> {
        let arguments = [
            "diff-tree",
            "--root",
            "--name-only",
            "-r",
            "-z",
            "--no-renames",
            "--no-commit-id",
            &commit.id,
        ];
        let paths = self.git(&arguments)?;
        Ok(paths
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect())
    }

    pub(in crate::gitlab) fn is_branch_name(&self, name: &str) -> bool {
        is_plain(name) && self.git(&["check-ref-format", "--branch", name]).is_ok()
    }

    pub(in crate::gitlab) fn make_branch(&self, name: &str, commit: &Commit) -> anyhow::Result<()> {
        self.git(&["update-ref", &format!("refs/heads/{name}"), &commit.id, ""])
            .map(drop)
    }

    pub(in crate::gitlab) fn delete_branch(&self, name: &str) -> anyhow::Result<()> {
        self.git(&["update-ref", "-d", &format!("refs/heads/{name}")]).map(drop)
    }

    pub(super) fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("git");
        command
            .arg("--git-dir")
            .arg(&self.folder)
            .args(arguments)
            .stdin(Stdio::null());
        let output = command.output().context("git does not start")?;
        if !output.status.success() {
            bail!(
                "git {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A name, and nothing that git would compute with.
fn is_plain(name: &str) -> bool {
    let computes = |character: char| character.is_control() || " ~^:?*[\\".contains(character);
    !name.is_empty() && !name.contains(computes) && !name.contains("..") && !name.contains("@{")
}
