//! What is of this machine and of the worker's user, and has to be afterwards as it was before.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Bench;

pub(super) struct Canaries {
    /// Programs may not even read what is in it.
    hidden: TempDir,
    /// They may read a copy of the shell that is in it.
    shown: TempDir,
    process: Child,
    before: Vec<String>,
}

impl Canaries {
    pub(super) fn new() -> Self {
        let hidden = tempfile::tempdir().expect("a folder");
        fs::write(hidden.path().join("canary"), "canary").expect("written");
        let shown = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        // For users of programs that are not that of the worker.
        fs::set_permissions(shown.path(), Permissions::from_mode(0o755)).expect("it is ours");
        fs::copy("/bin/sh", shown.path().join("sh")).expect("copied");
        let process = Command::new("sleep").arg("300").spawn().expect("a process");
        let mut canaries = Self {
            hidden,
            shown,
            process,
            before: Vec::new(),
        };
        canaries.before = canaries.look();
        canaries
    }

    /// The shell of a worker that shows it to its programs.
    pub(super) fn shell(&self) -> String {
        self.shown.path().join("sh").to_str().expect("UTF-8").to_owned()
    }

    pub(super) fn hidden_file(&self) -> PathBuf {
        self.hidden.path().join("canary")
    }

    /// What attempts are told of them.
    pub(super) fn known(&self) -> [(&'static str, Value); 4] {
        [
            ("CANARY_FILE", json!(self.hidden_file())),
            ("CANARY_FOLDER", json!(self.hidden.path())),
            ("SHOWN_FILE", json!(self.shell())),
            ("CANARY_PROCESS", json!(self.process.id())),
        ]
    }

    /// They are as they were, and the folder of the worker is its own.
    pub(super) fn assert_unchanged(&self, bench: &Bench, level: &str) {
        const WRITABLE_FOR_OTHERS: u32 = 0o002;
        assert_eq!(self.look(), self.before, "{level}");
        assert_eq!(
            fs::read_to_string(self.hidden_file()).expect("it is there"),
            "canary",
            "{level}"
        );
        for folder in fs::read_dir(bench.work_dir.path()).expect("it is there") {
            let found = folder.and_then(|folder| folder.metadata()).expect("it is there");
            assert_eq!(found.mode() & WRITABLE_FOR_OTHERS, 0, "{level}");
        }
    }

    fn look(&self) -> Vec<String> {
        let folders = [self.hidden.path(), self.shown.path()];
        let within = folders.iter().flat_map(|folder| {
            let entries = fs::read_dir(folder).expect("it is there");
            entries.map(|entry| entry.expect("it is there").path())
        });
        let mut seen: Vec<String> = folders.iter().map(|folder| file(folder)).collect();
        seen.extend(within.map(|path| file(&path)));
        seen.push(process(self.process.id()));
        seen
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whatever is changed about a file, the time of its last change is, too.
fn file(path: &Path) -> String {
    let found = fs::symlink_metadata(path).expect("it is there");
    let changed = (found.ctime(), found.ctime_nsec());
    let modified = (found.mtime(), found.mtime_nsec());
    let owner = (found.uid(), found.gid());
    format!(
        "{} {:o} {owner:?} {} bytes, {} links, modified {modified:?}, changed {changed:?}",
        path.display(),
        found.mode(),
        found.len(),
        found.nlink()
    )
}

fn process(id: u32) -> String {
    const PRIORITY: usize = 16;
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).expect("it lives");
    let stat = read("stat");
    // Behind the name, which is in brackets: the state, and some fields later how nice it is.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let is_stopped = fields.starts_with(['T', 't']);
    let priority = fields.split(' ').nth(PRIORITY);
    let status = read("status");
    let processors = status.lines().find(|line| line.starts_with("Cpus_allowed:"));
    let first_to_go = read("oom_score_adj");
    let limits = read("limits");
    format!("stopped: {is_stopped}, {priority:?}, {processors:?}, {first_to_go}, {limits}")
}
