//! Calls and what became of them: asked again until they are answered, wherever that does no harm.

use orchestratum_core::saga::{DefinitionName, Event, EventName, Input};
use orchestratum_core::{JsonText, Origin, SagaId};
use orchestratum_store::{Advance, Expected, NewSaga, Request};
use uuid::Uuid;

use super::world::{Step, World, correlation_id};
use crate::coverage::SagaMarker;
use crate::limits::{SECOND, timestamp};

/// A call.
#[derive(Debug)]
pub(super) struct Asked {
    what: What,
    /// The answers that have come, in their order.
    pub(super) answers: Vec<Answer>,
    /// It would be done twice if it were asked twice.
    is_once: bool,
    tries: u32,
}

#[derive(Debug)]
enum What {
    Start(usize),
    Bring {
        saga: SagaId,
        input: Input,
        expected_version: Option<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    Repeated,
    Refused(String),
    /// An event of its id was taken, and that was another one.
    IdReused,
    VersionMismatch,
    NotFound,
}

impl Asked {
    const fn new(what: What, is_once: bool) -> Self {
        Self {
            what,
            answers: Vec::new(),
            is_once,
            tries: 0,
        }
    }

    pub(super) const fn start(saga: usize) -> Self {
        Self::new(What::Start(saga), false)
    }

    pub(super) const fn cancel(saga: SagaId) -> Self {
        Self::bring(saga, Input::CancelRequested, None)
    }

    pub(super) const fn bring(saga: SagaId, input: Input, expected_version: Option<u64>) -> Self {
        let is_once = !matches!(input, Input::EventRaised(_) | Input::CancelRequested);
        Self::new(
            What::Bring {
                saga,
                input,
                expected_version,
            },
            is_once,
        )
    }

    pub(super) const fn is_start(&self) -> bool {
        matches!(self.what, What::Start(_))
    }

    pub(super) const fn saga(&self) -> Option<SagaId> {
        match &self.what {
            What::Start(_) => None,
            What::Bring { saga, .. } => Some(*saga),
        }
    }

    /// The event that it brings.
    pub(super) const fn event(&self) -> Option<(SagaId, &Event)> {
        match &self.what {
            What::Bring {
                saga,
                input: Input::EventRaised(event),
                ..
            } => Some((*saga, event)),
            What::Bring { .. } | What::Start(_) => None,
        }
    }

    pub(super) const fn may_stay_unanswered(&self) -> bool {
        self.is_once
    }
}

impl World {
    pub(super) fn ask(&mut self, asked: Asked) {
        self.asked.push(asked);
        self.ask_again(self.asked.len() - 1);
    }

    pub(super) fn ask_again(&mut self, call: usize) {
        let asked = &mut self.asked[call];
        if !asked.answers.is_empty() || (asked.is_once && asked.tries > 0) {
            // A person whose call was not answered looks again at what there is.
            let saga = asked.saga();
            if let (true, Some(saga)) = (asked.answers.is_empty(), saga) {
                self.expect_person(saga);
            }
            return;
        }
        asked.tries += 1;
        if let Some(process) = self.any_process() {
            self.processes[process].calls.push(call);
            self.expect_begin(process);
        }
        self.soon(10 * SECOND, Step::Ask(call));
    }

    pub(super) fn answer(&mut self, call: usize, answer: Answer) {
        if self.chance.happens(self.faults.answer_lost) {
            return;
        }
        match &answer {
            Answer::Repeated if self.asked[call].event().is_some() => self.sometimes(SagaMarker::EventRepeated),
            Answer::Refused(_) if self.asked[call].event().is_some() => self.sometimes(SagaMarker::EventRefused),
            Answer::VersionMismatch => self.sometimes(SagaMarker::VersionMismatch),
            _ => {}
        }
        let asked = &self.asked[call];
        let (what, answered) = (&asked.what, &answer);
        self.trace
            .note(self.now, || format!("{what:?} is answered: {answered:?}"));
        self.asked[call].answers.push(answer);
    }

    /// A start as its process sends it to the store.
    pub(super) fn new_saga(&mut self, call: usize) -> NewSaga {
        let place = match self.asked[call].what {
            What::Start(place) => place,
            What::Bring { .. } => 0,
        };
        let definition: DefinitionName = self.definitions.main.definition().name.clone();
        let (random, seed) = (self.seed(), self.seed());
        let input = self.inputs[place].clone();
        let milliseconds = u64::try_from(self.now / 1_000).unwrap_or(0);
        NewSaga {
            id: SagaId(Uuid::from_u128((u128::from(milliseconds) << 80) | (random >> 64))),
            definition,
            version: None,
            correlation_id: correlation_id(place),
            input: input.clone(),
            event: Event {
                id: format!("start {place}"),
                name: EventName::new("start").expect("a name"),
                data: input,
            },
            origin: Origin::default(),
            actor: None,
            seed,
            idempotency: None,
        }
    }

    /// What is brought, as its process sends it to the store.
    pub(super) fn advance(&mut self, call: usize) -> Option<Advance> {
        let seed = self.seed();
        let What::Bring {
            saga,
            input,
            expected_version,
        } = &self.asked[call].what
        else {
            return None;
        };
        Some(Advance {
            saga: *saga,
            request: Some(Request {
                input: input.clone(),
                expected: expected_version.map(Expected::Version),
                actor: None,
                reason: None,
            }),
            offer: None,
            seed,
        })
    }

    /// One of the events of the definition, or one that there is none of.
    pub(super) fn raise_any(&mut self, saga: SagaId, event: u32, id: u32, is_conditional: bool) {
        let events = &self.definitions.events;
        let place = usize::try_from(event).unwrap_or(0);
        let name = if event < 30 || events.is_empty() {
            EventName::new("unheard_of").expect("a name")
        } else {
            events[place % events.len()].clone()
        };
        let data = self.data();
        let event = Event {
            id: format!("event {id}"),
            name,
            data,
        };
        let row = self.rows.sagas.get(&saga);
        let version = row.and_then(|row| row.instance().ok()).map(|instance| instance.version);
        let expected_version = version.filter(|_| is_conditional);
        self.ask(Asked::bring(saga, Input::EventRaised(event), expected_version));
    }

    /// What every event and every output has that a definition may ask for; or nothing of it.
    pub(super) fn data(&mut self) -> JsonText {
        if self.chance.happens(self.faults.output_poor) {
            return JsonText::trusted("{}");
        }
        let is_ok = self.chance.happens(600);
        let data = format!(
            "{{\"ok\":{is_ok},\"transaction_id\":\"T\",\"reservation_id\":\"R\",\"tracking_number\":\"S\",\"message\":\"m\",\
             \"outputs\":[],\"prompt\":\"p\"}}"
        );
        JsonText::trusted(data)
    }

    pub(super) fn expected(&mut self, version: u64) -> Option<u64> {
        self.chance.happens(300).then_some(version)
    }

    pub(super) fn time(&self) -> orchestratum_core::Timestamp {
        timestamp(self.now)
    }
}
