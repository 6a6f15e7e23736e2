//! Claims that wait for tasks.
//!
//! Whoever makes a task ready in this process tells of it here, and for what other processes do one statement asks the
//! database four times a second on behalf of all who wait. Each ready task wakes one of them, in the order in which they came,
//! and one that asked for many is left to take many: so a task never makes a herd of claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orchestratum_core::{Target, TaskName};
use orchestratum_store::Offer;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(crate) struct Pollers {
    /// In the order in which they came.
    waiting: Mutex<BTreeMap<u64, Poller>>,
    next: AtomicU64,
    /// The first of them came: somebody should ask the database.
    pub(crate) came: Notify,
    /// The process is stopping: nobody waits any more.
    over: CancellationToken,
}

#[derive(Debug)]
struct Poller {
    targets: BTreeSet<Target>,
    names: BTreeSet<TaskName>,
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
}

impl Pollers {
    pub(crate) fn enlist(self: &Arc<Self>, targets: &[Target], names: &[TaskName], most: usize) -> Waiting {
        let woken = Arc::new(Notify::new());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let poller = Poller {
            targets: targets.iter().cloned().collect(),
            names: names.iter().cloned().collect(),
            room: most,
            most,
            woken: Arc::clone(&woken),
        };
        self.waiting.lock().insert(number, poller);
        self.came.notify_one();
        Waiting {
            pollers: Arc::clone(self),
            number,
            woken,
        }
    }

    /// So many tasks of the name became ready at the target.
    pub(crate) fn ready(&self, target: &Target, name: &TaskName, tasks: usize) {
        let mut left = tasks;
        for poller in self.waiting.lock().values_mut() {
            if left == 0 {
                return;
            }
            if poller.room > 0 && poller.names.contains(name) && poller.targets.contains(target) {
                let taken = poller.room.min(left);
                poller.room -= taken;
                left -= taken;
                poller.woken.notify_one();
            }
        }
    }

    pub(crate) fn any(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    /// What those offer who were not told of anything.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let waiting = self.waiting.lock();
        let mut offers = BTreeSet::new();
        for poller in waiting.values().filter(|poller| poller.room > 0) {
            for target in &poller.targets {
                let of_target = poller.names.iter().map(|name| Offer {
                    target: target.clone(),
                    name: name.clone(),
                });
                offers.extend(of_target);
            }
        }
        offers.into_iter().collect()
    }

    /// From now on nobody waits.
    pub(crate) fn give_up(&self) {
        self.over.cancel();
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
        if let Some(poller) = self.pollers.waiting.lock().get_mut(&self.number) {
            poller.room = poller.most;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pollers.waiting.lock().remove(&self.number);
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

    fn is_woken(waiting: &Waiting) -> bool {
        waiting.woken().now_or_never().is_some()
    }

    #[tokio::test]
    async fn each_ready_task_wakes_one_of_those_who_offer_its_name() {
        let pollers = Arc::new(Pollers::default());
        let enlist = |at: &str, offers: &str, most| pollers.enlist(&[target(at)], &[name(offers)], most);
        let (elsewhere, first, other, second, third) = (
            enlist("gpu", "mail", 1),
            enlist("default", "mail", 2),
            enlist("default", "sms", 1),
            enlist("default", "mail", 1),
            enlist("default", "mail", 1),
        );
        pollers.ready(&target("default"), &name("mail"), 1);
        pollers.ready(&target("default"), &name("mail"), 1);
        assert!(is_woken(&first), "the first one takes both");
        assert!(!is_woken(&second));
        pollers.ready(&target("default"), &name("mail"), 2);
        assert!(is_woken(&second) && is_woken(&third));
        assert!(!is_woken(&elsewhere) && !is_woken(&other));
    }

    #[tokio::test]
    async fn who_came_too_late_keeps_the_place_and_who_goes_is_forgotten() {
        let pollers = Arc::new(Pollers::default());
        let first = pollers.enlist(&[target("default")], &[name("mail")], 1);
        let second = pollers.enlist(&[target("default")], &[name("mail")], 1);
        pollers.ready(&target("default"), &name("mail"), 1);
        assert!(is_woken(&first));
        assert_eq!(pollers.offers().len(), 1, "the second one is still to be asked for");
        first.again();
        pollers.ready(&target("default"), &name("mail"), 1);
        assert!(is_woken(&first) && !is_woken(&second));
        drop((first, second));
        assert!(!pollers.any() && pollers.offers().is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_in_a_process_that_stops() {
        let pollers = Arc::new(Pollers::default());
        pollers.give_up();
        let waiting = pollers.enlist(&[target("default")], &[name("mail")], 1);
        assert!(!waiting.woken().await);
    }
}
