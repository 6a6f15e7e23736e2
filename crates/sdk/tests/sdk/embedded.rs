//! Several processes on one database.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_sdk::prelude::*;
use orchestratum_testkit::{Servers, VirtualHost};

use crate::commands::{Act, ActCommand, Links, NoteCommand, World};
use crate::support::{BOUND, Hosting, Lab, Place, until};

#[tokio::test(flavor = "multi_thread")]
async fn match_11_shutdown_interrupts_without_using_a_retry_and_another_takes_over() {
    another_takes_over(Hosting::EmbeddedInPostgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn match_11_shutdown_over_http_uses_no_retry_either() {
    another_takes_over(Hosting::Client).await;
}

async fn another_takes_over(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let hang = ActCommand::of(Act::Hang).envelope().timeout(Duration::from_secs(3_600));
    let id = lab.push(hang.retries(0)).await;
    lab.until_run(id, 1).await;
    let other = lab.place.worker(&lab.world);
    let other = lab
        .place
        .looking_every(Duration::from_millis(200), other)
        .start()
        .await
        .expect("it starts");
    lab.orchestratum.stop().await.expect("it ends well");

    lab.until_run(id, 2).await;
    let status = other.status(id).await.expect("it is there");
    assert_eq!(
        (status.state, status.attempt, status.retries_left),
        (State::InProgress, 2, 0)
    );
    other.cancel(id).await.expect("it runs");
    other.wait::<ActCommand>(id, BOUND).await.map(drop).expect("it ends");
    other.stop().await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn match_12_the_lease_is_renewed_for_as_long_as_a_handler_runs() {
    let lease = Duration::from_secs(1);
    let lab = Lab::with(Hosting::EmbeddedInPostgres, |builder| builder.lease(lease)).await;
    let waits = ActCommand::of(Act::FinishWhenLet).envelope();
    let id = lab.push(waits.timeout(Duration::from_secs(3_600))).await;
    lab.until_run(id, 1).await;
    let other = lab.place.worker(&lab.world).lease(lease).poll_interval(lease / 5);
    let other = other.start().await.expect("it starts");
    // Three leases pass.
    let later = lab.push(NoteCommand::of("later").after(lease * 3)).await;
    other
        .wait::<NoteCommand>(later, BOUND)
        .await
        .map(drop)
        .expect("it ends");
    let status = other.status(id).await.expect("it is there");
    assert_eq!(
        (status.state, status.attempt, lab.world.runs(id)),
        (State::InProgress, 1, 1)
    );
    lab.world.open();
    let outcome = other.wait::<ActCommand>(id, BOUND).await.expect("it ends");
    assert_eq!(outcome, Outcome::Success("finished".to_owned()));
    other.stop().await.expect("it ends well");
    lab.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn match_14_each_command_is_claimed_by_one_of_many() {
    let place = Place::of(Hosting::EmbeddedInPostgres).await;
    let world = World::default();
    let mut processes = Vec::new();
    for _ in 0..3 {
        let process = place.worker(&world).poll_interval(Duration::from_millis(200)).start();
        processes.push(process.await.expect("it starts"));
    }
    let mut ids = Vec::new();
    for number in 0..100 {
        let command = ActCommand::of(Act::Answer(number.to_string())).then(Links::Notes);
        ids.push(processes[number % 3].push(command).await.expect("it is stored"));
    }
    until("all notes", || async { world.notes().len() >= 100 }).await;
    for id in ids {
        assert_eq!(world.runs(id), 1);
    }
    for process in processes {
        process.stop().await.expect("it ends well");
    }
    assert_eq!(world.notes().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn match_20_a_push_wakes_the_workers_of_other_processes() {
    let place = Place::of(Hosting::EmbeddedInPostgres).await;
    let servers = Servers::from_environment();
    let rabbit = VirtualHost::unique(&servers).await.expect("a virtual host");
    let world = World::default();
    let long = Duration::from_secs(3_600);
    let worker = place
        .worker(&world)
        .poll_interval(long)
        .broker(rabbit.servers().amqp_url.clone());
    let worker = worker.start().await.expect("it starts");
    let pusher = place
        .builder()
        .poll_interval(long)
        .broker(rabbit.servers().amqp_url.clone());
    let pusher = pusher.start().await.expect("it starts");
    for note in ["first", "second"] {
        let pushed = pusher.push_and_wait(NoteCommand::of(note), BOUND).await;
        assert_eq!(pushed.expect("it ends"), Outcome::Success(()));
    }
    pusher.stop().await.expect("it ends well");
    worker.stop().await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn match_21_what_is_pushed_without_a_target_is_for_the_first_of_its_pusher() {
    let lab = Lab::with(Hosting::EmbeddedInSqlite, |builder| builder.targets(["mine", "other"])).await;
    let (status, _) = lab.run(NoteCommand::of("here")).await;
    assert_eq!(status.target, "mine");
    let (status, _) = lab.run(NoteCommand::of("there").to("other")).await;
    assert_eq!(status.target, "other");
    lab.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn match_24_a_thousand_commands_at_once_are_all_stored_and_run() {
    let lab = Lab::new(Hosting::EmbeddedInSqlite).await;
    let orchestratum = Arc::new(lab.orchestratum.clone());
    let pushes = (0..1_000).map(|number| {
        let orchestratum = Arc::clone(&orchestratum);
        tokio::spawn(async move { orchestratum.push(NoteCommand::of(number.to_string())).await })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.expect("it does not panic").expect("it is stored");
    }
    let mut notes: Vec<u32> = lab
        .notes(1_000)
        .await
        .iter()
        .filter_map(|note| note.parse().ok())
        .collect();
    notes.sort_unstable();
    assert!(notes.iter().copied().eq(0..1_000));
    lab.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_is_free_again_after_the_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("commands.db").display());
    let world = World::default();
    let first = Orchestratum::embedded(&url).start().await.expect("it starts");
    let id = first.push(NoteCommand::of("kept")).await.expect("it is stored");
    first.stop().await.expect("it ends well");
    let builder = Orchestratum::embedded(&url).provide(world.clone());
    let second = builder.register::<NoteCommand, crate::commands::Actor>().start();
    let second = second.await.expect("it starts");
    second.wait::<NoteCommand>(id, BOUND).await.map(drop).expect("it ends");
    assert_eq!(world.notes(), ["kept"]);
    second.stop().await.expect("it ends well");
    second.stop().await.expect("and again");
}
