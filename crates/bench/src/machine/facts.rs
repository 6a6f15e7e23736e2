//! What a reader must know of the machine to judge a figure.

use std::fs;
use std::thread;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    cores: usize,
    processor: String,
    memory_mib: u64,
    kernel: String,
    /// Of the last minute when the benchmark began: a figure taken on a busy machine is worth little.
    load_average: String,
}

impl Facts {
    pub(crate) fn gather() -> Self {
        let memory = field("/proc/meminfo", "MemTotal");
        let kibibytes: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            memory_mib: kibibytes / 1024,
            kernel: text("/proc/sys/kernel/osrelease"),
            load_average: first_word(&text("/proc/loadavg")),
        }
    }

    /// How many programs run at a time where each has a processor.
    pub(crate) fn lanes(&self) -> u32 {
        u32::try_from(self.cores).unwrap_or(u32::MAX)
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = text(path);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name);
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}
