//! Taking a saga that needs attention again from where it failed.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{FieldName, Fields, Input, context_fields};
use orchestratum_core::task::{Violations, json_pointer};

use super::Raised;
use super::raise::by_someone;
use crate::{Engine, Error};

impl Engine {
    /// Merges `context` into that of the saga, and takes again all that was parked, the oldest first.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::SagaRejected`] where it does not need attention, [`Error::Invalid`] with what is no field of
    /// its context.
    pub async fn retry_saga(
        &self,
        saga: SagaId,
        context: Fields,
        expected_version: Option<u64>,
        actor: Option<String>,
    ) -> Result<Raised, Error> {
        if !context.is_empty() {
            self.check_fields(saga, &context).await?;
        }
        self.bring(saga, by_someone(Input::Retried { context }, expected_version, actor))
            .await
    }

    /// No expression of a definition can read a field that the definition does not know.
    async fn check_fields(&self, saga: SagaId, context: &Fields) -> Result<(), Error> {
        let saga = self.saga(saga).await?;
        let definition = self.running_definition(&saga).await?;
        let known = context_fields(definition.definition());
        let mut broken = Violations::default();
        for name in context.keys().map(FieldName::as_str) {
            if !known.contains(&name) {
                let all = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                let pointer = format!("/context{}", json_pointer(name));
                broken.add(pointer, format!("is no field of the context; it has {all}"));
            }
        }
        broken.into_result().map_err(Error::Invalid)
    }
}
