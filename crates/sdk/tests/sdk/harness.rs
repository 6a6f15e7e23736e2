//! Time that passes when it is told to.

use std::time::Duration;

use orchestratum_sdk::prelude::*;

use crate::commands::{Act, ActCommand, Actor, Links, NoteCommand, OrphanCommand, World};

const HOUR: Duration = Duration::from_secs(3_600);

async fn harness(world: &World) -> Harness {
    let builder = Harness::builder().provide(world.clone());
    let builder = builder.register::<ActCommand, Actor>().register::<NoteCommand, Actor>();
    builder.harness().await.expect("it starts")
}

#[tokio::test]
async fn match_03_retries_are_immediate() -> Result<(), orchestratum_sdk::Error> {
    let world = World::default();
    let mut harness = harness(&world).await;
    let id = harness.push(ActCommand::of(Act::Fail).envelope().retries(2)).await?;
    harness.run_until_idle().await?;
    assert_eq!(
        (harness.status(id).await?.state, world.runs(id)),
        (State::Failed, 3),
        "no time has passed"
    );
    Ok(())
}

#[tokio::test]
async fn match_15_nothing_starts_before_its_time_and_all_does_at_it() -> Result<(), orchestratum_sdk::Error> {
    let world = World::default();
    let mut harness = harness(&world).await;
    let moment = Duration::from_millis(1);
    harness.push(NoteCommand::of("later").after(HOUR + moment)).await?;
    harness.advance(HOUR).await?;
    assert_eq!(world.notes(), [""; 0]);
    harness.advance(moment).await?;
    assert_eq!(world.notes(), ["later"]);
    Ok(())
}

#[tokio::test]
async fn match_16_a_command_that_nobody_does_is_not_found_and_its_failure_chain_runs()
-> Result<(), orchestratum_sdk::Error> {
    let world = World::default();
    let mut harness = harness(&world).await;
    let id = harness.push(OrphanCommand.envelope().retries(1)).await?;
    harness.advance(Duration::from_secs(31)).await?;
    assert_eq!(harness.status(id).await?.retries_left, 0, "it has used a retry");
    for _ in 0..3 {
        harness.advance(Duration::from_secs(31)).await?;
    }
    let outcome = harness.status(id).await?.outcome::<()>()?;
    assert!(matches!(outcome, Some(Outcome::NotFound(_))), "{outcome:?}");
    assert_eq!(world.notes(), ["nobody did it"]);
    Ok(())
}

#[tokio::test]
async fn what_takes_too_long_is_timed_out_when_its_time_has_passed() -> Result<(), orchestratum_sdk::Error> {
    let world = World::default();
    let mut harness = harness(&world).await;
    let hang = ActCommand::of(Act::Hang).then(Links::Notes);
    let id = harness.push(hang.envelope().timeout(HOUR).retries(1)).await?;
    harness.advance(HOUR / 2).await?;
    assert_eq!(
        (harness.status(id).await?.state, world.runs(id)),
        (State::InProgress, 1)
    );
    harness.advance(HOUR).await?;
    assert_eq!(harness.status(id).await?.retries_left, 0);
    harness.advance(HOUR).await?;
    let outcome = harness.status(id).await?.outcome::<String>()?;
    assert!(matches!(outcome, Some(Outcome::TimedOut(_))), "{outcome:?}");
    assert_eq!(world.notes(), [format!("failure of {id}")]);
    Ok(())
}

#[tokio::test]
async fn what_runs_is_cancelled_and_what_has_waited_too_long_expires() -> Result<(), orchestratum_sdk::Error> {
    let world = World::default();
    let mut harness = harness(&world).await;
    let runs = harness.push(ActCommand::of(Act::Hang).envelope().timeout(HOUR)).await?;
    let waits = harness.push(NoteCommand::of("").to("nobody").ttl(HOUR)).await?;
    harness.advance(HOUR / 2).await?;
    assert_eq!(harness.cancel(runs).await?.state, State::Cancelled);
    harness.advance(HOUR / 2).await?;
    assert_eq!(harness.status(waits).await?.state, State::Expired);
    Ok(())
}

#[tokio::test]
async fn a_panic_and_what_a_handler_writes_are_told() -> Result<(), orchestratum_sdk::Error> {
    let world = World::default();
    let mut harness = harness(&world).await;
    let panics = ActCommand::of(Act::Panic).envelope().retries(0);
    let fault = harness.run(panics).await?.and_then(|outcome| outcome.fault().cloned());
    assert_eq!(fault.expect("it failed").message, "the handler panicked: at the disco");
    let tells = harness.push(ActCommand::of(Act::Tell)).await?;
    harness.run_until_idle().await?;
    assert_eq!(harness.log(tells), ["half of it is done"]);
    assert_eq!(harness.status(tells).await?.progress, Some(0.5));
    Ok(())
}
