//! One statement a second asks what there is to do; each loop runs only if there is something.

use std::time::{Duration, Instant};

use orchestratum_core::Timestamp;
use orchestratum_store::Pulse;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Pass, RUNNING_GRACE, due, expire, groups, leases, rates, rescue, sagas, schedules, sleep_unless_moved, unoffered,
};
use crate::clock::{Moves, monotonic_now};
use crate::{Engine, Error, error};

/// The longest time between two looks.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two looks where tasks get starts one by one: what is earned meanwhile is given together.
const BREATH: Duration = Duration::from_millis(50);

/// How often it is asked whether names are offered by nobody: those tasks wait half a minute anyway.
const UNOFFERED_EVERY: Duration = Duration::from_secs(5);

/// For how long after its start a process leaves leases of external workers alone: they could not be renewed while nobody was
/// there to take heartbeats, which come at least so often.
const HEARTBEATS_WAITED_FOR: Duration = Duration::from_secs(10);

/// `again` after a panic: what it knew is gone, and the database may have been away.
pub(super) async fn run(engine: Engine, pulses: watch::Sender<Pulse>, again: bool, stop: CancellationToken) {
    let mut state = State {
        lost_database: again,
        ..State::default()
    };
    let mut moves = engine.parts.clock.moves();
    loop {
        let wait = match look(&engine, &pulses, &mut state).await {
            Ok((pulse, now)) => {
                state.notice(&mut moves);
                let acted = act(&engine, &pulse, now, &mut state).await;
                let rated = rates::tick(&engine, &pulse, &mut state.rated, now).await;
                until_next(&pulse, acted, rated, now)
            }
            Err(error) => {
                state.lost_database = error.is_transient();
                tracing::warn!(error = %error::chain(&error), "the background loops cannot work");
                INTERVAL
            }
        };
        if !sleep_unless_moved(engine.parts.clock.sleep_for(wait), &mut moves, &stop).await {
            return;
        }
    }
}

/// One pass, without what a loop remembers.
pub(super) async fn once(engine: &Engine) -> Result<bool, Error> {
    let pulses = watch::Sender::new(Pulse::default());
    let mut state = State::default();
    let (pulse, now) = look(engine, &pulses, &mut state).await?;
    Ok(act(engine, &pulse, now, &mut state).await.more)
}

/// What one pass of the loops did.
#[derive(Debug, Default, Clone, Copy)]
struct Acted {
    /// One of them has more to do.
    more: bool,
    /// Tasks that were due became ready: those that wait for a start of the same keys are due at times that the pulse did not know.
    released: bool,
}

#[derive(Default)]
struct State {
    lost_database: bool,
    /// No worker is declared dead before this: when the database was away, all of them were silent.
    no_rescue_before: Option<Timestamp>,
    /// No lease of an external worker is taken for over before this.
    no_lease_ends_before: Option<Timestamp>,
    unoffered_asked_at: Option<Timestamp>,
    unoffered_rounds: unoffered::Rounds,
    rated: rates::Seen,
    /// When the clock was moved by hand: workers had no time yet to end what is overdue by that.
    moved: Option<Instant>,
}

impl State {
    /// To be called after the time was read, so that a move that this time knows is known here.
    fn notice(&mut self, moves: &mut Moves) {
        if moves.take() {
            self.moved = Some(monotonic_now());
        }
    }

    fn leaves_running_to_workers(&self) -> bool {
        let since = |moved| monotonic_now().saturating_duration_since(moved);
        self.moved.is_some_and(|moved| since(moved) < RUNNING_GRACE)
    }
}

/// What there is to do, and the time of the same look: a sweep that ends other people's work decides by no other.
async fn look(engine: &Engine, pulses: &watch::Sender<Pulse>, state: &mut State) -> Result<(Pulse, Timestamp), Error> {
    let parts = &engine.parts;
    parts.clock.sample(parts.store.database_time()).await?;
    let now = parts.clock.now();
    if std::mem::take(&mut state.lost_database) {
        state.no_rescue_before = Some(now + parts.settings.worker.lease());
        state.no_lease_ends_before = None;
    }
    state.no_lease_ends_before.get_or_insert(now + HEARTBEATS_WAITED_FOR);
    let pulse = parts.store.pulse(now, RUNNING_GRACE).await?;
    pulses.send_replace(pulse.clone());
    Ok((pulse, now))
}

/// One pass of each loop that has something to do. A loop that fails does not keep the others from their work.
async fn act(engine: &Engine, pulse: &Pulse, now: Timestamp, state: &mut State) -> Acted {
    let (mut more, mut released) = (false, false);
    if pulse.next_due_at.is_some_and(|due_at| due_at <= now) {
        let pass = due::tick(engine, now).await;
        released = pass.as_ref().is_ok_and(|pass| pass.done > 0);
        more |= passed("due", pass);
    }
    if pulse.next_schedule_at.is_some_and(|wake_at| wake_at <= now) {
        more |= passed("schedules", schedules::tick(engine, now).await);
    }
    if pulse.next_deadline.is_some_and(|deadline| deadline <= now) || pulse.overdue_running {
        more |= passed(
            "expire",
            expire::tick(engine, state.leaves_running_to_workers(), now).await,
        );
    }
    if pulse.next_saga_timer_at.is_some_and(|due_at| due_at <= now) {
        more |= passed("timers of sagas", sagas::fire(engine, now).await);
    }
    if pulse.unlooked_sagas {
        more |= passed("sagas", sagas::look(engine).await);
    }
    if pulse.groups {
        more |= passed("groups", groups::tick(engine).await);
    }
    if state.no_rescue_before.is_none_or(|before| now >= before) && (pulse.silent_workers || pulse.orphans) {
        more |= passed("rescue", rescue::tick(engine, now).await);
    }
    if pulse.ended_leases && state.no_lease_ends_before.is_none_or(|before| now >= before) {
        more |= passed("leases", leases::tick(engine, now).await);
    }
    if !pulse.ready_targets.is_empty()
        && state
            .unoffered_asked_at
            .is_none_or(|at| now.saturating_since(at) >= UNOFFERED_EVERY)
    {
        state.unoffered_asked_at = Some(now);
        more |= passed(
            "unoffered",
            unoffered::tick(engine, &pulse.ready_targets, &mut state.unoffered_rounds, now).await,
        );
    }
    Acted { more, released }
}

fn passed(name: &'static str, pass: Result<Pass, Error>) -> bool {
    match pass {
        Ok(pass) => pass.more,
        Err(error) => {
            tracing::warn!(background_loop = name, error = %error::chain(&error), "a background loop failed");
            false
        }
    }
}

/// A back-off of a tenth of a second must not take a whole one. `rated` is when a target with a rate has its next start.
fn until_next(pulse: &Pulse, acted: Acted, rated: Option<Timestamp>, now: Timestamp) -> Duration {
    if acted.more {
        return Duration::ZERO;
    }
    let next = [
        pulse.next_due_at,
        pulse.next_deadline,
        pulse.next_schedule_at,
        pulse.next_saga_timer_at,
    ];
    let next = next
        .into_iter()
        .flatten()
        .filter(|next| *next > now)
        .map(|next| next.saturating_since(now))
        .fold(INTERVAL, Duration::min);
    let rated = rated.map(|at| at.saturating_since(now).max(BREATH));
    let again = acted.released.then_some(BREATH);
    rated.into_iter().chain(again).fold(next, Duration::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sleep_ends_at_the_next_due_time_but_lasts_no_longer_than_a_second() {
        let now = Timestamp::from_micros(10_000_000);
        let pulse = |micros| Pulse {
            next_due_at: Some(Timestamp::from_micros(micros)),
            ..Pulse::default()
        };
        let idle = Acted::default();
        assert_eq!(until_next(&Pulse::default(), idle, None, now), INTERVAL);
        assert_eq!(
            until_next(&pulse(10_100_000), idle, None, now),
            Duration::from_millis(100)
        );
        assert_eq!(until_next(&pulse(99_000_000), idle, None, now), INTERVAL);
        assert_eq!(
            until_next(&pulse(9_000_000), idle, None, now),
            INTERVAL,
            "what is past was dealt with in this pass"
        );
    }

    #[test]
    fn who_waits_for_a_start_is_looked_at_again_as_soon_as_there_is_one() {
        let now = Timestamp::from_micros(10_000_000);
        let until = |released, rated| {
            let acted = Acted { more: false, released };
            until_next(&Pulse::default(), acted, rated, now)
        };
        assert_eq!(until(true, None), BREATH, "the next start of the key is not known");
        let soon = Duration::from_millis(300);
        assert_eq!(until(false, Some(now + soon)), soon);
        assert_eq!(until(false, Some(now)), BREATH);
        let acted = Acted {
            more: true,
            released: true,
        };
        assert_eq!(until_next(&Pulse::default(), acted, None, now), Duration::ZERO);
    }
}
