//! What each figure of `/metrics` says.

use metrics::{describe_counter, describe_gauge, describe_histogram};

const COUNTERS: [(&str, &str); 39] = [
    ("orchestratum_announcements_total", "Hints that the broker has taken."),
    (
        "orchestratum_announcements_dropped_total",
        "Hints that were too many to be sent: the feeder repeats them.",
    ),
    (
        "orchestratum_announcements_failed_total",
        "Hints that the broker has not taken: the feeder repeats them.",
    ),
    (
        "orchestratum_announcements_unroutable_total",
        "Hints for which there is no queue: the feeder repeats them.",
    ),
    ("orchestratum_attempts_total", "Attempts that have ended, by how."),
    (
        "orchestratum_attempts_abandoned_total",
        "Attempts that a worker has left without an end.",
    ),
    (
        "orchestratum_broker_acknowledged_messages_total",
        "Messages that are done with.",
    ),
    (
        "orchestratum_broker_consumed_messages_total",
        "Messages that were given to this process.",
    ),
    (
        "orchestratum_broker_poison_messages_total",
        "Messages that cannot be read, by why.",
    ),
    (
        "orchestratum_broker_published_messages_total",
        "Messages that were sent, by what became of them.",
    ),
    (
        "orchestratum_broker_reconnects_total",
        "Connections to the broker that were made anew, by what they are for.",
    ),
    (
        "orchestratum_fed_total",
        "Hints that the feeder has sent for tasks that nobody had taken.",
    ),
    (
        "orchestratum_follow_ups_total",
        "Tasks that were made because another one, or a group, has ended.",
    ),
    (
        "orchestratum_follow_ups_missing_total",
        "Tasks that should come after others and could not be made.",
    ),
    (
        "orchestratum_gitlab_drifts_total",
        "Branches of waiting sagas that were found elsewhere than expected.",
    ),
    ("orchestratum_groups_created_total", "Groups that were created."),
    ("orchestratum_groups_ended_total", "Groups that are over, by how."),
    (
        "orchestratum_hints_not_offered_total",
        "Hints for tasks that this worker does not offer.",
    ),
    (
        "orchestratum_http_requests_total",
        "Requests that were answered, by method, route and status.",
    ),
    (
        "orchestratum_inbound_messages_total",
        "Messages of other programs that were read, by what became of them.",
    ),
    (
        "orchestratum_leases_fenced_total",
        "Leases that this worker could not renew in time: it has killed what it ran.",
    ),
    (
        "orchestratum_leases_lost_total",
        "Leases of this worker that another process has ended: it has killed what it ran.",
    ),
    (
        "orchestratum_messenger_queues_lost_total",
        "Queues for answers that were lost with what was on its way to them.",
    ),
    (
        "orchestratum_messenger_replies_total",
        "Answers of other programs, by whether somebody waited for them.",
    ),
    (
        "orchestratum_panics_total",
        "Faults of this program, by the part that has met one.",
    ),
    (
        "orchestratum_reports_refused_total",
        "Ends of attempts that came too late.",
    ),
    (
        "orchestratum_rows_purged_total",
        "Rows that were deleted because they were old.",
    ),
    ("orchestratum_saga_tasks_total", "Tasks that sagas have issued."),
    ("orchestratum_sagas_started_total", "Sagas that were begun."),
    ("orchestratum_sagas_ended_total", "Sagas that are over, by how."),
    (
        "orchestratum_sagas_stopped_total",
        "Sagas that only a person gets on, by their status.",
    ),
    ("orchestratum_scheduled_tasks_total", "Tasks that schedules have made."),
    (
        "orchestratum_scheduled_slots_skipped_total",
        "Times of schedules at which no task was made.",
    ),
    ("orchestratum_tasks_claimed_total", "Tasks that a worker has taken."),
    ("orchestratum_tasks_created_total", "Tasks that were created."),
    (
        "orchestratum_tasks_expired_by_sweep_total",
        "Tasks whose time to live was over while nobody worked on them.",
    ),
    (
        "orchestratum_tasks_met_total",
        "Tasks that were not created, as there was one that is unique.",
    ),
    (
        "orchestratum_tasks_rescued_total",
        "Tasks that were taken from a worker that does not answer.",
    ),
    (
        "orchestratum_workers_lost_total",
        "Workers that have not answered in time.",
    ),
];

const GAUGES: [(&str, &str); 2] = [
    ("orchestratum_celery_workers", "Workers of Celery that answer."),
    (
        "orchestratum_gitlab_sagas_overtaken",
        "Waiting sagas whose branch stands elsewhere than expected.",
    ),
];

const HISTOGRAMS: [(&str, &str); 1] = [(
    "orchestratum_http_request_duration_seconds",
    "How long requests have taken, by method and route.",
)];

pub(super) fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(name, help);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn named(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                named(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                // Put together, so that this is no call.
                let calls = ["counter", "gauge", "histogram"].map(|kind| format!("metrics::{kind}!("));
                for call in calls.iter().flat_map(|call| text.split(call.as_str()).skip(1)) {
                    let name = call.trim_start().trim_start_matches('"').split('"').next();
                    names.insert(name.unwrap_or_default().to_owned());
                }
            }
        }
    }

    #[test]
    fn every_figure_that_a_process_keeps_says_what_it_is() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder");
        let mut kept = BTreeSet::new();
        for folder in ["api", "broker", "engine", "worker"] {
            named(&crates.join(folder).join("src"), &mut kept);
        }
        let told = COUNTERS.iter().chain(&GAUGES).chain(&HISTOGRAMS);
        let told: BTreeSet<String> = told.map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(told, kept);
    }
}
