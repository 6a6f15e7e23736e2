//! A client of a server: programs that only push, and what may go wrong between a worker and its server.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::{Builder, Error};
use orchestratum_testkit::{HttpServer, Seen};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::commands::{Act, ActCommand, Actor, Links, NoteCommand, World};
use crate::support::{BOUND, Hosting, KEY, OTHER_KEY, Place, http, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_pushes_asks_waits_and_cancels() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let client = place.builder().start().await?;
    let envelope = ActCommand::of(Act::Fail).then(Links::AllNotes).to("email-worker");
    let id = envelope.id();
    for _ in 0..2 {
        assert_eq!(client.push(envelope.clone()).await?, id);
    }
    let status = client.status(id).await?;
    assert_eq!((status.name.as_str(), status.target.as_str()), ("act", "email-worker"));
    assert_eq!(
        (status.state, status.attempt, status.retries_left),
        (State::Pending, 0, 3)
    );
    let waited = client.wait::<ActCommand>(id, Duration::from_millis(50)).await;
    assert!(matches!(waited, Err(Error::StillRunning { .. })), "{waited:?}");

    assert_eq!(client.cancel(id).await?.state, State::Cancelled);
    assert_eq!(
        client.cancel(id).await?.state,
        State::Cancelled,
        "again it does nothing"
    );
    let outcome = client.wait::<ActCommand>(id, Duration::from_secs(10)).await?;
    assert!(matches!(outcome, Outcome::Cancelled(_)), "{outcome:?}");
    let followers = client.followers(id).await?;
    assert_eq!((followers.commands.len(), followers.missing.len()), (1, 0));
    assert_eq!(
        (followers.commands[0].name.as_str(), followers.commands[0].state),
        ("note", State::Pending)
    );
    client.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_told() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let client = place.builder().start().await?;
    let refused = client.push(NoteCommand::of("").to("no target").priority(10)).await;
    let told = refused.expect_err("two rules are broken").to_string();
    assert!(
        told.contains("/target must match") && told.contains("/priority must be"),
        "{told}"
    );

    let envelope = NoteCommand::of("").envelope();
    let unknown = client.status(envelope.id()).await.expect_err("it is not there");
    assert!(
        matches!(unknown, Error::NotFound(id) if id == envelope.id()),
        "{unknown:?}"
    );
    client.push(envelope.clone()).await?;
    let other = client
        .push(envelope.clone().retries(7))
        .await
        .expect_err("it is another");
    assert!(matches!(other, Error::IdTaken(id) if id == envelope.id()), "{other:?}");

    client.stop().await
}

/// A key of these scopes, and its id.
async fn key(place: &Place, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": "of a test", "scopes": scopes});
    let created = place.ask("POST", "/api/keys", Some(body)).await;
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let text = |field: &str| created[field].as_str().expect("a text").to_owned();
    (text("key"), text("id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_opens_nothing_is_told_at_the_start() {
    let place = Place::of(Hosting::Client).await;
    let world = World::default();
    let worker = |key: &str| {
        let builder = Orchestratum::client(place.url(), key).provide(world.clone());
        builder.register::<NoteCommand, Actor>().start()
    };
    let (reader, _) = key(&place, &["tasks:read", "tasks:write"]).await;
    let (claimer, _) = key(&place, &["worker"]).await;
    let stranger = Orchestratum::client(place.url(), OTHER_KEY).start().await;
    assert!(
        matches!(stranger, Err(Error::Answer { status: 401, .. })),
        "{stranger:?}"
    );
    let stranger = worker(OTHER_KEY).await;
    assert!(
        matches!(stranger, Err(Error::Answer { status: 401, .. })),
        "{stranger:?}"
    );
    let refused = worker(&reader).await.expect_err("it may not claim").to_string();
    assert!(refused.contains("403") && refused.contains("scope worker"), "{refused}");
    for key in [&reader, &claimer] {
        let client = Orchestratum::client(place.url(), key).start().await;
        client.expect("it has a key").stop().await.expect("it ends well");
    }
}

type Tell = fn(Builder) -> Builder;

#[tokio::test(flavor = "multi_thread")]
async fn options_that_no_server_takes_are_told_at_the_start() {
    let place = Place::of(Hosting::Client).await;
    let second = Duration::from_secs(1);
    let wrong: [(&str, Tell); 9] = [
        ("poll_interval", |builder| builder.poll_interval(Duration::from_secs(1))),
        ("schema", |builder| builder.schema("mine")),
        ("broker", |builder| builder.broker("amqp://127.0.0.1")),
        ("lease", |builder| builder.lease(Duration::from_secs(4))),
        ("lease", |builder| builder.lease(Duration::from_secs(3_601))),
        ("max_claim", |builder| builder.max_claim(1_001)),
        ("concurrency", |builder| builder.concurrency(0)),
        ("targets", |builder| builder.targets(["no target"])),
        ("targets", |builder| builder.targets([""; 0])),
    ];
    for (option, tell) in wrong {
        let started = tell(place.builder()).start().await;
        assert!(
            matches!(&started, Err(Error::Option { option: told, .. }) if *told == option),
            "{option}: {started:?}"
        );
    }
    let builder = place.builder().lease(second * 5).max_claim(1_000).concurrency(1);
    builder
        .start()
        .await
        .expect("all of it is allowed")
        .stop()
        .await
        .expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_key_is_revoked_ends() {
    let place = Place::server(&[("api.max_wait_seconds", "1")]).await;
    let (key, id) = key(&place, &["worker"]).await;
    let builder = Orchestratum::client(place.url(), key).provide(World::default());
    let worker = builder
        .register::<NoteCommand, Actor>()
        .start()
        .await
        .expect("it starts");
    place.ask("DELETE", &format!("/api/keys/{id}"), None).await;
    let ended = tokio::time::timeout(BOUND, worker.run())
        .await
        .expect("it ends by itself");
    assert!(matches!(ended, Err(Error::Answer { status: 401, .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_hands_back_whatever_its_handlers_told() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let world = World::default();
    let worker = place.worker(&world).start().await?;
    // As JSON it is more than a server takes of what is handed back.
    let command = ActCommand::of(Act::FillLogAndHang("\u{1}".repeat(100)));
    let id = worker.push(command.envelope().timeout(BOUND)).await?;
    until("it runs", || async { world.runs(id) == 1 }).await;
    worker.stop().await?;
    let client = place.builder().start().await?;
    assert_eq!(client.status(id).await?.state, State::Pending);
    client.stop().await
}

/// One of many.
#[derive(Serialize, Deserialize)]
struct NumberedCommand<const NUMBER: usize>;

impl<const NUMBER: usize> NumberedCommand<NUMBER> {
    const DIGITS: &'static [u8; 10] = b"0123456789";
    const LETTERS: &'static [u8; 4] = &[
        b'n',
        Self::DIGITS[NUMBER / 100],
        Self::DIGITS[NUMBER / 10 % 10],
        Self::DIGITS[NUMBER % 10],
    ];
}

impl<const NUMBER: usize> Definition for NumberedCommand<NUMBER> {
    type Output = usize;
    const NAME: &'static str = {
        let Ok(name) = std::str::from_utf8(Self::LETTERS) else {
            panic!("digits are no text")
        };
        name
    };
}

impl<const NUMBER: usize> Chain for NumberedCommand<NUMBER> {}

struct Counter;

impl<const NUMBER: usize> Handler<NumberedCommand<NUMBER>> for Counter {
    async fn handle(&self, _command: &NumberedCommand<NUMBER>, _context: &Context) -> Result<usize, Failure> {
        Ok(NUMBER)
    }
}

/// Ten handlers for each number.
macro_rules! with_tens {
    ($builder:expr, $($ten:literal)*) => {
        $builder$(
            .handler::<NumberedCommand<{ $ten * 10 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 1 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 2 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 3 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 4 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 5 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 6 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 7 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 8 }>, _>(Counter)
            .handler::<NumberedCommand<{ $ten * 10 + 9 }>, _>(Counter)
        )*
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn more_commands_than_one_claim_offers_wait_for_no_others() -> Result<(), Error> {
    for concurrency in [2, 1] {
        let place = Place::of(Hosting::Client).await;
        let builder = with_tens!(place.builder(), 0 1 2 3 4 5 6 7 8 9 10);
        let worker = builder.concurrency(concurrency).start().await?;
        // Much less than a claim waits that has nothing to wait for.
        let patience = Duration::from_secs(10);
        // The names of the first claim come first: it has the slots by now.
        let last = worker.push_and_wait(NumberedCommand::<109>, patience).await?;
        let first = worker.push_and_wait(NumberedCommand::<0>, patience).await?;
        assert_eq!((first.success(), last.success()), (Some(0), Some(109)));
        worker.stop().await?;
    }
    Ok(())
}

/// Hands requests on to a server, but for heartbeats while it keeps those.
struct Gateway {
    server: HttpServer,
    keeps: Arc<AtomicBool>,
}

impl Gateway {
    async fn before(place: &Place) -> Self {
        let (url, client) = (place.url().to_owned(), http());
        let keeps = Arc::new(AtomicBool::new(false));
        let keeping = Arc::clone(&keeps);
        let answer = move |seen: Seen| {
            let request = client.request(seen.method.parse().expect("a method"), format!("{url}{}", seen.target));
            let request = request
                .header("content-type", "application/json")
                .header("x-api-key", KEY);
            let request = request.body(seen.body);
            let is_kept = seen.target.ends_with("/heartbeat") && keeping.load(Ordering::SeqCst);
            async move {
                if is_kept {
                    pending::<()>().await;
                }
                let answer = request.send().await.expect("a server");
                (answer.status(), answer.text().await.expect("a text"))
            }
        };
        let server = HttpServer::start(answer).await.expect("a gateway");
        Self { server, keeps }
    }

    fn heartbeats(&self) -> usize {
        self.asked(|target| target.ends_with("/heartbeat"))
    }

    fn asked(&self, is_meant: impl Fn(&str) -> bool) -> usize {
        let seen = self.server.seen();
        seen.iter().filter(|request| is_meant(&request.target)).count()
    }

    /// With the shortest of leases.
    async fn worker(&self, world: &World) -> Orchestratum {
        let builder = Orchestratum::client(self.server.url(""), KEY).provide(world.clone());
        let builder = builder.lease(Duration::from_secs(5)).drain(Duration::ZERO);
        let started = builder
            .grace(Duration::from_millis(300))
            .register::<ActCommand, Actor>()
            .start();
        let worker = started.await.expect("it starts");
        self.keeps.store(true, Ordering::SeqCst);
        worker
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hardly_holds_an_answer_is_asked_now_and_then() -> Result<(), Error> {
    let place = Place::server(&[("api.max_wait_seconds", "0.001")]).await;
    let gateway = Gateway::before(&place).await;
    let client = Orchestratum::client(gateway.server.url(""), KEY).start().await?;
    let id = client.push(NoteCommand::of("nobody runs it").envelope()).await?;
    let begun = Instant::now();
    let waited = client.wait::<NoteCommand>(id, Duration::from_secs(1)).await;
    assert!(matches!(waited, Err(Error::StillRunning { .. })), "{waited:?}");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let asked = gateway.asked(|target| target.contains("wait_seconds"));
    assert!((2..=6).contains(&asked), "{asked} times");
    assert_eq!(client.cancel(id).await?.state, State::Cancelled);
    client.stop().await?;

    let begun = Instant::now();
    let worker = Orchestratum::client(gateway.server.url(""), KEY).provide(World::default());
    let worker = worker.register::<NoteCommand, Actor>().start().await?;
    let claims = || gateway.asked(|target| target.ends_with("/claim"));
    until("it has asked for work three times", || async { claims() >= 3 }).await;
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_hangs_holds_nothing_up() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let gateway = Gateway::before(&place).await;
    let world = World::default();
    let worker = gateway.worker(&world).await;
    let id = worker
        .push(ActCommand::of(Act::FinishWhenLet).envelope().timeout(BOUND))
        .await?;
    until("a heartbeat", || async { gateway.heartbeats() >= 2 }).await;
    let begun = Instant::now();
    world.open();
    let outcome = worker.wait::<ActCommand>(id, BOUND).await?;
    assert_eq!(outcome, Outcome::Success("finished".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_13_a_handler_whose_lease_is_over_is_stopped_and_says_nothing() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let gateway = Gateway::before(&place).await;
    let world = World::default();
    let worker = gateway.worker(&world).await;
    let command = ActCommand::of(Act::FinishWhenStopped).envelope();
    let id = worker
        .push(command.timeout(Duration::from_secs(3_600)).retries(0))
        .await?;
    // It would finish as soon as it is told to stop: that is the work of another by now.
    until("a second attempt", || async { world.runs(id) == 2 }).await;
    until("the end of the first", || async { world.stopped(id) == [1] }).await;
    gateway.keeps.store(false, Ordering::SeqCst);
    let status = worker.status(id).await?;
    assert_eq!((status.state, status.attempt), (State::InProgress, 2));
    let client = place.builder().start().await?;
    client.cancel(id).await?;
    let outcome = client.wait::<ActCommand>(id, BOUND).await?;
    assert_eq!(
        outcome,
        Outcome::Success("finished".to_owned()),
        "the second has finished"
    );
    client.stop().await?;
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_and_a_url_that_is_none_are_told() {
    // Nobody listens at the port that is nobody's.
    let started = Orchestratum::client("http://127.0.0.1:1", OTHER_KEY).start().await;
    assert!(matches!(started, Err(Error::Unreachable(_))), "{started:?}");
    for (url, key) in [
        ("nowhere", OTHER_KEY),
        ("mailto:a@b", OTHER_KEY),
        ("http://127.0.0.1", "a\nb"),
    ] {
        let started = Orchestratum::client(url, key).start().await;
        assert!(matches!(started, Err(Error::Url(_))), "{started:?}");
    }
}
