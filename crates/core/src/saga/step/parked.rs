//! What could not be done, taken again or given up by a person.

use super::bounds::PARKED_MAX;
use super::run::{Failure, Run, Untaken};
use super::{Note, Rejection};
use crate::saga::definition::Fields;
use crate::saga::instance::{Cause, Event, Parked, Phase, Timer};
use crate::text::shortened;

/// The most of a reason: that of a task may be a long trace.
const REASON_MAX_BYTES: usize = 2_000;

/// How many things of the saga may be gone through before the rest of what is parked is left for the next time: for each that is taken
/// again what was before it is kept. It takes a tenth of a second.
const RETRIED_MAX_PARTS: usize = 500_000;

/// The most of it where there are more than anybody reads.
const REASON_OF_MANY_MAX_BYTES: usize = 200;

/// The most of the reason of one of so many.
pub(super) const fn reason_max_bytes(others: usize) -> usize {
    if others < PARKED_MAX {
        REASON_MAX_BYTES
    } else {
        REASON_OF_MANY_MAX_BYTES
    }
}

impl Run<'_> {
    /// Keeps what cannot be done now.
    pub(super) fn park(&mut self, cause: Cause, Failure(reason): Failure) {
        if self.instance.parked.len() >= PARKED_MAX {
            self.resolve_left();
        }
        let number = self.number();
        let most = reason_max_bytes(self.instance.parked.len());
        let reason = shortened(&reason, most, "").into_owned();
        self.instance.parked.push(Parked {
            number,
            cause,
            reason: reason.clone(),
        });
        self.notes.push(Note::Parked { number, reason });
    }

    /// What belongs to a state that was left would do nothing if it were taken again. A saga that goes in a circle would gather it.
    fn resolve_left(&mut self) {
        let entry = self.instance.entry;
        let notes = &mut self.notes;
        self.instance.parked.retain(|parked| {
            let is_left = match &parked.cause {
                Cause::Timer(timer) => ![Timer::Saga.entry(), entry].contains(&timer.entry()),
                Cause::Entry { entry: of, .. } => *of != entry,
                Cause::Event(_) | Cause::Task { .. } | Cause::Join { .. } => false,
            };
            if is_left {
                notes.push(Note::ParkedResolved { number: parked.number });
            }
            !is_left
        });
    }

    fn take_parked(&mut self, number: u32) -> Result<(usize, Parked), Rejection> {
        let index = self.instance.parked.iter().position(|parked| parked.number == number);
        let index = index.ok_or(Rejection::NotParked { number })?;
        Ok((index, self.instance.parked.remove(index)))
    }

    pub(super) fn discard_parked(&mut self, number: u32) -> Result<(), Rejection> {
        self.take_parked(number)?;
        self.notes.push(Note::ParkedDiscarded { number });
        Ok(())
    }

    /// Takes one again. Where that fails once more, it keeps its place and its number.
    pub(super) fn retry_parked(&mut self, number: u32) -> Result<(), Rejection> {
        let (index, parked) = self.take_parked(number)?;
        match self.again(&parked) {
            Ok(()) => Ok(()),
            Err(Untaken::Rejected(rejection)) => Err(rejection),
            Err(Untaken::Failed(failure)) => {
                let parked = self.parked_again(parked, failure);
                self.instance.parked.insert(index, parked);
                Ok(())
            }
        }
    }

    /// Takes all of them again, the oldest first, with these fields in the context. Those behind one that ends the saga, or
    /// begins to undo it, stay; so do those of a very large saga that are too many for one time, and are the first of the next.
    /// What cannot be taken again keeps its reason.
    pub(super) fn retry_all(&mut self, context: Fields) -> Result<(), Rejection> {
        if self.instance.parked.is_empty() {
            return Err(Rejection::NothingParked);
        }
        self.instance.context.extend(context);
        self.context_changed();
        self.bound_context()
            .map_err(|Failure(reason)| Rejection::InvalidContext(reason))?;
        let all = std::mem::take(&mut self.instance.parked);
        let (mut kept, mut left) = (Vec::new(), Vec::new());
        let mut taken = 0..all.len();
        let (mut over, mut is_one_taken) = (None, false);
        for parked in all {
            taken.next();
            self.set_aside = taken.len() + kept.len() + left.len();
            if self.instance.phase != Phase::Running || self.gone_through >= RETRIED_MAX_PARTS {
                left.push(parked);
                continue;
            }
            let again = self.again(&parked);
            if let Err(Untaken::Rejected(rejection @ Rejection::TaskIsOver { .. })) = again {
                over.get_or_insert(rejection);
                kept.push(parked);
                continue;
            }
            is_one_taken = true;
            match again {
                Ok(()) => {}
                Err(Untaken::Rejected(rejection)) => {
                    let parked = self.parked_again(parked, Failure(rejection.to_string()));
                    kept.push(parked);
                }
                Err(Untaken::Failed(failure)) => {
                    let parked = self.parked_again(parked, failure);
                    kept.push(parked);
                }
            }
        }
        self.set_aside = 0;
        if let Some(rejection) = over.filter(|_| !is_one_taken) {
            return Err(rejection);
        }
        // What was parked meanwhile is younger.
        self.instance.parked.splice(0..0, left.into_iter().chain(kept));
        Ok(())
    }

    fn parked_again(&mut self, parked: Parked, Failure(reason): Failure) -> Parked {
        self.notes.push(Note::Parked {
            number: parked.number,
            reason: reason.clone(),
        });
        Parked { reason, ..parked }
    }

    fn again(&mut self, parked: &Parked) -> Result<(), Untaken> {
        let done = match &parked.cause {
            Cause::Event(event) => {
                if !Event::is_own(&event.id) {
                    self.admit(event)?;
                }
                if self.raise(event)? {
                    Ok(())
                } else {
                    Err(Untaken::Rejected(self.not_taken(event)))
                }
            }
            Cause::Timer(timer) => self.fire(*timer),
            Cause::Entry { entry, event } => self.enter_again(*entry, event),
            Cause::Task { number, live } => self.issue_again(*number, live),
            Cause::Join { number } => Err(Rejection::TaskIsOver { number: *number }.into()),
        };
        match done {
            // The state was left: what it was to do means nothing any more.
            Ok(()) | Err(Untaken::Rejected(Rejection::StaleTimer)) => {
                self.notes.push(Note::ParkedResolved { number: parked.number });
                Ok(())
            }
            Err(untaken) => Err(untaken),
        }
    }
}
