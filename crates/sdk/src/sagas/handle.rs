//! What sagas are asked through.

use std::fmt;
use std::sync::Arc;

use crate::Orchestratum;
use crate::host::Host;

/// The sagas of an [`Orchestratum`]. Cheap to clone. Handlers have it through
/// [`Context::orchestratum`](crate::Context::orchestratum).
///
/// ```standalone_crate
/// use orchestratum_sdk::prelude::*;
/// use orchestratum_sdk::saga::{Event, Fields, SagaBuilder, SagaStatus, States, task};
///
/// #[derive(Debug, PartialEq, States)]
/// enum LeaveState {
///     Initial,
///     AwaitingBoss,
///     AwaitingCalendar,
///     Granted,
///     Refused,
/// }
///
/// #[derive(Fields, Deserialize)]
/// struct Leave {
///     name: String,
///     boss: Option<String>,
/// }
///
/// #[derive(Event, Serialize)]
/// struct StartEvent {
///     name: String,
/// }
///
/// #[derive(Event, Serialize)]
/// struct AnsweredEvent {
///     ok: bool,
///     by: String,
/// }
///
/// #[derive(Event, Serialize, Deserialize)]
/// struct EnteredEvent {
///     page: u32,
/// }
///
/// #[derive(Event)]
/// #[event(failure)]
/// struct NotEnteredEvent;
///
/// #[derive(Command, Fields, Serialize, Deserialize)]
/// #[command(output = EnteredEvent)]
/// struct EnterLeaveCommand {
///     name: String,
/// }
///
/// #[derive(Handler)]
/// #[handler(EnterLeaveCommand)]
/// struct EnterLeaveHandler;
///
/// impl Handler<EnterLeaveCommand> for EnterLeaveHandler {
///     async fn handle(&self, _command: &EnterLeaveCommand, _context: &Context) -> Result<EnteredEvent, Failure> {
///         Ok(EnteredEvent { page: 12 })
///     }
/// }
///
/// # fn leave() -> Result<orchestratum_sdk::saga::Definition, orchestratum_sdk::saga::Faults> {
/// #     let mut saga = SagaBuilder::<Leave, LeaveState>::new("leave");
/// #     saga.context::<StartEvent, _>(|saga, input| saga.name.to(input.name));
/// #     saga.initially().when::<StartEvent>().transition_to(LeaveState::AwaitingBoss);
/// #     saga.during(LeaveState::AwaitingBoss)
/// #         .await_input::<AnsweredEvent>("May they go?")
/// #         .when::<AnsweredEvent>()
/// #         .only_if(|_, event| event.ok)
/// #         .set(|saga, event| saga.boss.to(event.by))
/// #         .then(|saga, _| task(EnterLeaveCommandFields { name: saga.name }).raises::<EnteredEvent, NotEnteredEvent>())
/// #         .transition_to(LeaveState::AwaitingCalendar)
/// #         .when::<AnsweredEvent>()
/// #         .transition_to(LeaveState::Refused)
/// #         .finalize_failed();
/// #     saga.during(LeaveState::AwaitingCalendar)
/// #         .when::<EnteredEvent>()
/// #         .transition_to(LeaveState::Granted)
/// #         .finalize()
/// #         .when::<NotEnteredEvent>()
/// #         .transition_to(LeaveState::Refused);
/// #     saga.build()
/// # }
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let orchestratum = Orchestratum::embedded("sqlite::memory:").discover().start().await?;
///     let sagas = orchestratum.sagas();
///     let patience = Duration::from_secs(10);
///
///     // At the start of every process: what is there already stays as it is.
///     sagas.define(&leave()?).await?;
///
///     // Started once, however often it is asked for.
///     let saga = sagas.start("leave", "ann-2026", &StartEvent { name: "Ann".to_owned() }).await?;
///     let saga = sagas.wait(saga.id, patience).await?;
///     let question = saga.awaiting.as_ref().ok_or("it asks")?;
///     assert_eq!(question.prompt, "May they go?");
///
///     let answer = AnsweredEvent { ok: true, by: "Bob".to_owned() };
///     sagas.input(saga.unchanged(), &answer).await?;
///     let saga = sagas.wait(saga.id, patience).await?;
///     assert_eq!((saga.status, saga.state_in()?), (SagaStatus::Completed, &LeaveState::Granted));
///     assert_eq!(saga.context::<Leave>()?.boss.as_deref(), Some("Bob"));
///
///     // Whatever happened to it.
///     let mut history = sagas.history(saga.id);
///     while let Some(entry) = history.next().await? {
///         println!("{} {}: {} -> {}", entry.processed_at, entry.kind, entry.from, entry.to);
///     }
///     Ok(orchestratum.stop().await?)
/// }
/// ```
///
/// Where the engine is embedded, sagas go on in the processes that run it; with a server it is the server that drives them, and its
/// key needs `sagas:read` to look and `sagas:write` for all else.
#[derive(Clone)]
pub struct Sagas {
    pub(super) host: Arc<dyn Host>,
}

impl Orchestratum {
    /// What has many steps, waits between them, and is undone when one fails: see [`saga`](crate::saga).
    pub fn sagas(&self) -> Sagas {
        Sagas { host: self.host() }
    }
}

impl fmt::Debug for Sagas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sagas").finish_non_exhaustive()
    }
}
