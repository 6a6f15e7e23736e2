//! Starting a saga.

use orchestratum_core::JsonText;
use orchestratum_core::saga::DefinitionName;
use orchestratum_engine::given::check_id;
use serde::Serialize;

use super::given::{by_rule, json, named};
use super::{Saga, Sagas};
use crate::Error;

/// A saga to be started, as the server is asked for it.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) definition: DefinitionName,
    pub(crate) correlation_id: String,
    pub(crate) input: JsonText,
}

impl Sagas {
    /// Starts a saga by the newest version of its definition. When this has answered, it is stored with its first tasks.
    ///
    /// The same definition and correlation id again start nothing: the answer is the saga that there is, as it stands. So it is safe to
    /// ask again whenever no answer came.
    ///
    /// # Errors
    /// [`Error::NoDefinition`], [`Error::SagaInput`], [`Error::SagaRefused`] where the definition cannot begin with this input.
    pub async fn start<I: Serialize + Sync + ?Sized>(
        &self,
        definition: &str,
        correlation_id: &str,
        input: &I,
    ) -> Result<Saga, Error> {
        by_rule(check_id("/correlation_id", correlation_id))?;
        let start = Start {
            definition: named("/definition", DefinitionName::new(definition))?,
            correlation_id: correlation_id.to_owned(),
            input: json("/input", input)?,
        };
        self.host.start_saga(start).await
    }
}
