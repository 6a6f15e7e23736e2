//! Workers and their leases.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::EnvironmentName;
use orchestratum_core::task::{Ending, LifePatch, TaskEvent};

use super::lab::{LEASE, Lab, SECOND, draft, just_before};
use orchestratum_store::{Holding, Renewal, Store, Worker, WorkerState};

/// What the worker holds, if its lease could be renewed.
async fn renew(lab: &Lab, worker: orchestratum_core::WorkerId) -> Option<Vec<Holding>> {
    let mut keeper = lab.store.lease_keeper().await.expect("works");
    match keeper.renew(worker, LEASE, lab.now).await.expect("works") {
        Renewal::Renewed { holdings, left: _ } => Some(holdings),
        Renewal::Lost => None,
    }
}

async fn workers(lab: &Lab) -> Vec<Worker> {
    lab.store.workers(10).await.expect("works")
}

pub(crate) async fn a_worker_is_listed_as_it_registered(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let registration = orchestratum_store::Registration {
        name: "host-1 'ü'".to_owned(),
        environments: ["reports", "etl-2"]
            .map(|name| EnvironmentName::new(name).expect("a name"))
            .into(),
        ..lab.registration(&["default", "gpu"], &["echo", "email.send"])
    };
    lab.store.register(&registration, lab.now).await.expect("works");
    let expected = Worker {
        registration,
        state: WorkerState::Live,
        registered_at: lab.now,
        renewed_at: lab.now,
        lease_expires_at: lab.now + LEASE,
        running: 0,
        key_id: None,
    };
    assert_eq!(workers(&lab).await, std::slice::from_ref(&expected));
    for _ in 0..2 {
        lab.create(draft("echo")).await;
    }
    lab.claim(expected.registration.id).await;
    assert_eq!(workers(&lab).await[0].running, 2);
}

pub(crate) async fn registering_again_changes_nothing(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let registration = lab.registration(&["default"], &["echo"]);
    lab.store.register(&registration, lab.now).await.expect("works");
    let before = workers(&lab).await;
    lab.advance(SECOND);
    lab.store.register(&registration, lab.now).await.expect("works");
    assert_eq!(workers(&lab).await, before, "only a renewal extends a lease");
}

pub(crate) async fn live_workers_come_first_and_newest_first(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(lab.echo_worker().await);
        lab.advance(SECOND);
    }
    lab.store.leave(ids[3], lab.now).await.expect("works");
    let listed: Vec<_> = workers(&lab)
        .await
        .into_iter()
        .map(|worker| worker.registration.id)
        .collect();
    assert_eq!(listed, [ids[2], ids[1], ids[0], ids[3]]);
    assert_eq!(lab.store.workers(2).await.expect("works").len(), 2);
}

pub(crate) async fn a_renewal_extends_the_lease(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    for _ in 0..3 {
        lab.advance(just_before(LEASE));
        assert_eq!(renew(&lab, worker).await, Some(Vec::new()));
    }
    let listed = workers(&lab).await.remove(0);
    assert_eq!((listed.renewed_at, listed.lease_expires_at), (lab.now, lab.now + LEASE));
    lab.create(draft("echo")).await;
    lab.claim_one(worker).await;
}

pub(crate) async fn a_renewal_tells_how_much_of_the_lease_is_left_by_the_clock_of_the_database(store: Arc<dyn Store>) {
    const BEHIND: Duration = Duration::from_secs(20);
    let mut lab = Lab::new(store);
    let time = lab.store.database_time().await.expect("works");
    let mut keeper = lab.store.lease_keeper().await.expect("works");
    for (now, most) in [(time, LEASE), (time - BEHIND, LEASE.saturating_sub(BEHIND))] {
        lab.now = now;
        let worker = lab.echo_worker().await;
        let renewal = keeper.renew(worker, LEASE, now).await.expect("works");
        let Renewal::Renewed { left, .. } = renewal else {
            panic!("the lease is live");
        };
        let since = lab.store.database_time().await.expect("works").saturating_since(time);
        assert!(left <= most && left + since >= most, "{left:?} of {most:?}");
    }
}

pub(crate) async fn a_renewal_lists_what_the_worker_holds(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    let other = lab.echo_worker().await;
    lab.create(draft("echo")).await;
    lab.claim_one(other).await;
    for _ in 0..2 {
        lab.create(draft("echo")).await;
    }
    let claimed = lab.claim(worker).await;
    let mut expected: Vec<Holding> = claimed
        .iter()
        .map(|task| Holding {
            task: task.id,
            attempt: task.attempt,
            cancel_requested: false,
            expires_at: task.expires_at,
        })
        .collect();
    expected.sort_by_key(|holding| holding.task);
    let holdings = async || {
        let mut holdings = renew(&lab, worker).await.expect("the lease is live");
        holdings.sort_by_key(|holding| holding.task);
        holdings
    };
    assert_eq!(holdings().await, expected);
    lab.end(&claimed[0], Ending::Success).await;
    expected.retain(|holding| holding.task != claimed[0].id);
    assert_eq!(holdings().await, expected);
}

pub(crate) async fn a_renewal_tells_of_cancels_and_moved_deadlines(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    let worker = lab.task(claimed.id).await.worker.expect("claimed");
    lab.put(claimed.id, TaskEvent::CancelRequested { reason: None }).await;
    let patch = LifePatch {
        ttl: Some(SECOND * 5),
        ..LifePatch::default()
    };
    lab.put(claimed.id, TaskEvent::Patched(patch)).await;
    let holdings = vec![Holding {
        task: claimed.id,
        attempt: 1,
        cancel_requested: true,
        expires_at: lab.now + SECOND * 5,
    }];
    assert_eq!(renew(&lab, worker).await, Some(holdings));
}

pub(crate) async fn a_lease_that_ran_out_is_lost_for_good(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    lab.advance(LEASE);
    assert_eq!(renew(&lab, worker).await, None);
    lab.store.mark_dead(lab.now).await.expect("works");
    assert_eq!(renew(&lab, worker).await, None);
    assert_eq!(workers(&lab).await[0].state, WorkerState::Dead);
}

pub(crate) async fn an_unknown_worker_has_no_lease(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let unknown = lab.registration(&["default"], &["echo"]).id;
    assert_eq!(renew(&lab, unknown).await, None);
}

pub(crate) async fn silent_workers_are_marked_dead_once(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let silent = lab.echo_worker().await;
    lab.advance(LEASE.saturating_sub(SECOND));
    let alive = lab.echo_worker().await;
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), []);
    lab.advance(SECOND);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), [silent]);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), []);
    assert_eq!(renew(&lab, alive).await, Some(Vec::new()));
}

pub(crate) async fn a_worker_that_left_is_not_marked_dead(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let worker = lab.echo_worker().await;
    lab.store.leave(worker, lab.now).await.expect("works");
    assert_eq!(renew(&lab, worker).await, None);
    lab.advance(LEASE * 2);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), []);
    assert_eq!(workers(&lab).await[0].state, WorkerState::Left);
}

pub(crate) async fn the_lease_keeper_tells_the_time_of_the_database(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut keeper = lab.store.lease_keeper().await.expect("works");
    let before = lab.store.database_time().await.expect("works");
    let between = keeper.database_time().await.expect("works");
    let after = lab.store.database_time().await.expect("works");
    assert!(before <= between && between <= after, "{before} {between} {after}");
}

pub(crate) async fn who_holds_a_lease_holds_it_as_much_longer_as_a_clock_is_moved(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let silent = lab.echo_worker().await;
    lab.advance(LEASE);
    let (begun, live) = (lab.now, lab.echo_worker().await);
    let by = LEASE * 100;
    lab.store.lengthen_leases(by, lab.now).await.expect("works");
    lab.advance(by);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), [silent]);
    let listed = workers(&lab).await.remove(0);
    assert_eq!(
        (listed.registration.id, listed.renewed_at, listed.lease_expires_at),
        (live, lab.now, begun + by + LEASE)
    );
    assert_eq!(renew(&lab, live).await, Some(Vec::new()));
    assert_eq!(renew(&lab, silent).await, None);
}
