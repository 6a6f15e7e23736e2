//! A look at a saga: everything that waits for it, put to `step` one by one.

use std::sync::Arc;

use orchestratum_core::saga::{
    CompiledDefinition, Cost, Decided, Definition, DefinitionName, Effect, Input, Instance, Note, Outcome, Phase,
    Purpose, Rejection, SagaEnd, State, StateName, Timer, step_in_place,
};
use orchestratum_core::task::{ErrorKind, SagaPlace, SpecLimits, TaskDraft, TaskError, Violations};
use orchestratum_core::{JsonText, Origin, SagaId, Timestamp, shortened};
use serde_json::json;

use super::super::follow::{may_take, task_id_at};
use super::super::saga_tasks::SagaTaskEnd;
use super::known::{KnownEvent, KnownEvents};
use super::{EventColumns, Taken};
use crate::{Announce, IssuedTask, NewTask, Request, Saga, SagaOffer, Stand, StartedChild, Told};

/// How many refusals the history of a saga keeps of what callers brought: they are told anyway.
const REFUSALS_KEPT: u32 = 1_000;

/// The most of what a child says of its end: it may be a long trace.
const REASON_MAX_BYTES: usize = 2_000;

/// Odd, so that different numbers stay different; the golden ratio, so that they differ in many bits.
const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// What the row of a saga has beside its instance.
#[derive(Debug, Clone)]
pub(crate) struct SagaHead {
    pub(crate) id: SagaId,
    pub(crate) definition: DefinitionName,
    pub(crate) definition_version: u32,
    pub(crate) parent: Option<(SagaId, u32)>,
    /// How many sagas are above it.
    pub(crate) depth: u8,
    pub(crate) origin: Origin,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) last_seq: u64,
    pub(crate) refusals: u32,
}

impl SagaHead {
    pub(crate) fn saga(&self, instance: Instance) -> Saga {
        Saga {
            id: self.id,
            definition: self.definition.clone(),
            definition_version: self.definition_version,
            parent: self.parent.map(|(parent, _)| parent),
            instance,
            created_at: self.created_at,
            updated_at: self.updated_at,
            finished_at: self.finished_at,
        }
    }
}

/// A saga under its lock.
#[derive(Debug)]
pub(crate) struct LockedSaga {
    pub(crate) head: SagaHead,
    pub(crate) definition: Arc<CompiledDefinition>,
    pub(crate) instance: Instance,
}

/// What waits to be looked at.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Its row.
    pub(crate) id: i64,
    pub(crate) input: Input,
}

/// What is to be written of an input.
#[derive(Debug)]
pub(crate) struct EventWrite {
    pub(crate) source: EventSource,
    pub(crate) seq: u64,
    pub(crate) refusal: Option<String>,
    pub(crate) version: u64,
    pub(crate) from: StateName,
    pub(crate) to: StateName,
    pub(crate) notes: String,
}

#[derive(Debug)]
pub(crate) enum EventSource {
    /// The row that waited.
    Arrived(i64),
    /// A new row.
    Brought {
        columns: Box<EventColumns>,
        actor: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerWrite {
    pub(crate) timer: Timer,
    pub(crate) at: Timestamp,
}

/// A child saga to be started.
#[derive(Debug)]
pub(crate) struct ChildSaga {
    pub(crate) id: SagaId,
    pub(crate) number: u32,
    pub(crate) definition: DefinitionName,
    pub(crate) correlation_id: String,
    pub(crate) input: JsonText,
}

/// What became of what a caller brought, and the saga then.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Answered,
    pub(crate) instance: Instance,
}

#[derive(Debug)]
pub(crate) enum Answered {
    Done,
    Repeated,
    Rejected(Rejection),
    NotThere,
    EventIdReused(String),
    /// The look was used up before.
    Left,
}

/// A saga after a look, and everything to be written with it.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) head: SagaHead,
    pub(crate) before: Stand,
    pub(crate) instance: Instance,
    pub(crate) events: Vec<EventWrite>,
    pub(crate) tasks: Vec<NewTask>,
    /// The one of them with which a worker goes on.
    pub(crate) taken: Option<Taken>,
    /// Tasks that could not be made, whose ends are to be looked at.
    pub(crate) unmade: Vec<SagaTaskEnd>,
    /// Of tasks or child sagas, by their numbers.
    pub(crate) cancels: Vec<u32>,
    pub(crate) timers: Vec<TimerWrite>,
    /// Entries whose timers are stopped.
    pub(crate) stopped: Vec<u32>,
    pub(crate) children: Vec<ChildSaga>,
    /// It is over now: its timers go, and who waits for it is told.
    pub(crate) ended: bool,
    pub(crate) parent_told: Option<(SagaId, u32, Outcome)>,
    pub(crate) answers: Vec<Answer>,
}

pub(crate) fn stand(instance: &Instance) -> Stand {
    Stand {
        status: instance.status(),
        state: instance.state.clone(),
        version: instance.version,
    }
}

/// A look at a saga: what has arrived is put to it, and then what callers bring.
#[derive(Debug)]
pub(crate) struct Folding<'a> {
    pub(super) definition: Arc<CompiledDefinition>,
    limits: &'a SpecLimits,
    seed: u128,
    pub(super) now: Timestamp,
    /// Each with the place of the look that has brought it.
    offers: Vec<(usize, &'a SagaOffer)>,
    /// What it is below is cancelled, or over.
    is_stopped: bool,
    /// The events that it has taken.
    known: KnownEvents,
    /// Of the steps since it was asked for last.
    cost: Cost,
    pub(super) folded: Folded,
}

impl<'a> Folding<'a> {
    pub(crate) fn new(saga: LockedSaga, (limits, seed): (&'a SpecLimits, u128), now: Timestamp) -> Self {
        let LockedSaga {
            head,
            definition,
            instance,
        } = saga;
        Self {
            definition,
            limits,
            seed,
            now,
            offers: Vec::new(),
            is_stopped: false,
            known: KnownEvents::new(),
            cost: Cost::default(),
            folded: Folded {
                before: stand(&instance),
                head,
                instance,
                events: Vec::new(),
                tasks: Vec::new(),
                taken: None,
                unmade: Vec::new(),
                cancels: Vec::new(),
                timers: Vec::new(),
                stopped: Vec::new(),
                children: Vec::new(),
                ended: false,
                parent_told: None,
                answers: Vec::new(),
            },
        }
    }

    /// A worker would go on with one of the tasks.
    pub(crate) fn offered(&mut self, by: usize, offer: &'a SagaOffer) {
        self.offers.push((by, offer));
    }

    /// Where its start arrives it ends instead.
    pub(crate) const fn never_begins(&mut self) {
        self.is_stopped = true;
    }

    /// These are the events that it has taken.
    pub(crate) fn knows(&mut self, known: KnownEvents) {
        self.known = known;
    }

    pub(crate) fn end(self) -> Folded {
        self.folded
    }
}

impl Folding<'_> {
    /// What a caller brings, after all that has arrived. It tells what that has cost.
    pub(crate) fn bring(&mut self, request: &Request) -> Cost {
        let outcome = self.brought(request);
        self.answer(outcome);
        // Each is answered with a copy of the saga.
        self.cost.parts += self.folded.instance.parts();
        std::mem::take(&mut self.cost)
    }

    /// What a caller brings is for another look.
    pub(crate) fn leave(&mut self) {
        self.answer(Answered::Left);
    }

    fn answer(&mut self, outcome: Answered) {
        let instance = self.folded.instance.clone();
        self.folded.answers.push(Answer { outcome, instance });
    }

    /// It tells what that has cost.
    pub(crate) fn arrive(&mut self, Arrived { id, input }: Arrived) -> Cost {
        let starts = matches!(input, Input::Started(_));
        if starts && self.is_stopped {
            self.cancel_unbegun();
        }
        let from = self.folded.instance.state.clone();
        let (notes, refusal) = match self.put(input) {
            Ok(notes) => (notes, None),
            Err(rejection) => (Told::default(), Some(rejection.to_string())),
        };
        // One that is over was so before its start was looked at, maybe by another look: who waits for it was told then.
        let is_unbegun = self.folded.instance.phase == Phase::Created;
        if let (true, true, Some(reason)) = (starts, is_unbegun, &refusal) {
            self.never_started(reason.clone());
        }
        self.record(EventSource::Arrived(id), from, &notes, refusal);
        std::mem::take(&mut self.cost)
    }

    fn brought(&mut self, request: &Request) -> Answered {
        let event = match &request.input {
            Input::EventRaised(event) => Some(event),
            _ => None,
        };
        if let Some(event) = event
            && let Some(taken) = self.known.get(&event.id)
        {
            return if taken.is(event) {
                Answered::Repeated
            } else {
                Answered::EventIdReused(event.id.clone())
            };
        }
        if request
            .expected
            .is_some_and(|expected| !expected.is(&self.folded.instance))
        {
            return Answered::NotThere;
        }
        let source = |columns: EventColumns| EventSource::Brought {
            columns: Box::new(columns),
            actor: request.actor.clone(),
        };
        let from = self.folded.instance.state.clone();
        match self.put(request.input.clone()) {
            Ok(notes) => {
                let taken = event.map(|event| (event.id.clone(), KnownEvent::of(event)));
                self.known.extend(taken);
                let mut columns = EventColumns::encode(&request.input);
                // What a person said of it; `step` has no use for that.
                let reason = request.reason.as_ref();
                columns.data = columns.data.or_else(|| Some(json!({ "reason": reason? }).to_string()));
                self.record(source(columns), from, &notes, None);
                Answered::Done
            }
            Err(rejection) => {
                if self.folded.head.refusals < REFUSALS_KEPT {
                    self.folded.head.refusals += 1;
                    let columns = EventColumns {
                        // Its sender has it, and is told.
                        data: None,
                        ..EventColumns::encode(&request.input)
                    };
                    self.record(source(columns), from, &Told::default(), Some(rejection.to_string()));
                }
                Answered::Rejected(rejection)
            }
        }
    }

    fn put(&mut self, input: Input) -> Result<Told<Note>, Rejection> {
        let (decided, cost) = step_in_place(
            &self.definition,
            &mut self.folded.instance,
            input,
            self.limits,
            self.now,
        );
        self.cost = cost;
        let Decided { effects, notes } = decided?;
        let mut told = Told {
            notes,
            ..Told::default()
        };
        for effect in effects {
            self.effect(effect, &mut told);
        }
        Ok(told)
    }

    pub(super) fn record(&mut self, source: EventSource, from: StateName, told: &Told<Note>, refusal: Option<String>) {
        let folded = &mut self.folded;
        folded.head.last_seq += 1;
        folded.head.updated_at = if refusal.is_none() {
            self.now
        } else {
            folded.head.updated_at
        };
        folded.events.push(EventWrite {
            source,
            seq: folded.head.last_seq,
            refusal,
            version: folded.instance.version,
            from,
            to: folded.instance.state.clone(),
            notes: told.written(),
        });
    }

    pub(super) fn effect(&mut self, effect: Effect, told: &mut Told<Note>) {
        match effect {
            Effect::IssueTask { number, purpose, task } => self.issue(number, purpose, *task, told),
            Effect::StartSaga {
                number,
                saga,
                correlation_id,
                input,
            } => {
                told.sagas.push(StartedChild {
                    number,
                    definition: saga.clone(),
                    correlation_id: correlation_id.clone(),
                });
                let order = u16::try_from(self.folded.children.len()).unwrap_or(u16::MAX);
                self.folded.children.push(ChildSaga {
                    id: SagaId(task_id_at(order, self.random(number), self.now).0),
                    number,
                    definition: saga,
                    correlation_id,
                    input,
                });
            }
            Effect::CancelTask { number } => {
                told.cancelled.push(number);
                self.folded.cancels.push(number);
                // One that this look has made must not begin.
                let is_it = |task: &NewTask| task.spec.saga.is_some_and(|place| place.number == number);
                let made = self.folded.tasks.iter().find(|task| is_it(task));
                if made.map(|task| task.spec.id) == self.folded.taken.map(|taken| taken.task) {
                    self.folded.taken = None;
                }
            }
            Effect::StartTimer { timer, at } => self.folded.timers.push(TimerWrite { timer, at }),
            Effect::StopTimers { entry } => {
                // One that this look has started was never written.
                self.folded.timers.retain(|write| write.timer.entry() != entry);
                self.folded.stopped.push(entry);
            }
            Effect::Finished { end } => self.finish(end, None),
        }
    }

    /// For the id of what has this number: made of its place in its saga, and of what nobody knows before.
    fn random(&self, number: u32) -> u128 {
        // A compensation that is retried has the number that it had: the version tells its tasks apart.
        let place = (u128::from(self.folded.instance.version) << 32) | u128::from(number);
        (self.seed ^ self.folded.head.id.0.as_u128()).wrapping_add((place + 1).wrapping_mul(SPREAD))
    }

    fn issue(&mut self, number: u32, purpose: Purpose, task: TaskDraft, told: &mut Told<Note>) {
        let place = SagaPlace {
            saga: self.folded.head.id,
            number,
            purpose,
        };
        let order = u16::try_from(self.folded.tasks.len()).unwrap_or(u16::MAX);
        let id = task_id_at(order, self.random(number), self.now);
        let name = task.name.clone();
        let made = task.check("", id, self.limits, self.now);
        told.tasks.push(IssuedTask {
            number,
            name,
            task_id: made.is_ok().then_some(id),
            compensation: purpose == Purpose::Compensation,
        });
        match made {
            Ok((mut spec, life)) => {
                spec.saga = Some(place);
                if self.folded.taken.is_none() && spec.conditions.is_none() {
                    let serves = |(_, offer): &&(usize, &SagaOffer)| {
                        may_take(&offer.takes, offer.priority, &spec, &life, self.now)
                    };
                    let offer = self.offers.iter().find(serves);
                    self.folded.taken = offer.map(|(by, offer)| Taken {
                        task: id,
                        worker: offer.takes.worker,
                        by: *by,
                    });
                }
                self.folded.tasks.push(NewTask {
                    spec,
                    life,
                    // Whoever looked, right after the commit.
                    announce: Announce::ByCaller,
                    request_hash: None,
                    origin: self.folded.head.origin.clone(),
                });
            }
            // It was checked in the step, by the same limits: but a saga must never wait for what does not exist.
            Err(violations) => self
                .folded
                .unmade
                .push(SagaTaskEnd::unmade(place, in_words(&violations))),
        }
    }

    /// It is cancelled before its start is looked at, which then comes too late.
    fn cancel_unbegun(&mut self) {
        let cancel = Input::CancelRequested;
        let columns = EventColumns::encode(&cancel);
        let from = self.folded.instance.state.clone();
        if let Ok(told) = self.put(cancel) {
            let source = EventSource::Brought {
                columns: Box::new(columns),
                actor: None,
            };
            self.record(source, from, &told, None);
        }
    }

    /// A child that cannot begin: who waits for it must not wait for ever.
    fn never_started(&mut self, reason: String) {
        self.folded.instance.phase = Phase::Ended { end: SagaEnd::Failed };
        self.finish(SagaEnd::Failed, Some(reason));
    }

    fn finish(&mut self, end: SagaEnd, reason: Option<String>) {
        let folded = &mut self.folded;
        folded.ended = true;
        folded.timers.clear();
        folded.head.finished_at = Some(self.now);
        if let Some((parent, number)) = folded.head.parent {
            let reason = reason.unwrap_or_else(|| reason_of(self.definition.definition(), &folded.instance, end));
            let outcome = outcome_of(&folded.instance, end, reason);
            folded.parent_told = Some((parent, number, outcome));
        }
    }
}

fn in_words(violations: &Violations) -> String {
    let told = violations
        .0
        .iter()
        .map(|one| format!("{}: {}", one.pointer, one.message));
    told.collect::<Vec<_>>().join("; ")
}

/// Where it ended; and why, where its state names a field of its context that says so.
fn reason_of(definition: &Definition, instance: &Instance, end: SagaEnd) -> String {
    let how = if end == SagaEnd::Cancelled {
        "was cancelled"
    } else {
        "ended"
    };
    let ended = format!("the saga {} {how} in {}", instance.id, instance.state);
    let Some(State::Final {
        reason: Some(field), ..
    }) = definition.states.get(&instance.state)
    else {
        return ended;
    };
    let told = instance
        .context
        .get(field)
        .map(JsonText::as_str)
        .filter(|told| *told != "null");
    let Some(told) = told else { return ended };
    // What is no text is told as the JSON that it is.
    let told = serde_json::from_str::<String>(told).unwrap_or_else(|_| told.to_owned());
    format!("{ended}: {}", shortened(&told, REASON_MAX_BYTES, ""))
}

/// The end of a child as its parent sees it: its context, or why there is none.
fn outcome_of(instance: &Instance, end: SagaEnd, reason: String) -> Outcome {
    let unsuccessful = |kind: ErrorKind| Outcome::Unsuccessful {
        error: TaskError::new(kind, reason),
        // Whatever it did it has undone, or it says otherwise.
        may_have_run: false,
    };
    match end {
        SagaEnd::Completed => {
            let context = serde_json::to_string(&instance.context).expect("fields of JSON are always JSON");
            Outcome::Succeeded {
                output: JsonText::trusted(context),
            }
        }
        SagaEnd::Failed => unsuccessful(ErrorKind::Failed),
        SagaEnd::TimedOut => unsuccessful(ErrorKind::TimedOut),
        SagaEnd::Cancelled => unsuccessful(ErrorKind::Cancelled),
    }
}

#[cfg(test)]
mod tests;
