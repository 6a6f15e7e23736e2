//! The file of a day, which takes only so much of it: a disk that is full ends more than the logs.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use tracing::{Level, Metadata};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::fmt::MakeWriter;

use super::Role;
use crate::{LogFormat, LogSettings, clock};

const SUFFIX: &str = "log";

/// The part of a file that is kept for warnings and errors: once the rest is full, only they are written.
const KEPT_FOR_WARNINGS: u64 = 8;

/// What a line begins with on its way to the file, and not in it.
const ORDINARY: u8 = b'.';
const WARNING: u8 = b'!';

/// Marks the lines on their way to a [`DailyFile`], which knows nothing else of their level.
#[derive(Debug)]
pub(super) struct Marked<M>(pub(super) M);

/// One line, under its mark.
#[derive(Debug)]
pub(super) struct MarkedLine<W> {
    mark: u8,
    to: W,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Marked<M> {
    type Writer = MarkedLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        MarkedLine {
            mark: ORDINARY,
            to: self.0.make_writer(),
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let is_warning = *metadata.level() <= Level::WARN;
        MarkedLine {
            mark: if is_warning { WARNING } else { ORDINARY },
            to: self.0.make_writer_for(metadata),
        }
    }
}

impl<W: Write> Write for MarkedLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut marked = Vec::with_capacity(line.len() + 1);
        marked.push(self.mark);
        marked.extend_from_slice(line);
        self.to.write_all(&marked)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes lines into the file of today, until it is full.
#[derive(Debug)]
pub(super) struct DailyFile<W = RollingFileAppender> {
    file: W,
    /// The number of today.
    today: fn() -> u64,
    /// The day that `bytes` are of.
    day: u64,
    bytes: u64,
    max_bytes: u64,
    /// Full but for warnings; said by `notice`.
    full: bool,
    notice: String,
    /// Keeps other processes from the file.
    _lock: Option<File>,
}

impl DailyFile {
    pub(super) fn open(folder: &Path, role: Role, settings: &LogSettings) -> Result<Self, InitError> {
        // A folder that cannot be made is told of by the appender.
        let _ = fs::create_dir_all(folder);
        let (prefix, lock) = own_prefix(folder, role);
        let file = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix(prefix.as_str())
            .filename_suffix(SUFFIX)
            .max_log_files(settings.max_files.max(1))
            .build(folder)?;
        let max_mib = settings.max_file_mib.get();
        let notice = notice(max_mib, settings.format);
        let written = newest_bytes(folder, &prefix);
        Ok(Self {
            _lock: lock,
            ..Self::new(file, clock::day, written, u64::from(max_mib) << 20, notice)
        })
    }
}

impl<W> DailyFile<W> {
    fn new(file: W, today: fn() -> u64, bytes: u64, max_bytes: u64, notice: String) -> Self {
        Self {
            file,
            today,
            day: today(),
            bytes,
            max_bytes,
            full: bytes >= max_bytes - max_bytes / KEPT_FOR_WARNINGS,
            notice,
            _lock: None,
        }
    }
}

/// Each call is one line under its mark.
impl<W: Write> Write for DailyFile<W> {
    fn write(&mut self, marked: &[u8]) -> io::Result<usize> {
        let Some((mark, line)) = marked.split_first() else {
            return Ok(0);
        };
        let today = (self.today)();
        // The appender takes a new file then, and never an old one again.
        if today > self.day {
            (self.day, self.bytes, self.full) = (today, 0, false);
        }
        let bytes = self.bytes.saturating_add(line.len() as u64);
        let for_all = self.max_bytes - self.max_bytes / KEPT_FOR_WARNINGS;
        if bytes > for_all && !self.full {
            self.full = true;
            self.file.write_all(self.notice.as_bytes())?;
        }
        let most = if *mark == WARNING { self.max_bytes } else { for_all };
        if bytes <= most && (*mark == WARNING || !self.full) {
            self.file.write_all(line)?;
            self.bytes = bytes;
        }
        Ok(marked.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn notice(max_mib: u32, format: LogFormat) -> String {
    let message = format!(
        "this file comes near logs.max_file_mib = {max_mib}: of what comes later today only warnings and errors are in \
         it, the rest is on the console only"
    );
    match format {
        LogFormat::Text => format!("WARN {message}\n"),
        LogFormat::Json => format!("{{\"level\":\"WARN\",\"message\":\"{message}\"}}\n"),
    }
}

/// What the files of this process begin with: its role, behind a number where another process of that role writes to this
/// folder. Lines of two in one file could not be told apart, and each would count only its own.
fn own_prefix(folder: &Path, role: Role) -> (String, Option<File>) {
    /// Further ones share the file of the first.
    const PROCESSES_MOST: u32 = 1_000;
    let role = role.as_str();
    for number in 1..=PROCESSES_MOST {
        // Not behind the role: the appender takes whatever begins with its prefix for a file that it may delete one day.
        let prefix = match number {
            1 => role.to_owned(),
            further => format!("{further}.{role}"),
        };
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let Ok(lock) = options.open(folder.join(format!(".{prefix}.lock"))) else {
            break;
        };
        match lock.try_lock() {
            Ok(()) => return (prefix, Some(lock)),
            Err(TryLockError::WouldBlock) => {}
            // Such as on a disk that knows no locks.
            Err(TryLockError::Error(_)) => break,
        }
    }
    (role.to_owned(), None)
}

/// What is in the file of today already: its name has the date, so it is the last one.
fn newest_bytes(folder: &Path, prefix: &str) -> u64 {
    let (prefix, suffix) = (format!("{prefix}."), format!(".{SUFFIX}"));
    let files = fs::read_dir(folder).into_iter().flatten().flatten().filter(|file| {
        let name = file.file_name();
        name.to_str()
            .is_some_and(|name| name.starts_with(&prefix) && name.ends_with(&suffix))
    });
    let newest = files.max_by_key(fs::DirEntry::file_name);
    newest
        .and_then(|file| file.metadata().ok())
        .map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn written(file: &DailyFile<Vec<u8>>) -> &str {
        str::from_utf8(&file.file).expect("it was text")
    }

    #[test]
    fn a_full_file_says_so_and_takes_warnings_only_and_the_next_day_begins_anew() {
        static TODAY: AtomicU64 = AtomicU64::new(7);
        let today = || TODAY.load(Ordering::Relaxed);
        let mut file = DailyFile::new(Vec::new(), today, 4, 16, "full\n".to_owned());
        for line in [".one\n", ".two\n", ".three\n", ".4\n", "!e\n", "!too much\n", ".5\n"] {
            file.write_all(line.as_bytes()).expect("a vector takes all");
        }
        assert_eq!(written(&file), "one\ntwo\nfull\ne\n");
        TODAY.store(8, Ordering::Relaxed);
        file.write_all(b".five\n").expect("a vector takes all");
        TODAY.store(7, Ordering::Relaxed);
        file.write_all(b".six six six\n").expect("a vector takes all");
        assert_eq!(written(&file), "one\ntwo\nfull\ne\nfive\nfull\n");
    }

    #[test]
    fn a_file_that_was_full_before_the_start_stays_as_it_is() {
        let mut file = DailyFile::new(Vec::new(), || 7, 12, 12, "full\n".to_owned());
        file.write_all(b".one\n").expect("a vector takes all");
        assert_eq!(written(&file), "");
    }

    #[test]
    fn processes_of_one_role_have_files_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let prefix = |role| own_prefix(folder.path(), role);
        let (first, first_lock) = prefix(Role::Worker);
        let (second, _second_lock) = prefix(Role::Worker);
        let (other, _other_lock) = prefix(Role::Api);
        assert_eq!([first, second, other], ["worker", "2.worker", "api"]);
        drop(first_lock);
        assert_eq!(prefix(Role::Worker).0, "worker", "that of one that has ended");
        let nowhere = folder.path().join("nowhere");
        assert_eq!(own_prefix(&nowhere, Role::Worker).0, "worker");
    }

    #[test]
    fn only_the_newest_file_of_the_role_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest_bytes(folder.path(), "api"), 0);
        let files = [
            ("api.2026-01-09.log", 3),
            ("api.2026-01-10.log", 5),
            ("worker.2026-01-11.log", 7),
            ("api.2026-01-12.txt", 9),
        ];
        for (name, bytes) in files {
            fs::write(folder.path().join(name), vec![b'x'; bytes]).expect("written");
        }
        assert_eq!(newest_bytes(folder.path(), "api"), 5);
    }

    #[test]
    fn the_notice_has_the_form_of_the_others() {
        let line = notice(512, LogFormat::Json);
        let document: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(document["level"], "WARN");
        assert!(notice(512, LogFormat::Text).contains("logs.max_file_mib = 512"));
    }
}
