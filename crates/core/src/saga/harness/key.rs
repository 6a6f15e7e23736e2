//! What makes two worlds different, apart from how often something has happened.

use std::fmt::Write as _;

use crate::JsonText;
use crate::saga::instance::{Cause, LiveEnd, Outcome, Phase, Then};
use crate::saga::simulate::World;

/// Without numbers of tasks, entries and versions: what runs and what is registered, in its order, and where it all stands.
pub(super) fn key(world: &World) -> String {
    let instance = &world.instance;
    let mut key = String::new();
    let phase = match &instance.phase {
        Phase::Created => "created".to_owned(),
        Phase::Running => "running".to_owned(),
        Phase::Ending { end } => format!("ending {end}"),
        Phase::Settling { then } => format!("settling {}", goal(then)),
        Phase::Undoing { then } => format!("undoing {}", goal(then)),
        Phase::Stuck { then, .. } => format!("stuck {}", goal(then)),
        Phase::Ended { end } => format!("ended {end}"),
    };
    put(
        &mut key,
        &[&instance.state, &phase, &instance.is_timed_out, &instance.input],
    );
    for (name, value) in &instance.context {
        put(&mut key, &[name, value]);
    }
    for running in world.running.values() {
        let live = instance.live.get(&running.number);
        let undo = live.map_or(0, |live| live.compensation.len());
        let is_armed = live.is_some_and(|live| instance.is_armed(live));
        let place = live.map_or(0, |live| match live.end {
            LiveEnd::Raises(_) => 0,
            LiveEnd::Joins { index, .. } => index + 1,
        });
        let input = running.input.as_ref().map_or("", JsonText::as_str);
        put(
            &mut key,
            &[&running.name, &input, &running.is_cancelled, &undo, &is_armed, &place],
        );
    }
    for timer in world.timers.keys() {
        put(&mut key, &[&timer.kind(), &timer.index()]);
    }
    for undo in &instance.stack {
        let input = undo.task.input.as_ref().map_or("", JsonText::as_str);
        put(&mut key, &[&undo.task.name, &input]);
    }
    for joining in instance.joins.values() {
        for outcome in &joining.outcomes {
            let how = match outcome {
                None => "open",
                Some(Outcome::Succeeded { .. }) => "well",
                Some(Outcome::Unsuccessful { .. }) => "badly",
            };
            put(&mut key, &[&how]);
        }
    }
    for event in &instance.deferred {
        put(&mut key, &[&event.name, &event.data]);
    }
    for parked in &instance.parked {
        let cause = match &parked.cause {
            Cause::Event(event) => format!("event {} {}", event.name, event.data),
            Cause::Timer(timer) => format!("timer {} {}", timer.kind(), timer.index()),
            Cause::Task { live, .. } => format!("task {} {}", live.compensation.len(), instance.is_armed(live)),
            Cause::Join { .. } => "join".to_owned(),
            Cause::Entry { event, .. } => format!("entry {}", event.name),
        };
        put(&mut key, &[&cause]);
    }
    put(&mut key, &[&instance.not_undone.len()]);
    key
}

fn goal(then: &Then) -> String {
    match then {
        Then::Enter { target, .. } => target.to_string(),
        Then::Cancelled => "cancelled".to_owned(),
    }
}

fn put(key: &mut String, parts: &[&dyn std::fmt::Display]) {
    for part in parts {
        write!(key, "{part}\u{1f}").expect("a String takes every text");
    }
    key.push('\n');
}
