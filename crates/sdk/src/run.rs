//! One attempt of a command, whatever type it has.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::task::{FollowUps, SpecLimits};
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_engine::error::panic_message;
use orchestratum_worker::{Handled, HandlerContext};

use crate::chain::Next;
use crate::entry::missing;
use crate::handler::{Context, Tell};
use crate::{Command, Failure, Handler};

/// Runs attempts of one command.
#[async_trait]
pub(crate) trait Run: Send + Sync {
    async fn run(&self, input: &JsonText, context: &Context) -> Result<Handled, Failure>;
}

/// A handler for each attempt.
pub(crate) struct Typed<C, H> {
    handler: Box<dyn Fn() -> Arc<H> + Send + Sync>,
    command: PhantomData<fn() -> C>,
}

impl<C: Command, H: Handler<C>> Typed<C, H> {
    pub(crate) fn new(handler: impl Fn() -> Arc<H> + Send + Sync + 'static) -> Self {
        Self {
            handler: Box::new(handler),
            command: PhantomData,
        }
    }
}

#[async_trait]
impl<C: Command, H: Handler<C>> Run for Typed<C, H> {
    async fn run(&self, input: &JsonText, context: &Context) -> Result<Handled, Failure> {
        // The same would be read the next time.
        let command: C = input
            .parse()
            .map_err(|error| Failure::permanent(format!("the input is none of `{}`: {error}", C::NAME)))?;
        let handler = (self.handler)();
        let output = handler.handle(&command, context).await?;
        let written = JsonText::of(&output)
            .map_err(|error| Failure::permanent(format!("the output of `{}` cannot be stored: {error}", C::NAME)))?;
        Ok(Handled {
            output: written,
            follow_ups: follow_ups(&command, &output, context),
        })
    }
}

/// What comes after a success. The work is done: whatever is wrong here must not undo that, and must not go unnoticed.
fn follow_ups<C: Command>(command: &C, output: &C::Output, context: &Context) -> Vec<JsonText> {
    let mut next = Next::after(context.id);
    let asked = catch_unwind(AssertUnwindSafe(|| command.on_success(output, &mut next)));
    let (entries, mut fault) = next.into_parts();
    if let Err(panic) = asked {
        fault = Some(panicked(panic.as_ref()));
    }
    let mut written = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.json().and_then(checked) {
            Ok(entry) => written.push(entry),
            Err(reason) => fault = Some(reason),
        }
    }
    if let Some(reason) = fault {
        tracing::error!(
            task.id = %context.id, task.name = C::NAME, attempt = context.attempt, reason,
            "what comes after a command is missing"
        );
        context.log(&format!("what comes after it is missing: {reason}"));
        written.push(missing(&reason));
    }
    written
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    format!("on_success panicked: {}", panic_message(panic))
}

/// One that breaks a rule would keep all of them from being written.
fn checked(entry: JsonText) -> Result<JsonText, String> {
    let limits = SpecLimits {
        max_timeout: SpecLimits::default().max_ttl,
        ..SpecLimits::default()
    };
    let broken = FollowUps::on_success(vec![entry.clone()]).check("", &limits, Timestamp::EPOCH);
    match broken {
        Ok(()) => Ok(entry),
        Err(broken) => {
            let rules: Vec<String> = broken.0.iter().take(3).map(ToString::to_string).collect();
            Err(rules.join("; "))
        }
    }
}

/// As the worker of an engine runs it.
pub(crate) struct InWorker(pub(crate) Arc<dyn Run>);

#[async_trait]
impl orchestratum_worker::Handler for InWorker {
    async fn handle(
        &self,
        input: JsonText,
        context: HandlerContext,
    ) -> Result<Handled, orchestratum_worker::HandlerError> {
        let context = Context {
            id: context.task,
            name: context.name.to_string(),
            target: context.target.to_string(),
            attempt: context.attempt,
            run: context.run,
            stopping: context.stopping().clone(),
            teller: Arc::new(context),
        };
        self.0.run(&input, &context).await.map_err(|failure| failure.0)
    }
}

impl Tell for HandlerContext {
    fn progress(&self, progress: orchestratum_core::task::Progress) {
        Self::progress(self, progress);
    }

    fn log(&self, line: &str) {
        Self::log(self, line);
    }
}
