//! The file of a day, which takes only so much of it: a disk that is full ends more than the logs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};

use super::Role;
use crate::{LogFormat, LogSettings, clock};

const SUFFIX: &str = "log";

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
    full: bool,
    /// What a file that is full ends with.
    last_line: String,
}

impl DailyFile {
    pub(super) fn open(folder: &Path, role: Role, settings: &LogSettings) -> Result<Self, InitError> {
        // A folder that cannot be made is told of by the appender.
        let _ = fs::create_dir_all(folder);
        let file = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix(role.as_str())
            .filename_suffix(SUFFIX)
            .max_log_files(settings.max_files.max(1))
            .build(folder)?;
        let max_mib = settings.max_file_mib.get();
        let last_line = last_line(max_mib, settings.format);
        let written = newest_bytes(folder, role);
        Ok(Self::new(
            file,
            clock::day,
            written,
            u64::from(max_mib) << 20,
            last_line,
        ))
    }
}

impl<W> DailyFile<W> {
    fn new(file: W, today: fn() -> u64, bytes: u64, max_bytes: u64, last_line: String) -> Self {
        Self {
            file,
            today,
            day: today(),
            bytes,
            max_bytes,
            full: bytes >= max_bytes,
            last_line,
        }
    }
}

/// Each call is one line.
impl<W: Write> Write for DailyFile<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let today = (self.today)();
        // The appender takes a new file then, and never an old one again.
        if today > self.day {
            (self.day, self.bytes, self.full) = (today, 0, false);
        }
        let bytes = self.bytes.saturating_add(line.len() as u64);
        if self.full {
            return Ok(line.len());
        }
        if bytes > self.max_bytes {
            self.full = true;
            self.file.write_all(self.last_line.as_bytes())?;
        } else {
            self.file.write_all(line)?;
            self.bytes = bytes;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn last_line(max_mib: u32, format: LogFormat) -> String {
    let message = format!("this file has logs.max_file_mib = {max_mib}: what comes later today is on the console only");
    match format {
        LogFormat::Text => format!("WARN {message}\n"),
        LogFormat::Json => format!("{{\"level\":\"WARN\",\"message\":\"{message}\"}}\n"),
    }
}

/// What is in the file of today already: its name has the date, so it is the last one.
fn newest_bytes(folder: &Path, role: Role) -> u64 {
    let (prefix, suffix) = (format!("{}.", role.as_str()), format!(".{SUFFIX}"));
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
    fn a_full_file_says_so_in_its_last_line_and_the_next_day_begins_anew() {
        static TODAY: AtomicU64 = AtomicU64::new(7);
        let today = || TODAY.load(Ordering::Relaxed);
        let mut file = DailyFile::new(Vec::new(), today, 4, 12, "full\n".to_owned());
        for line in ["one\n", "two\n", "three\n", "4\n"] {
            file.write_all(line.as_bytes()).expect("a vector takes all");
        }
        assert_eq!(written(&file), "one\ntwo\nfull\n");
        TODAY.store(8, Ordering::Relaxed);
        file.write_all(b"five\n").expect("a vector takes all");
        TODAY.store(7, Ordering::Relaxed);
        file.write_all(b"six six\n").expect("a vector takes all");
        assert_eq!(written(&file), "one\ntwo\nfull\nfive\nfull\n");
    }

    #[test]
    fn a_file_that_was_full_before_the_start_stays_as_it_is() {
        let mut file = DailyFile::new(Vec::new(), || 7, 12, 12, "full\n".to_owned());
        file.write_all(b"one\n").expect("a vector takes all");
        assert_eq!(written(&file), "");
    }

    #[test]
    fn only_the_newest_file_of_the_role_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest_bytes(folder.path(), Role::Api), 0);
        let files = [
            ("api.2026-01-09.log", 3),
            ("api.2026-01-10.log", 5),
            ("worker.2026-01-11.log", 7),
            ("api.2026-01-12.txt", 9),
        ];
        for (name, bytes) in files {
            fs::write(folder.path().join(name), vec![b'x'; bytes]).expect("written");
        }
        assert_eq!(newest_bytes(folder.path(), Role::Api), 5);
    }

    #[test]
    fn the_last_line_has_the_form_of_the_others() {
        let line = last_line(512, LogFormat::Json);
        let document: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(document["level"], "WARN");
        assert!(last_line(512, LogFormat::Text).contains("logs.max_file_mib = 512"));
    }
}
