//! `echo` answers its input: the first task of a demo, and the no-op of the benchmark.

use orchestratum_core::task::Ending;
use orchestratum_store::{ClaimedTask, Evidence};

pub(crate) fn echo(task: &ClaimedTask) -> (Ending, Evidence) {
    let evidence = Evidence {
        output: Some(task.input.clone()),
        ..Evidence::default()
    };
    (Ending::Success, evidence)
}
