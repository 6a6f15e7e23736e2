//! The queues in Prometheus' text form.
//!
//! Written from what the database said, and not kept in the recorder of the process: that one would show
//! the last value of a target for ever after it is gone.

use std::fmt::Write;

use orchestratum_store::Queue;

/// The name of a figure, what it says, and its value.
type Figure = (&'static str, &'static str, fn(&Queue) -> u64);

const FIGURES: [Figure; 4] = [
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

pub(super) fn write(queues: &[Queue], text: &mut String) {
    for (name, help, value) in FIGURES {
        line(text, format_args!("# HELP {name} {help}"));
        line(text, format_args!("# TYPE {name} gauge"));
        for queue in queues {
            let target = label(queue.target.as_str());
            line(text, format_args!("{name}{{target=\"{target}\"}} {}", value(queue)));
        }
    }
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
