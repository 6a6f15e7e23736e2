//! What `docs/commands.md` shows is code that is compiled and run.

use std::time::Duration;

use orchestratum_sdk::prelude::*;

use crate::commands::{Actor, NoteCommand, World};

const PAGE: &str = include_str!("../../../../docs/commands.md");

const SOURCES: [&str; 2] = [include_str!("../../examples/reports.rs"), include_str!("page.rs")];

#[derive(Command, Serialize, Deserialize)]
#[command(name = "page.send_email")]
struct SendEmailCommand {
    to: String,
    subject: String,
}

#[derive(Command, Serialize, Deserialize)]
#[command(name = "page.order", chain)]
struct OrderCommand;

impl Chain for OrderCommand {
    fn on_success(&self, (): &(), next: &mut Next) {
        next.push(NoteCommand::of("a reminder").after(Duration::from_secs(86_400)));
    }
}

struct Shop;

impl Handler<OrderCommand> for Shop {
    async fn handle(&self, _command: &OrderCommand, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_command_with_an_id_and_wishes_of_its_own() -> Result<(), orchestratum_sdk::Error> {
    let orchestratum = Orchestratum::embedded("sqlite::memory:").start().await?;
    let (to, subject) = ("ann@example.com".to_owned(), "hello".to_owned());
    let command = SendEmailCommand { to, subject }
        .to("email-worker")
        .after(Duration::from_secs(60))
        .retries(0);
    let id = command.id();
    orchestratum.push(command).await?;
    assert_eq!(orchestratum.status(id).await?.target, "email-worker");
    orchestratum.stop().await
}

#[tokio::test]
async fn a_reminder_that_is_due_the_next_day() -> Result<(), orchestratum_sdk::Error> {
    let builder = Harness::builder().provide(World::default());
    let builder = builder.register::<NoteCommand, Actor>().handler(Shop);
    let mut harness = builder.harness().await?;
    let order = harness.push(OrderCommand).await?;
    harness.run_until_idle().await?;
    harness.advance(Duration::from_secs(86_400)).await?; // the reminder is due
    assert_eq!(harness.followers(order).await?.commands[0].state, State::Completed);
    Ok(())
}

#[test]
fn the_programs_of_the_page_are_these() {
    are_of(PAGE, &SOURCES, 3);
}

/// Asserts that each program of a page, of which there are so many at least, is in one of the sources.
pub(crate) fn are_of(page: &str, sources: &[&str], least: usize) {
    let lines = |text: &str| -> Vec<String> { text.lines().map(|line| line.trim().to_owned()).collect() };
    let sources: Vec<Vec<String>> = sources.iter().map(|source| lines(source)).collect();
    let blocks: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() >= least, "the page has programs");
    for block in blocks {
        let block = lines(block);
        let is_there = |source: &Vec<String>| source.windows(block.len()).any(|part| part == block);
        assert!(sources.iter().any(is_there), "of no source: {block:#?}");
    }
}
