//! Sagas that go on by another version of their definition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{SagaStatus, StateName};
use orchestratum_core::task::Ending;
use orchestratum_store::{EventKind, MigrateOutcome, MigrateSaga, Store};

use super::lab::{Lab, SECOND};
use super::saga_lab::{
    assert_at, assert_stands, claim_of, define, field, history, look_at_all, new_definition, put, read, start, success,
    unlooked,
};

/// It waits for a task, and for a delay; the whole has a timeout.
const FIRST: &str = "
name: trip
context: {room: null}
timeout: {after_seconds: 100, target: Failed}
initial: Initial
states:
  Initial:
    on: {start: {tasks: [{name: echo, raises: {success: booked, failure: failed}}], target: Booking}}
  Booking:
    on: {booked: {target: Booked}, failed: {target: Failed}}
    after: [{seconds: 10, target: Failed}]
  Booked: {final: true}
  Failed: {final: failed}
";

/// The state is called otherwise and has another delay; the task is heard in another way.
const SECOND_VERSION: &str = "
name: trip
context: {room: null}
timeout: {after_seconds: 200, target: Failed}
initial: Initial
states:
  Initial:
    on: {start: {tasks: [{name: echo, raises: {success: booked, failure: failed}}], target: Reserving}}
  Reserving:
    on: {booked: {set: {room: \"${ event.data }\"}, target: Booked}, failed: {target: Failed}}
    after: [{seconds: 50, target: Failed}]
  Booked: {final: true}
  Failed: {final: failed}
";

async fn trip(lab: &Lab) -> SagaId {
    define(lab, FIRST).await;
    let saga = start(lab, "trip", "t-1").await;
    put(lab, &new_definition(SECOND_VERSION, &["start"])).await;
    saga
}

fn to_second(saga: SagaId) -> MigrateSaga {
    let name = |name: &str| name.parse::<StateName>().expect("a name");
    MigrateSaga {
        saga,
        version: 2,
        states: BTreeMap::from([(name("Booking"), name("Reserving"))]),
        expected_version: None,
        dry_run: false,
        actor: Some("key".to_owned()),
    }
}

async fn migrate(lab: &Lab, migration: &MigrateSaga) -> MigrateOutcome {
    lab.store
        .migrate_saga(migration, lab.now)
        .await
        .expect("the store works")
}

pub(crate) async fn a_saga_goes_on_by_another_version_of_its_definition(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let saga = trip(&lab).await;
    let before = read(&lab, saga).await;
    lab.advance(SECOND);
    let dry = MigrateSaga {
        dry_run: true,
        ..to_second(saga)
    };
    let MigrateOutcome::Unchanged { saga: would, losses } = migrate(&lab, &dry).await else {
        panic!("a dry run changes nothing");
    };
    assert_eq!(
        (would.definition_version, would.instance.state.as_str()),
        (2, "Reserving")
    );
    assert_eq!(
        losses,
        [
            "the timers of Reserving begin now",
            "the timeout of the saga begins now"
        ]
    );
    assert_eq!(read(&lab, saga).await, before);
    assert_eq!(history(&lab, saga).await.len(), 1);

    let MigrateOutcome::Migrated { advanced, losses: lost } = migrate(&lab, &to_second(saga)).await else {
        panic!("it can be moved");
    };
    assert_eq!(lost, losses);
    let after = read(&lab, saga).await;
    assert_eq!(advanced.saga, after);
    assert_at(&after.instance, "Reserving", SagaStatus::Running);
    assert_eq!(
        (after.definition_version, after.instance.version),
        (2, before.instance.version + 1)
    );
    assert_eq!(after.updated_at, lab.now);
    let told = history(&lab, saga).await.pop().expect("an entry");
    assert_eq!(
        (told.seq, told.kind, told.actor.as_deref()),
        (2, EventKind::Migrated, Some("key"))
    );
    assert_eq!((told.from.as_str(), told.to.as_str()), ("Booking", "Reserving"));
    let data: serde_json::Value = serde_json::from_str(told.data.expect("data").as_str()).expect("JSON");
    assert_eq!((&data["from_version"], &data["to_version"]), (&1.into(), &2.into()));
    assert_eq!(data["losses"].as_array().map(Vec::len), Some(2));
    let MigrateOutcome::Unchanged { saga: again, .. } = migrate(&lab, &to_second(saga)).await else {
        panic!("it runs by that version already");
    };
    assert_eq!(*again, after);

    // Its task goes on, and is heard as the new version says.
    let task = claim_of(&lab, saga).await;
    lab.apply(success(&task, "\"7\"")).await;
    look_at_all(&lab).await;
    assert_stands(&lab, saga, "Booked", SagaStatus::Completed).await;
    assert_eq!(field(&read(&lab, saga).await.instance, "room"), "\"7\"");
    lab.assert_sound().await;
}

pub(crate) async fn timers_of_the_new_version_take_the_place_of_the_old_ones(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let saga = trip(&lab).await;
    lab.advance(5 * SECOND);
    assert!(matches!(
        migrate(&lab, &to_second(saga)).await,
        MigrateOutcome::Migrated { .. }
    ));
    let fire = async |lab: &Lab| {
        let fired = lab.store.fire_saga_timers(10, lab.now).await.expect("works");
        look_at_all(lab).await;
        fired.sagas
    };
    lab.advance(40 * SECOND);
    assert_eq!(fire(&lab).await, [], "the old delay has passed");
    assert_stands(&lab, saga, "Reserving", SagaStatus::Running).await;
    lab.advance(10 * SECOND);
    assert_eq!(fire(&lab).await, [saga]);
    // Its task is cancelled first.
    let over = Duration::from_secs(200);
    lab.advance(over);
    assert_eq!(fire(&lab).await, [], "the timeouts are gone with the saga");
    assert_stands(&lab, saga, "Failed", SagaStatus::Failed).await;
    lab.assert_sound().await;
}

pub(crate) async fn a_timeout_of_the_new_version_is_that_of_the_whole(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let without_delay =
        |text: &str, seconds: &str| text.replace(&format!("    after: [{{seconds: {seconds}, target: Failed}}]\n"), "");
    define(&lab, &without_delay(FIRST, "10")).await;
    let saga = start(&lab, "trip", "t-1").await;
    put(&lab, &new_definition(&without_delay(SECOND_VERSION, "50"), &["start"])).await;
    assert!(matches!(
        migrate(&lab, &to_second(saga)).await,
        MigrateOutcome::Migrated { .. }
    ));
    lab.advance(150 * SECOND);
    assert_eq!(lab.store.fire_saga_timers(10, lab.now).await.expect("works").sagas, []);
    lab.advance(50 * SECOND);
    assert_eq!(
        lab.store.fire_saga_timers(10, lab.now).await.expect("works").sagas,
        [saga]
    );
    look_at_all(&lab).await;
    assert_stands(&lab, saga, "Failed", SagaStatus::TimedOut).await;
}

pub(crate) async fn a_saga_that_cannot_be_moved_stays_as_it_is(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let saga = trip(&lab).await;
    let before = read(&lab, saga).await;
    let unmapped = MigrateSaga {
        states: BTreeMap::new(),
        ..to_second(saga)
    };
    let MigrateOutcome::Refused(faults) = migrate(&lab, &unmapped).await else {
        panic!("there is no such state");
    };
    assert_eq!(faults.0[0].pointer, "/states/Booking");
    let none = MigrateSaga {
        version: 3,
        ..to_second(saga)
    };
    assert_eq!(migrate(&lab, &none).await, MigrateOutcome::NoDefinition);
    let changed = MigrateSaga {
        expected_version: Some(9),
        ..to_second(saga)
    };
    let current = before.instance.version;
    assert_eq!(
        migrate(&lab, &changed).await,
        MigrateOutcome::VersionMismatch { current }
    );
    let unknown = to_second(SagaId(lab.id().0));
    assert_eq!(migrate(&lab, &unknown).await, MigrateOutcome::NotFound);
    assert_eq!(read(&lab, saga).await, before);
    assert_eq!(history(&lab, saga).await.len(), 1);

    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    assert_eq!(unlooked(&lab).await, [saga]);
    assert_eq!(migrate(&lab, &to_second(saga)).await, MigrateOutcome::Unlooked);
    look_at_all(&lab).await;
    let MigrateOutcome::Refused(faults) = migrate(&lab, &to_second(saga)).await else {
        panic!("it is over");
    };
    assert_eq!(
        (faults.0[0].pointer.as_str(), faults.0[0].message.as_str()),
        ("", "is over")
    );
}
