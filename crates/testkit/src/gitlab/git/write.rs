//! Commits, each by one process of `git fast-import`: all of it, or nothing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::objects::Commit;
use super::repository::Repository;

#[derive(Debug, Clone)]
pub(in crate::gitlab) struct Author {
    pub(in crate::gitlab) name: String,
    pub(in crate::gitlab) email: String,
}

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gitlab) struct Put {
    path: String,
    /// `None`: it goes.
    content: Option<(String, Content)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    New(Vec<u8>),
    /// A blob that is there.
    Same(String),
}

impl Put {
    pub(in crate::gitlab) fn file(path: impl Into<String>, mode: &str, content: Vec<u8>) -> Self {
        Self {
            path: path.into(),
            content: Some((mode.to_owned(), Content::New(content))),
        }
    }

    pub(in crate::gitlab) fn same(path: impl Into<String>, mode: &str, blob: &str) -> Self {
        Self {
            path: path.into(),
            content: Some((mode.to_owned(), Content::Same(blob.to_owned()))),
        }
    }

    pub(in crate::gitlab) fn gone(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            content: None,
        }
    }
}

impl Repository {
    /// Moves the branch to a new commit on top of `from`, or makes it there.
    pub(in crate::gitlab) fn write(
        &mut self,
        branch: &str,
        from: Option<&Commit>,
        author: &Author,
        message: &str,
        puts: &[Put],
    ) -> anyhow::Result<Commit> {
        let stream = stream(branch, from, author, message, puts)?;
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(&self.folder)
            // A killed process loses nothing that it wrote, and no test turns the machine off.
            .args(["-c", "core.fsync=none", "-c", "fastimport.unpackLimit=0"])
            .args(["fast-import", "--quiet", "--date-format=now"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("git does not start")?;
        child.stdin.take().context("the input of git")?.write_all(&stream)?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "git makes no commit: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        self.branch(branch)?.context("the commit is not there")
    }
}

fn stream(
    branch: &str,
    from: Option<&Commit>,
    author: &Author,
    message: &str,
    puts: &[Put],
) -> anyhow::Result<Vec<u8>> {
    let plain = |text: &str| text.replace(['<', '>', '\n', '\0'], " ").trim().to_owned();
    let (name, email) = (plain(&author.name), plain(&author.email));
    let mut head = String::new();
    writeln!(head, "commit refs/heads/{branch}")?;
    writeln!(head, "author {name} <{email}> now\ncommitter {name} <{email}> now")?;
    writeln!(head, "data {}\n{message}", message.len())?;
    if let Some(from) = from {
        writeln!(head, "from {}", from.id)?;
    }
    let mut stream = head.into_bytes();
    for put in puts {
        let path = quoted(&put.path);
        match &put.content {
            None => writeln!(stream, "D {path}")?,
            Some((mode, Content::Same(blob))) => writeln!(stream, "M {mode} {blob} {path}")?,
            Some((mode, Content::New(content))) => {
                writeln!(stream, "M {mode} inline {path}\ndata {}", content.len())?;
                stream.extend_from_slice(content);
                stream.push(b'\n');
            }
        }
    }
    stream.extend_from_slice(b"\ndone\n");
    Ok(stream)
}

fn quoted(path: &str) -> String {
    let escaped = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
