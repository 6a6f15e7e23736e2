//! Objects of git, read by `git cat-file --batch`.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};

use crate::gitlab::hexadecimal::hexadecimal;

#[derive(Debug)]
pub(super) struct Objects {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) content: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(in crate::gitlab) struct Commit {
    pub(in crate::gitlab) id: String,
    pub(in crate::gitlab) tree: String,
    pub(in crate::gitlab) parents: Vec<String>,
    pub(in crate::gitlab) author: Signature,
    pub(in crate::gitlab) committer: Signature,
    pub(in crate::gitlab) message: String,
}

#[derive(Debug, Clone, Default)]
pub(in crate::gitlab) struct Signature {
    pub(in crate::gitlab) name: String,
    pub(in crate::gitlab) email: String,
    pub(in crate::gitlab) seconds: i64,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gitlab) struct Entry {
    pub(in crate::gitlab) mode: String,
    pub(in crate::gitlab) id: String,
}

impl Entry {
    pub(in crate::gitlab) fn is_folder(&self) -> bool {
        self.mode == "40000"
    }

    pub(in crate::gitlab) fn is_executable(&self) -> bool {
        self.mode == "100755"
    }
}

impl Objects {
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(folder)
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("git does not start")?;
        let input = child.stdin.take().context("the input of git")?;
        let output = BufReader::new(child.stdout.take().context("the output of git")?);
        Ok(Self { child, input, output })
    }

    /// By any name that git knows; `None` if there is no such object.
    pub(super) fn get(&mut self, name: &str) -> anyhow::Result<Option<Object>> {
        if name.contains(['\n', '\0']) {
            return Ok(None);
        }
        self.input.write_all(format!("{name}\n").as_bytes())?;
        let mut head = String::new();
        self.output.read_line(&mut head)?;
        let words: Vec<&str> = head.split_whitespace().collect();
        let [id, "blob" | "tree" | "commit" | "tag", size] = words.as_slice() else {
            if head.is_empty() {
                bail!("git has ended");
            }
            return Ok(None);
        };
        let mut content = vec![0; size.parse::<usize>()? + 1];
        self.output.read_exact(&mut content)?;
        content.pop();
        let id = (*id).to_owned();
        Ok(Some(Object { id, content }))
    }

    pub(super) fn commit(&mut self, name: &str) -> anyhow::Result<Option<Commit>> {
        let object = self.get(&format!("{name}^{{commit}}"))?;
        Ok(object.map(|object| read_commit(&object)))
    }

    /// The entry of one name in a tree.
    pub(super) fn entry(&mut self, tree: &str, name: &str) -> anyhow::Result<Option<Entry>> {
        let Some(object) = self.get(tree)? else {
            return Ok(None);
        };
        let mut rest = object.content.as_slice();
        let id_length = object.id.len() / 2;
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            let id = rest.get(end + 1..end + 1 + id_length).context("a tree is cut off")?;
            rest = &rest[end + 1 + id_length..];
            let Some((mode, found)) = head.split_once(' ') else {
                bail!("a tree cannot be read");
            };
            if found == name {
                let id = hexadecimal(id);
                let mode = mode.to_owned();
                return Ok(Some(Entry { mode, id }));
            }
        }
        Ok(None)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_commit(object: &Object) -> Commit {
    let text = String::from_utf8_lossy(&object.content).into_owned();
    let (head, message) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut commit = Commit {
        id: object.id.clone(),
        tree: String::new(),
        parents: Vec::new(),
        author: Signature::default(),
        committer: Signature::default(),
        message: message.to_owned(),
    };
    for line in head.lines() {
        match line.split_once(' ') {
            Some(("tree", id)) => id.clone_into(&mut commit.tree),
            Some(("parent", id)) => commit.parents.push(id.to_owned()),
            Some(("author", text)) => commit.author = read_signature(text),
            Some(("committer", text)) => commit.committer = read_signature(text),
            _ => {}
        }
    }
    commit
}

/// `Name <address> seconds zone`
fn read_signature(text: &str) -> Signature {
    let (name, rest) = text.split_once(" <").unwrap_or((text, ""));
    let (email, time) = rest.split_once("> ").unwrap_or((rest, ""));
    let seconds = time.split(' ').next().and_then(|seconds| seconds.parse().ok());
    Signature {
        name: name.to_owned(),
        email: email.to_owned(),
        seconds: seconds.unwrap_or_default(),
    }
}
