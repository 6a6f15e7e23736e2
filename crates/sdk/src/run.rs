//! One attempt of a command, whatever type it has.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_engine::error::panic_message;
use orchestratum_worker::{Handled, HandlerContext};

use crate::chain::Next;
use crate::handler::{Context, Tell};
use crate::listed::{Missing, listed};
use crate::{Command, Failure, Handler, Orchestratum};

/// Runs attempts of one command.
#[async_trait]
pub(crate) trait Run: Send + Sync {
    async fn run(&self, input: &JsonText, context: &Context) -> Result<Handled, Failure>;
}

type Make<H> = Box<dyn Fn(&Context) -> Arc<H> + Send + Sync>;

/// A handler for each attempt.
pub(crate) struct Typed<C, H> {
    handler: Make<H>,
    command: PhantomData<fn() -> C>,
}

impl<C: Command, H: Handler<C>> Typed<C, H> {
    pub(crate) fn new(handler: impl Fn(&Context) -> Arc<H> + Send + Sync + 'static) -> Self {
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
        let handler = (self.handler)(context);
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
    let mut next = Next::after_success(context.id);
    let asked = catch_unwind(AssertUnwindSafe(|| command.on_success(output, &mut next)));
    let (entries, mut missing) = next.into_parts();
    if let Err(panic) = asked {
        let reason = format!("on_success panicked: {}", panic_message(panic.as_ref()));
        missing.push(Missing::unnamed(reason));
    }
    let (listed, missing) = listed(entries, missing);
    for Missing { name, reason } in missing {
        tracing::error!(
            task.id = %context.id, task.name = C::NAME, attempt = context.attempt, name, reason,
            "what comes after a command is missing"
        );
        context.log(&format!("what comes after it is missing: {reason}"));
    }
    listed
}

/// As the worker of an engine runs it.
pub(crate) struct InWorker {
    pub(crate) run: Arc<dyn Run>,
    /// What the handler pushes to.
    pub(crate) orchestratum: Orchestratum,
}

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
            orchestratum: self.orchestratum.clone(),
            teller: Arc::new(context),
        };
        self.run.run(&input, &context).await.map_err(|failure| failure.0)
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
