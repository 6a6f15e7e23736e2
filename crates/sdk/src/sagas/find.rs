//! Finding sagas.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use orchestratum_core::SagaId;
use orchestratum_core::saga::builder::States;
use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_engine::given::check_id;

use super::given::{by_rule, named};
use super::{Pages, Saga, Sagas};
use crate::Error;

/// Which sagas are looked for: all that is said must hold.
///
/// ```
/// # use orchestratum_sdk::prelude::*;
/// use orchestratum_sdk::saga::{SagaFilter, SagaStatus};
///
/// # async fn look(orchestratum: Orchestratum) -> Result<(), orchestratum_sdk::Error> {
/// let stuck = SagaFilter::default().definition("order").status(SagaStatus::CompensationStuck);
/// for saga in orchestratum.sagas().find_all(stuck).take(100).await? {
///     println!("{} has {:?} left to undo", saga.correlation_id, saga.compensations);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct SagaFilter {
    definition: Option<String>,
    state: Option<String>,
    status: Option<SagaStatus>,
    correlation_id: Option<String>,
    parent: Option<SagaId>,
    stale_for: Option<Duration>,
}

impl SagaFilter {
    #[must_use]
    pub fn definition(mut self, name: impl Into<String>) -> Self {
        self.definition = Some(name.into());
        self
    }

    /// By the name of the state in which they are, whatever definition has it. One that was cancelled is in none: with that
    /// [`status`](Self::status) it is the state in which it was.
    #[must_use]
    pub fn state(mut self, name: impl Into<String>) -> Self {
        self.state = Some(name.into());
        self
    }

    #[must_use]
    pub fn status(mut self, status: SagaStatus) -> Self {
        self.status = Some(status);
        self
    }

    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Only those that this saga has started.
    #[must_use]
    pub fn parent(mut self, id: SagaId) -> Self {
        self.parent = Some(id);
        self
    }

    /// Only those to which nothing has happened for so long: not those that are over, and those that wait for an answer only with
    /// that [`status`](Self::status), as a person may take any time.
    #[must_use]
    pub fn stale_for(mut self, duration: Duration) -> Self {
        self.stale_for = Some(duration);
        self
    }

    fn checked(self) -> Result<CheckedFilter, Error> {
        let Self {
            definition,
            state,
            status,
            correlation_id,
            parent,
            stale_for,
        } = self;
        if let Some(id) = &correlation_id {
            by_rule(check_id("/correlation_id", id))?;
        }
        let definition = definition.map(|name| named("/definition", DefinitionName::new(name)));
        let state = state.map(|name| named("/state", StateName::new(name)));
        Ok(CheckedFilter {
            definition: definition.transpose()?,
            state: state.transpose()?,
            status,
            correlation_id,
            parent,
            stale_for,
        })
    }
}

/// A filter whose names can be names.
#[derive(Debug, Clone)]
pub(crate) struct CheckedFilter {
    pub(crate) definition: Option<DefinitionName>,
    pub(crate) state: Option<StateName>,
    pub(crate) status: Option<SagaStatus>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) parent: Option<SagaId>,
    pub(crate) stale_for: Option<Duration>,
}

impl Sagas {
    /// The saga of a definition with a correlation id, if there is one.
    ///
    /// # Errors
    /// [`Error::SagaInput`] where nothing can be called so.
    pub async fn find(&self, definition: &str, correlation_id: &str) -> Result<Option<Saga>, Error> {
        let filter = SagaFilter::default()
            .definition(definition)
            .correlation_id(correlation_id);
        self.find_all(filter).next().await
    }

    /// Those of a definition that are in a state, newest first: none that was cancelled in it.
    pub fn find_by_state<S: States>(&self, definition: &str, state: &S) -> Pages<Saga> {
        self.find_all(SagaFilter::default().definition(definition).state(state.name()))
    }

    /// Those to which nothing has happened for so long: what somebody should look at. What is over is not among them, and neither is
    /// what waits for an answer. Newest first.
    pub fn find_stale(&self, stale_for: Duration) -> Pages<Saga> {
        self.find_all(SagaFilter::default().stale_for(stale_for))
    }

    /// Those of a filter, newest first. What is wrong with the filter is told when the first is asked for.
    pub fn find_all(&self, filter: SagaFilter) -> Pages<Saga> {
        let host = Arc::clone(&self.host);
        Pages::new(move |cursor| {
            let (host, filter) = (Arc::clone(&host), filter.clone());
            async move { host.sagas(filter.checked()?, cursor).await }.boxed()
        })
    }
}
