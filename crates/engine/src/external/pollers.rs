//! Claims that wait for tasks.
//!
//! Whoever makes a task ready in this process tells of it here, and for what other processes do one statement asks the
//! database four times a second on behalf of all who wait. Each ready task wakes one of them, in the order in which they came,
//! and one that asked for many is left to take many: so a task never makes a herd of claims. They stand in a queue for each name at
//! each target, and whoever is told of something looks at the heads of these alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use orchestratum_core::{Target, TaskName};
use orchestratum_store::Offer;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::places::{Full, Place, Places};

/// The most that wait.
const WAITING_MAX: usize = 2_000;

/// The most of one key.
const WAITING_OF_ONE_KEY_MAX: usize = 200;

/// One that offers more than so many names at targets counts as several: so few stand in all queues together.
const OFFERS_OF_ONE: usize = 100;

#[derive(Debug)]
pub(crate) struct Pollers {
    places: Arc<Places>,
    queues: Mutex<Queues>,
    /// The first of them came: somebody should ask the database.
    pub(crate) came: Notify,
    /// The process is stopping: nobody waits any more.
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct Queues {
    waiting: HashMap<u64, Poller>,
    /// Those who wait for it, in the order in which they came. One that has no room any more may stand in it.
    by_offer: BTreeMap<Offer, BTreeSet<u64>>,
    next: u64,
    /// The last that the database was asked for.
    asked: Option<Offer>,
}

#[derive(Debug)]
struct Poller {
    offers: Vec<Offer>,
    /// How many more tasks it would take than it was told of.
    room: usize,
    most: usize,
    woken: Arc<Notify>,
}

/// A place among those who wait, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    pollers: Arc<Pollers>,
    number: u64,
    woken: Arc<Notify>,
    _place: Place,
}

impl Default for Pollers {
    fn default() -> Self {
        Self {
            places: Places::new(WAITING_MAX, WAITING_OF_ONE_KEY_MAX),
            queues: Mutex::default(),
            came: Notify::new(),
            over: CancellationToken::new(),
        }
    }
}

impl Pollers {
    /// # Errors
    /// [`Error::TooManyWaitingClaims`], [`Error::TooManyWaitingClaimsOfOneKey`]
    pub(crate) fn enlist(
        self: &Arc<Self>,
        key_id: &str,
        targets: &[Target],
        names: &[TaskName],
        most: usize,
    ) -> Result<Waiting, Error> {
        let size = (targets.len() * names.len()).div_ceil(OFFERS_OF_ONE);
        let place = self.places.take(key_id, size).map_err(|full| match full {
            Full::All => Error::TooManyWaitingClaims { most: WAITING_MAX },
            Full::OfOneKey { most } => Error::TooManyWaitingClaimsOfOneKey { most },
        })?;
        let offers = targets.iter().flat_map(|target| {
            names.iter().map(|name| Offer {
                target: target.clone(),
                name: name.clone(),
            })
        });
        let woken = Arc::new(Notify::new());
        let poller = Poller {
            offers: offers.collect(),
            room: most,
            most,
            woken: Arc::clone(&woken),
        };
        let number = self.queues.lock().add(poller);
        self.came.notify_one();
        Ok(Waiting {
            pollers: Arc::clone(self),
            number,
            woken,
            _place: place,
        })
    }

    /// So many tasks of the name became ready at the target.
    pub(crate) fn ready(&self, offer: &Offer, tasks: usize) {
        self.queues.lock().ready(offer, tasks);
    }

    /// A task of each of these became ready.
    pub(crate) fn all_ready<'a>(&self, tasks: impl IntoIterator<Item = (&'a Target, &'a TaskName)>) {
        let mut queues = self.queues.lock();
        // Mostly nobody waits, and then nothing is done for each task.
        if queues.waiting.is_empty() {
            return;
        }
        for (target, name) in tasks {
            let offer = Offer {
                target: target.clone(),
                name: name.clone(),
            };
            queues.ready(&offer, 1);
        }
    }

    pub(crate) fn any(&self) -> bool {
        !self.queues.lock().waiting.is_empty()
    }

    /// What those offer who were not told of anything: so much of it, and what comes behind it the next time.
    pub(crate) fn offers(&self, most: usize) -> Vec<Offer> {
        self.queues.lock().offers(most)
    }

    /// From now on nobody waits.
    pub(crate) fn give_up(&self) {
        self.over.cancel();
    }
}

impl Queues {
    fn add(&mut self, poller: Poller) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, poller);
        self.queue(number);
        number
    }

    /// Where it stands already it keeps its place.
    fn queue(&mut self, number: u64) {
        let Some(poller) = self.waiting.get_mut(&number) else {
            return;
        };
        poller.room = poller.most;
        for offer in &poller.offers {
            if let Some(queue) = self.by_offer.get_mut(offer) {
                queue.insert(number);
            } else {
                self.by_offer.insert(offer.clone(), BTreeSet::from([number]));
            }
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(poller) = self.waiting.remove(&number) else {
            return;
        };
        for offer in &poller.offers {
            if let Some(queue) = self.by_offer.get_mut(offer) {
                queue.remove(&number);
                if queue.is_empty() {
                    self.by_offer.remove(offer);
                }
            }
        }
    }

    fn ready(&mut self, offer: &Offer, tasks: usize) {
        let Some(queue) = self.by_offer.get_mut(offer) else {
            return;
        };
        let mut left = tasks;
        while left > 0
            && let Some(first) = queue.first()
        {
            if let Some(poller) = self.waiting.get_mut(first).filter(|poller| poller.room > 0) {
                let taken = poller.room.min(left);
                poller.room -= taken;
                left -= taken;
                poller.woken.notify_one();
                if poller.room > 0 {
                    return;
                }
            }
            // It comes back if others were faster.
            queue.pop_first();
        }
    }

    fn offers(&mut self, most: usize) -> Vec<Offer> {
        let has_room = |number: &u64| self.waiting.get(number).is_some_and(|poller| poller.room > 0);
        let wanted = |(offer, queue): (&Offer, &BTreeSet<u64>)| queue.iter().any(has_room).then(|| offer.clone());
        let last = self.asked.as_ref();
        let behind = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut offers: Vec<Offer> = self.by_offer.range(behind).filter_map(wanted).take(most).collect();
        if let Some(last) = last {
            let before = self.by_offer.range(..=last).filter_map(wanted);
            offers.extend(before.take(most - offers.len()));
        }
        self.asked = offers.last().cloned();
        offers
    }
}

impl Waiting {
    /// There may be something to claim. `false` if the process stops.
    pub(crate) async fn woken(&self) -> bool {
        tokio::select! {
            () = self.woken.notified() => true,
            () = self.pollers.over.cancelled() => false,
        }
    }

    /// Others were faster: it waits on, in its old place.
    pub(crate) fn again(&self) {
        self.pollers.queues.lock().queue(self.number);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pollers.queues.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn target(text: &str) -> Target {
        Target::new(text).expect("a target")
    }

    fn name(text: &str) -> TaskName {
        TaskName::new(text).expect("a name")
    }

    fn offer(text: &str) -> Offer {
        Offer {
            target: target("default"),
            name: name(text),
        }
    }

    fn enlist(pollers: &Arc<Pollers>, at: &str, offers: &str, most: usize) -> Waiting {
        let waiting = pollers.enlist("key", &[target(at)], &[name(offers)], most);
        waiting.expect("there is a place")
    }

    fn is_woken(waiting: &Waiting) -> bool {
        waiting.woken().now_or_never().is_some()
    }

    #[tokio::test]
    async fn each_ready_task_wakes_one_of_those_who_offer_its_name() {
        let pollers = Arc::new(Pollers::default());
        let enlist = |at: &str, offers: &str, most| enlist(&pollers, at, offers, most);
        let (elsewhere, first, other, second, third) = (
            enlist("gpu", "mail", 1),
            enlist("default", "mail", 2),
            enlist("default", "sms", 1),
            enlist("default", "mail", 1),
            enlist("default", "mail", 1),
        );
        pollers.ready(&offer("mail"), 1);
        pollers.ready(&offer("mail"), 1);
        assert!(is_woken(&first), "the first one takes both");
        assert!(!is_woken(&second));
        pollers.ready(&offer("mail"), 2);
        assert!(is_woken(&second) && is_woken(&third));
        assert!(!is_woken(&elsewhere) && !is_woken(&other));
    }

    #[tokio::test]
    async fn who_came_too_late_keeps_the_place_and_who_goes_is_forgotten() {
        let pollers = Arc::new(Pollers::default());
        let first = enlist(&pollers, "default", "mail", 1);
        let second = enlist(&pollers, "default", "mail", 1);
        pollers.ready(&offer("mail"), 1);
        assert!(is_woken(&first));
        assert_eq!(pollers.offers(10).len(), 1, "the second one is still to be asked for");
        first.again();
        pollers.ready(&offer("mail"), 1);
        assert!(is_woken(&first) && !is_woken(&second));
        drop((first, second));
        assert!(!pollers.any() && pollers.offers(10).is_empty());
        assert!(pollers.queues.lock().by_offer.is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_in_a_process_that_stops() {
        let pollers = Arc::new(Pollers::default());
        pollers.give_up();
        let waiting = enlist(&pollers, "default", "mail", 1);
        assert!(!waiting.woken().await);
    }

    #[tokio::test]
    async fn a_key_and_a_process_hold_a_bounded_number_of_claims() {
        let pollers = Arc::new(Pollers::default());
        let of_key = |key: String| pollers.enlist(&key, &[target("default")], &[name("mail")], 1);
        let held: Vec<Waiting> = (0..WAITING_MAX)
            .map(|number| of_key(format!("key {}", number % 10)).expect("there is a place"))
            .collect();
        assert!(matches!(
            of_key("another".to_owned()),
            Err(Error::TooManyWaitingClaims { most: WAITING_MAX })
        ));
        drop(held);
        let names: Vec<TaskName> = (0..100).map(|number| name(&format!("n{number}"))).collect();
        let targets: Vec<Target> = (0..16).map(|number| target(&format!("t{number}"))).collect();
        let large = || pollers.enlist("key", &targets, &names, 1);
        let held: Vec<Waiting> = (0..12).map(|_| large().expect("there is a place")).collect();
        assert!(matches!(
            large(),
            Err(Error::TooManyWaitingClaimsOfOneKey {
                most: WAITING_OF_ONE_KEY_MAX
            })
        ));
        drop(held);
        assert!(large().is_ok());
    }

    #[tokio::test]
    async fn the_database_is_asked_for_all_offers_in_turn() {
        let pollers = Arc::new(Pollers::default());
        let waiting = ["a", "b", "c", "d", "e"].map(|offers| enlist(&pollers, "default", offers, 1));
        let names = |most| {
            let offers = pollers.offers(most).into_iter();
            offers.map(|offer| offer.name.to_string()).collect::<String>()
        };
        assert_eq!([names(2), names(2), names(2)], ["ab", "cd", "ea"]);
        assert_eq!(names(10), "bcdea");
        pollers.all_ready([(&target("default"), &name("b"))]);
        assert_eq!(names(10), "cdea", "it claims");
        waiting[1].again();
        drop(waiting);
        assert_eq!(names(10), "");
    }
}
