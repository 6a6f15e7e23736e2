//! The lines in which callers wait for sagas: to be started, and to be looked at.

use std::sync::{Arc, Weak};

use orchestratum_core::saga::Input;
use orchestratum_store::{self as store, Advance, AdvanceOutcome, NewSaga, StartOutcome, Store};

use super::drive::{cut, looked, overdone};
use super::widths::{LOOKED_AT_ONCE, Turn, Widths};
use crate::Engine;
use crate::batcher::{Batcher, Bounds, Weight};
use crate::clock::Clock;
use crate::engine::Parts;

/// What became of a look that a caller waits for.
#[derive(Debug)]
pub(crate) enum Tried {
    Looked(AdvanceOutcome),
    /// Others were enough for one transaction: ask again.
    Not,
    /// By this one, or by so few that it may be by this one.
    Failed(Arc<store::Error>),
}

/// Those that callers bring something to, and those of workers that go on: as many at once.
const LOOKS: Bounds = Bounds {
    batch: Weight {
        rows: LOOKED_AT_ONCE,
        ..Bounds::HOT_PATH.batch
    },
    ..Bounds::HOT_PATH
};

/// Performs the starts that callers ask for. What must follow the commit of a batch is done with it: a caller may go away before it has
/// its answer, and what follows may concern the others as well.
pub(crate) fn start_batcher(
    engine: Weak<Parts>,
    store: &Arc<dyn Store>,
    clock: &Clock,
) -> Batcher<NewSaga, StartOutcome> {
    let (store, clock) = (Arc::clone(store), clock.clone());
    Batcher::start(Bounds::HOT_PATH, start_weight, move |sagas: Arc<Vec<NewSaga>>| {
        let (store, clock, engine) = (Arc::clone(&store), clock.clone(), Weak::clone(&engine));
        async move {
            let mut outcomes = store.start_sagas(&sagas, clock.now()).await?;
            if let Some(parts) = engine.upgrade() {
                Engine { parts }.after_starts(&mut outcomes);
            }
            Ok(outcomes)
        }
    })
}

/// The same for looks at sagas that are there.
pub(crate) fn look_batcher(
    engine: Weak<Parts>,
    store: &Arc<dyn Store>,
    clock: &Clock,
    (turn, widths): (Turn, &Arc<Widths>),
) -> Batcher<Advance, Tried> {
    let (store, clock, widths) = (Arc::clone(store), clock.clone(), Arc::clone(widths));
    Batcher::start(LOOKS, look_weight, move |advances: Arc<Vec<Advance>>| {
        let (store, clock, engine) = (Arc::clone(&store), clock.clone(), Weak::clone(&engine));
        let widths = Arc::clone(&widths);
        async move {
            let tried = widths.of(turn).get().min(advances.len());
            let mut outcomes = match store.advance_sagas(&advances[..tried], clock.now()).await {
                Ok(outcomes) => outcomes,
                Err(error) => return refused(error, turn, &widths, (tried, advances.len())),
            };
            widths.looked(turn, tried, cut(&mut outcomes));
            if let Some(parts) = engine.upgrade() {
                Engine { parts }.after_looks(outcomes.iter_mut().filter_map(looked));
            }
            let looked = outcomes.into_iter().map(|outcome| match outcome {
                AdvanceOutcome::Left { .. } => Tried::Not,
                outcome => Tried::Looked(outcome),
            });
            let not = std::iter::repeat_with(|| Tried::Not).take(advances.len() - tried);
            Ok(looked.chain(not).collect())
        }
    })
}

/// What each of `waiting` is told, the first `tried` of which could not be looked at. Nothing was done.
///
/// Fewer at once may do. Who was alone is told, and who was among those that waited for two looks that took too long: the database may be
/// away. The others have had no turn.
fn refused(
    error: store::Error,
    turn: Turn,
    widths: &Widths,
    (tried, waiting): (usize, usize),
) -> Result<Vec<Tried>, store::Error> {
    if waiting == 1 || !error.is_of_many() {
        return Err(error);
    }
    if tried > 1 {
        overdone(&error, tried);
        widths.overdone(turn, tried);
    }
    let is_told = tried == 1 || (error.is_timeout() && turn == Turn::Again);
    let error = Arc::new(error);
    let tell = |place| {
        if place < tried && is_told {
            Tried::Failed(Arc::clone(&error))
        } else {
            Tried::Not
        }
    };
    Ok((0..waiting).map(tell).collect())
}

pub(super) fn start_weight(saga: &NewSaga) -> Weight {
    // With its context, its first tasks, and the entry of its history.
    Weight {
        rows: 1,
        bytes: saga.input.len() * 3 + 2_000,
    }
}

fn look_weight(advance: &Advance) -> Weight {
    let data = advance.request.as_ref().map_or(0, |request| match &request.input {
        Input::EventRaised(event) => event.data.len(),
        _ => 0,
    });
    Weight {
        rows: 1,
        bytes: data * 2 + 2_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are told of it, and how many have another turn.
    fn told(error: store::Error, turn: Turn, counts: (usize, usize)) -> Option<(usize, usize)> {
        let answers = refused(error, turn, &Widths::default(), counts).ok()?;
        let failed = answers.iter().take_while(|answer| matches!(answer, Tried::Failed(_)));
        let failed = failed.count();
        let again = answers[failed..].iter().filter(|answer| matches!(answer, Tried::Not));
        Some((failed, again.count()))
    }

    fn timeout() -> store::Error {
        let error = store::Error::Unavailable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        assert!(error.is_timeout());
        error
    }

    #[test]
    fn who_has_had_no_turn_is_not_told_of_the_failure_of_others() {
        assert_eq!(told(timeout(), Turn::First, (256, 256)), Some((0, 256)), "fewer may do");
        assert_eq!(told(timeout(), Turn::First, (1, 256)), Some((1, 255)));
        assert_eq!(told(timeout(), Turn::Again, (3, 256)), Some((3, 253)));
        assert_eq!(told(store::Error::TooMuchAtOnce, Turn::Again, (3, 256)), Some((0, 256)));
        assert_eq!(told(store::Error::TooMuchAtOnce, Turn::Again, (1, 256)), Some((1, 255)));
        // Alone it has its error, and the batch is halved where one may be at fault.
        assert_eq!(told(timeout(), Turn::Again, (1, 1)), None);
        let damaged = store::Error::Rejected(sqlx::Error::RowNotFound);
        assert_eq!(told(damaged, Turn::First, (2, 2)), None);
    }

    #[test]
    fn looks_that_failed_are_followed_by_smaller_ones() {
        let widths = Widths::default();
        refused(timeout(), Turn::First, &widths, (256, 256)).expect("they are told");
        assert_eq!((widths.of(Turn::First).get(), widths.of(Turn::Again).get()), (128, 128));
    }
}
