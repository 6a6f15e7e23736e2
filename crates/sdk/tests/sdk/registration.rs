//! Which handlers there are, and what they are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use orchestratum_sdk::Error;
use orchestratum_sdk::prelude::*;

use crate::commands::{Actor, NoteCommand, World};

mod inner {
    use super::*;

    #[derive(Debug, Clone, Command, Serialize, Deserialize)]
    #[command(output = (u32, u32))]
    pub(super) struct CountCommand;

    /// Counts its executions, and how often it is asked within one.
    #[derive(Handler)]
    #[handler(CountCommand)]
    pub(super) struct CountHandler {
        executions: Arc<AtomicU32>,
        asked: PerExecution,
    }

    #[derive(Debug, Clone, Default)]
    pub(super) struct PerExecution(Arc<AtomicU32>);

    impl Handler<CountCommand> for CountHandler {
        async fn handle(&self, _command: &CountCommand, _context: &Context) -> Result<(u32, u32), Failure> {
            let count = |counter: &AtomicU32| counter.fetch_add(1, Ordering::SeqCst) + 1;
            Ok((count(&self.executions), count(&self.asked.0)))
        }
    }
}

use inner::{CountCommand, PerExecution};

#[tokio::test]
async fn match_23_a_handler_is_made_for_each_execution_of_what_was_provided() -> Result<(), Error> {
    let mut harness = Harness::builder()
        .provide(Arc::new(AtomicU32::new(0)))
        .provide_scoped(PerExecution::default)
        .discover_in("sdk::registration")
        .harness()
        .await?;
    for execution in 1..=3 {
        let outcome = harness.run(CountCommand).await?;
        assert_eq!(outcome.and_then(Outcome::success), Some((execution, 1)));
    }
    Ok(())
}

#[tokio::test]
async fn all_handlers_of_the_program_are_discovered_and_what_they_lack_is_told_at_the_start() {
    let error = Harness::builder()
        .discover()
        .harness()
        .await
        .expect_err("nothing is provided");
    let told = error.to_string();
    for lacking in [
        "sdk::commands::Actor needs `sdk::commands::World`",
        "sdk::registration::inner::CountHandler needs `sdk::registration::inner::PerExecution`",
        "call `.provide(…)`",
    ] {
        assert!(told.contains(lacking), "{told}");
    }
}

#[tokio::test]
async fn two_handlers_of_one_command_are_refused_and_both_are_named() {
    struct Another;

    impl Handler<NoteCommand> for Another {
        async fn handle(&self, _command: &NoteCommand, _context: &Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    let builder = Harness::builder().provide(World::default());
    let builder = builder.register::<NoteCommand, Actor>().handler(Another);
    let error = builder.harness().await.expect_err("there are two").to_string();
    assert!(
        error.contains("`note`") && error.contains("commands::Actor") && error.contains("Another"),
        "{error}"
    );
}

#[tokio::test]
async fn two_services_of_one_type_are_refused() {
    let builder = Harness::builder().provide(1_u32).provide(2_u32);
    let error = builder.harness().await.expect_err("there are two");
    assert!(matches!(error, Error::DuplicateService("u32")), "{error:?}");
}

#[tokio::test]
async fn a_handler_may_be_one_instance_for_all_and_a_command_may_be_an_enum() -> Result<(), Error> {
    struct Adder(Arc<AtomicU32>);

    #[derive(Serialize, Deserialize)]
    enum AddCommand {
        One,
        Many(u32),
    }

    impl Definition for AddCommand {
        type Output = u32;
        const NAME: &'static str = "add";
    }

    impl Chain for AddCommand {}

    impl Handler<AddCommand> for Adder {
        async fn handle(&self, command: &AddCommand, _context: &Context) -> Result<u32, Failure> {
            let more = match command {
                AddCommand::One => 1,
                AddCommand::Many(more) => *more,
            };
            Ok(self.0.fetch_add(more, Ordering::SeqCst) + more)
        }
    }

    let adder = Adder(Arc::default());
    let mut harness = Harness::builder().handler(adder).harness().await?;
    assert_eq!(harness.run(AddCommand::One).await?.and_then(Outcome::success), Some(1));
    assert_eq!(
        harness.run(AddCommand::Many(41)).await?.and_then(Outcome::success),
        Some(42)
    );
    Ok(())
}
