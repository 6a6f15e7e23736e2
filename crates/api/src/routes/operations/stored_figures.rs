//! What is in the database now, in Prometheus' text form: the queues, and the sagas that are live.
//!
//! Written from what the database said, and not kept in the recorder of the process: that one would show
//! the last value of a target for ever after it is gone, and only what this process has seen.

use std::collections::BTreeMap;
use std::fmt::Write;

use orchestratum_core::saga::SagaStatus;
use orchestratum_store::Queue;

/// The name of a figure, what it says, and its value.
type Figure = (&'static str, &'static str, fn(&Queue) -> u64);

const QUEUE_FIGURES: [Figure; 4] = [
    (
        "orchestratum_queue_depth",
        "Pending tasks, those that wait for their time included.",
        |queue| queue.depth,
    ),
    (
        "orchestratum_queue_ready",
        "Pending tasks whose time has come.",
        |queue| queue.ready,
    ),
    ("orchestratum_queue_running", "Running tasks.", |queue| queue.running),
    ("orchestratum_queue_paused", "1 while the queue is paused.", |queue| {
        u64::from(queue.paused)
    }),
];

pub(super) fn write_queues(queues: &[Queue], text: &mut String) {
    for (name, help, value) in QUEUE_FIGURES {
        head(text, name, help);
        for queue in queues {
            let target = label(queue.target.as_str());
            line(text, format_args!("{name}{{target=\"{target}\"}} {}", value(queue)));
        }
    }
}

/// Each status that something leaves, also where there is no saga in it: an alert sees a zero and not a gap.
pub(super) fn write_sagas(sagas: &BTreeMap<SagaStatus, u64>, text: &mut String) {
    head(text, "orchestratum_sagas", "Sagas that are not over.");
    for status in SagaStatus::ALL.iter().filter(|status| !status.is_over()) {
        let many = sagas.get(status).copied().unwrap_or(0);
        line(text, format_args!("orchestratum_sagas{{status=\"{status}\"}} {many}"));
    }
}

fn head(text: &mut String, name: &str, help: &str) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} gauge"));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes every text");
}

fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
