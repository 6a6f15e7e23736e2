//! The answer of a person, or a service, that a saga waits for.

use orchestratum_core::saga::AwaitInput;
use orchestratum_core::{JsonText, SagaId};
use orchestratum_store::Saga;

use super::{RaiseEvent, Raised};
use crate::{Engine, Error};

/// How often an answer is read anew to a saga to which much else happens.
const TRIES: u32 = 10;

/// What a saga asks for, and at which of its versions.
struct Question {
    version: u64,
    awaited: AwaitInput,
}

impl Engine {
    /// What a saga asks for; `None` if it asks nobody.
    pub async fn awaiting(&self, saga: &Saga) -> Result<Option<AwaitInput>, Error> {
        if saga.instance.awaiting.is_none() {
            return Ok(None);
        }
        Ok(self.running_definition(saga).await?.question(&saga.instance))
    }

    /// Answers what the saga asks for, which is held against its schema as any event is that answers it. Where the saga has moved on in
    /// between, its question of now is read. Without `expected_version` that is done here, and otherwise left to the caller.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaAwaitsNothing`], [`Error::Invalid`] with what the answer breaks of the schema,
    /// [`Error::SagaVersionMismatch`].
    pub async fn answer(
        &self,
        saga: SagaId,
        data: JsonText,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let question = self.question(saga, expected_version).await?;
            let answered = self
                .raise(RaiseEvent {
                    saga,
                    name: question.awaited.event,
                    data: data.clone(),
                    // No answer is taken twice: it is for this version, and each that is taken makes another.
                    id: None,
                    expected_version: Some(question.version),
                    actor: actor.clone(),
                })
                .await;
            match answered {
                Err(Error::SagaVersionMismatch { .. }) if expected_version.is_none() && tries > 0 => {}
                answered => return answered,
            }
        }
    }

    async fn question(&self, saga: SagaId, expected_version: Option<u64>) -> Result<Question, Error> {
        let found = self.saga(saga).await?;
        let version = found.instance.version;
        if let Some(expected) = expected_version.filter(|expected| *expected != version) {
            return Err(Error::SagaVersionMismatch {
                saga,
                expected: vec![expected],
                current: version,
            });
        }
        match self.awaiting(&found).await? {
            Some(awaited) => Ok(Question { version, awaited }),
            None => Err(Error::SagaAwaitsNothing {
                saga,
                status: found.instance.status(),
                state: found.instance.state,
            }),
        }
    }
}
