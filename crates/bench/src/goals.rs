//! What must be reached, as ratios of one run where there is something to compare with.

use serde::Serialize;

use crate::arguments::Measure;
use crate::results::{Results, System};

/// A goal and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) goal: String,
    pub(crate) ours: f64,
    pub(crate) reference: Option<f64>,
    /// What is held against the limit: the ratio where there is a reference, otherwise the figure itself.
    pub(crate) value: f64,
    pub(crate) limit: Limit,
    pub(crate) reached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

type Figure = (Measure, System, &'static str);

enum Goal {
    Ratio(&'static str, Figure, Figure, Limit),
    Absolute(&'static str, Figure, Limit),
    /// At most so many times the reference, or so much more than it.
    Grown(&'static str, Figure, Figure, f64, f64),
}

use Goal::{Absolute, Grown, Ratio};
use Limit::{AtLeast, AtMost};
use Measure::{
    Backlog, Balance, Chains, CodeLatency, Create, Csharp, Drain, Events, External, Groups, History, Idle, Latency,
    Memory, Neighbour, Python, Sagas, Sandbox, Schedules, Soak,
};
use System::{
    Bubblewrap, Celery, CeleryInterpreter, CeleryResults, Dbos, DotnetCold, Pgbench, PostgresAlone, PostgresRabbitmq,
    Restate, Sqlite, WarmFork,
};

const RATE: &str = "tasks/s";
const SINGLE: &str = "single tasks/s";

#[rustfmt::skip]
const GOALS: &[Goal] = &[
    Ratio("Drain, PostgreSQL + RabbitMQ : Celery", (Drain, PostgresRabbitmq, RATE), (Drain, Celery, RATE), AtLeast(5.0)),
    Ratio("Drain, PostgreSQL + RabbitMQ : Celery with results", (Drain, PostgresRabbitmq, RATE), (Drain, CeleryResults, RATE), AtLeast(25.0)),
    Ratio("Drain, PostgreSQL alone : Celery", (Drain, PostgresAlone, RATE), (Drain, Celery, RATE), AtLeast(10.0)),
    Ratio("Drain, SQLite : Celery", (Drain, Sqlite, RATE), (Drain, Celery, RATE), AtLeast(10.0)),
    Ratio("Drain, PostgreSQL + RabbitMQ : the statements alone", (Drain, PostgresRabbitmq, RATE), (Drain, Pgbench, RATE), AtLeast(0.6)),
    Absolute("CPU s per 1,000 drained, all processes", (Drain, PostgresRabbitmq, "CPU s per 1,000"), AtMost(0.12)),
    Ratio("Create, single, 32 in flight : Celery with confirms", (Create, PostgresRabbitmq, SINGLE), (Create, Celery, SINGLE), AtLeast(5.0)),
    Ratio("Create, batches of 1,000 : Celery with confirms", (Create, PostgresRabbitmq, "batched tasks/s"), (Create, Celery, SINGLE), AtLeast(25.0)),
    Ratio("Start p50 at 100/s : Celery", (Latency, PostgresRabbitmq, "start p50 ms"), (Latency, Celery, "start p50 ms"), AtMost(1.5)),
    Absolute("Start p99 at 100/s, ms", (Latency, PostgresRabbitmq, "start p99 ms"), AtMost(10.0)),
    Ratio("Recorded p50 at 100/s : Celery with results", (Latency, PostgresRabbitmq, "recorded p50 ms"), (Latency, CeleryResults, "recorded p50 ms"), AtMost(1.0)),
    Absolute("Recorded p99 at 100/s, ms", (Latency, PostgresRabbitmq, "recorded p99 ms"), AtMost(10.0)),
    Ratio("Python, full isolation : bubblewrap a task", (Python, PostgresRabbitmq, RATE), (Python, Bubblewrap, RATE), AtLeast(3.0)),
    Ratio("Python, full isolation : bare fork of a warm interpreter", (Python, PostgresRabbitmq, RATE), (Python, WarmFork, RATE), AtLeast(0.5)),
    Ratio("Python, full isolation : Celery, new interpreter a task", (Python, PostgresRabbitmq, RATE), (Python, CeleryInterpreter, RATE), AtLeast(3.0)),
    Absolute("Python at 20/s, recorded p50, ms", (CodeLatency, PostgresRabbitmq, "recorded p50 ms"), AtMost(10.0)),
    Absolute("C#, compiled before, p50, ms", (Csharp, PostgresRabbitmq, "compiled before p50 ms"), AtMost(40.0)),
    Absolute("C#, new source, p50, ms", (Csharp, PostgresRabbitmq, "new p50 ms"), AtMost(150.0)),
    Ratio("C#, new source p50 : new compiler and runtime", (Csharp, PostgresRabbitmq, "new p50 ms"), (Csharp, DotnetCold, "new p50 ms"), AtMost(0.2)),
    Absolute("/bin/true in a new cell, more than plain, ms", (Sandbox, System::Sandbox, "new cell, more ms"), AtMost(4.0)),
    Absolute("Slowest kill of 200 processes, ms", (Sandbox, System::Sandbox, "slowest kill of 200 ms"), AtMost(200.0)),
    Ratio("p99 beside a fork bomb : alone", (Neighbour, PostgresRabbitmq, "fork bomb p99 ms"), (Neighbour, PostgresRabbitmq, "alone p99 ms"), AtMost(2.0)),
    Ratio("p99 beside a flood of output : alone", (Neighbour, PostgresRabbitmq, "output flood p99 ms"), (Neighbour, PostgresRabbitmq, "alone p99 ms"), AtMost(2.0)),
    Absolute("Growth of the worker in the soak, MiB", (Soak, PostgresRabbitmq, "grown MiB"), AtMost(5.0)),
    Absolute("Left by the soak: files, mounts, groups, processes, zombies", (Soak, PostgresRabbitmq, "left"), AtMost(0.0)),
    Absolute("First of ten times the backlog : alone", (Backlog, PostgresRabbitmq, "part"), AtLeast(0.9)),
    Absolute("1,000 chains of ten : as many plain tasks, tasks/s", (Chains, PostgresRabbitmq, "chained : plain"), AtLeast(0.8)),
    Absolute("One external worker, 100 at a time, each reported by itself, tasks/s", (External, PostgresRabbitmq, RATE), AtLeast(2_000.0)),
    Absolute("Last end of a group of 10,000 to what comes after it, ms", (Groups, PostgresRabbitmq, "last end to join ms"), AtMost(2000.0)),
    Absolute("A chain of ten : one task, p50", (Chains, PostgresRabbitmq, "chain of ten : one task"), AtMost(12.0)),
    Absolute("10,000 of 100,000 schedules due at once, last task, s", (Schedules, PostgresRabbitmq, "last task s"), AtMost(5.0)),
    Absolute("Orders of four tasks as sagas : as many plain tasks, tasks/s", (Sagas, PostgresRabbitmq, "sagas : plain"), AtLeast(0.4)),
    Ratio("Orders/s : Restate", (Sagas, PostgresRabbitmq, "orders/s"), (Sagas, Restate, "orders/s"), AtLeast(1.0)),
    Ratio("Orders/s : DBOS", (Sagas, PostgresRabbitmq, "orders/s"), (Sagas, Dbos, "orders/s"), AtLeast(1.0)),
    Absolute("Balance, from the call until somebody is asked, p50, ms", (Balance, PostgresRabbitmq, "asked p50 ms"), AtMost(150.0)),
    Absolute("Events of callers over 1,000 sagas, events/s", (Events, PostgresRabbitmq, "events/s"), AtLeast(1_000.0)),
    Absolute("64 callers and one saga, event p99, ms", (Events, PostgresRabbitmq, "one saga p99 ms"), AtMost(250.0)),
    Grown("Event p50, 100,000 sagas wait : few", (Events, PostgresRabbitmq, "many p50 ms"), (Events, PostgresRabbitmq, "few p50 ms"), 1.5, 0.0),
    Grown("Event p99, 100,000 sagas wait : few", (Events, PostgresRabbitmq, "many p99 ms"), (Events, PostgresRabbitmq, "few p99 ms"), 1.5, 0.0),
    Absolute("First timer that was due, after ready, s", (Events, PostgresRabbitmq, "timer after ready s"), AtMost(2.0)),
    Grown("List p99, full table : empty", (History, PostgresRabbitmq, "list, full p99 ms"), (History, PostgresRabbitmq, "list, empty p99 ms"), 1.5, 2.0),
    Grown("Create p99, full table : empty", (History, PostgresRabbitmq, "create, full p99 ms"), (History, PostgresRabbitmq, "create, empty p99 ms"), 1.5, 2.0),
    Absolute("Peak memory of the api, MiB", (Memory, PostgresRabbitmq, "api MiB"), AtMost(80.0)),
    Absolute("Peak memory of the worker, MiB", (Memory, PostgresRabbitmq, "worker MiB"), AtMost(80.0)),
    Absolute("Idle, api + worker, % of a core", (Idle, PostgresRabbitmq, "% of a core"), AtMost(1.0)),
    Absolute("Idle, transactions/s", (Idle, PostgresRabbitmq, "transactions/s"), AtMost(5.0)),
];

/// Those goals whose figures were taken.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    GOALS.iter().filter_map(|goal| verdict(goal, results)).collect()
}

fn verdict(goal: &Goal, results: &Results) -> Option<Verdict> {
    let median = |(measure, system, figure): Figure| results.median(measure, system, figure);
    Some(match *goal {
        Ratio(name, ours, reference, limit) => {
            let (ours, reference) = (median(ours)?, median(reference)?);
            let value = ours / reference;
            Verdict {
                goal: name.to_owned(),
                ours,
                reference: Some(reference),
                value,
                limit,
                reached: limit.holds(value),
            }
        }
        Absolute(name, ours, limit) => {
            let ours = median(ours)?;
            Verdict {
                goal: name.to_owned(),
                ours,
                reference: None,
                value: ours,
                limit,
                reached: limit.holds(ours),
            }
        }
        Grown(name, ours, reference, times, more) => {
            let (ours, reference) = (median(ours)?, median(reference)?);
            let value = ours / reference;
            Verdict {
                goal: format!("{name} (or at most {more} ms more)"),
                ours,
                reference: Some(reference),
                value,
                limit: AtMost(times),
                reached: value <= times || ours - reference <= more,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_without_figures_is_not_judged() {
        assert!(judge(&Results::default()).is_empty());
    }

    #[test]
    fn a_ratio_is_held_against_its_limit() {
        let mut results = Results::default();
        results.add(Drain, PostgresRabbitmq, RATE, 10_000.0);
        results.add(Drain, Celery, RATE, 2_000.0);
        let verdicts = judge(&results);
        assert_eq!(verdicts.len(), 1);
        assert!(verdicts[0].reached && (verdicts[0].value - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_small_growth_is_forgiven_although_the_ratio_is_large() {
        let mut results = Results::default();
        results.add(History, PostgresRabbitmq, "list, empty p99 ms", 0.5);
        results.add(History, PostgresRabbitmq, "list, full p99 ms", 2.4);
        assert!(judge(&results)[0].reached);
    }
}
