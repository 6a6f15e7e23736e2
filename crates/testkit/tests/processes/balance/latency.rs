//! How long a person waits until they are asked.

use std::time::Duration;

use orchestratum_testkit::{Fault, FaultKind};
use tokio::time::Instant;

use super::plant::{BALANCE, Plant};

const STARTS: u64 = 21;

/// What GitLab takes for an answer.
const GITLAB_MS: u64 = 5;

/// Of a build that is not optimized, on a machine that does other things: a release on a quiet one takes a quarter of it.
const MEDIAN_MAX: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_soon_after_the_call() -> anyhow::Result<()> {
    let plant = Plant::build_without_calculators().await?;
    let slow = Fault {
        method: None,
        path: String::new(),
        times: u32::MAX,
        kind: FaultKind::SlowAnswer {
            milliseconds: GITLAB_MS,
        },
    };
    plant.gitlab.control().fail(&slow).await?;
    let mut took = Vec::new();
    for issue in 1..=STARTS {
        let begun = Instant::now();
        let balance = plant.post(BALANCE, &plant.request(issue, &["condenser"])).await?;
        took.push(begun.elapsed());
        assert_eq!(balance["status"], "user_input_required", "{balance}");
    }
    took.sort_unstable();
    let median = took[took.len() / 2];
    println!(
        "{STARTS} balances asked for input after {median:?} (median), {:?} at the longest",
        took[took.len() - 1]
    );
    assert!(median <= MEDIAN_MAX, "{took:?}");
    Ok(())
}
