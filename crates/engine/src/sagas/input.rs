//! The answer of a person, or a service, that a saga waits for.

use orchestratum_core::saga::{AwaitInput, Event};
use orchestratum_core::{JsonText, SagaId};
use orchestratum_store::{Expected, Saga};

use super::Raised;
use crate::{Engine, Error};

impl Engine {
    /// What a saga asks for; `None` if it asks nobody.
    pub async fn awaiting(&self, saga: &Saga) -> Result<Option<AwaitInput>, Error> {
        if saga.instance.awaiting.is_none() {
            return Ok(None);
        }
        Ok(self.running_definition(saga).await?.question(&saga.instance))
    }

    /// Answers what the saga asks for, which is held against its schema as any event is that answers it. The answer is for the question
    /// of `expected_version`, or of now: one that comes when that is over is refused, and never taken for an answer to another question.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaAwaitsNothing`], [`Error::SagaQuestionIsOver`], [`Error::Invalid`] with what the answer
    /// breaks of the schema, [`Error::SagaVersionMismatch`].
    pub async fn answer(
        &self,
        saga: SagaId,
        data: JsonText,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let found = self.saga(saga).await?;
        let version = found.instance.version;
        if let Some(expected) = expected_version.filter(|expected| *expected != version) {
            return Err(Error::SagaVersionMismatch {
                saga,
                expected: vec![expected],
                current: version,
            });
        }
        let Some(awaited) = self.awaiting(&found).await? else {
            return Err(Error::SagaAwaitsNothing {
                saga,
                status: found.instance.status(),
                state: found.instance.state,
            });
        };
        // Much else may happen to it meanwhile: the ends of its tasks leave the question as it is.
        let expected = expected_version.map_or(Expected::Entry(found.instance.entry), Expected::Version);
        let answer = Event {
            id: self.fresh_event_id(),
            name: awaited.event,
            data,
        };
        self.bring_event(saga, answer, Some(expected), actor).await
    }
}
