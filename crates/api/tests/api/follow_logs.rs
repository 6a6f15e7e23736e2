//! Following what a task writes, over a real server.

use std::time::Duration;

use crate::common::BOOTSTRAP;
use orchestratum_api::{Addresses, start};
use orchestratum_core::task::{Ending, TaskEvent};
use orchestratum_core::{Target, TaskId, TaskName, Timestamp};
use orchestratum_engine::keys::{CreateKey, Scope};
use orchestratum_engine::{Engine, Settings};
use orchestratum_store::{Change, ClaimRequest, ClaimedTask, Evidence, LogAppend, LogChunk, LogStream, Registration};
use orchestratum_testkit::{Event, Events, eventually};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than any of it takes.
const BOUND: Duration = Duration::from_secs(30);

struct Served {
    engine: Engine,
    addresses: Addresses,
    client: Client,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(overrides: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("database.url", "sqlite::memory:"),
            ("broker.url", "database"),
            ("api.listen", "127.0.0.1:0"),
            ("auth.bootstrap_key", BOOTSTRAP),
        ];
        all.extend_from_slice(overrides);
        let settings = Settings::load_with(&all).expect("valid settings");
        let stop = CancellationToken::new();
        let started = start(settings, stop.clone()).await.expect("it starts");
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            engine: started.engine().clone(),
            addresses: started.addresses(),
            client: Client::builder()
                .tls_danger_accept_invalid_certs(true)
                .build()
                .expect("a client"),
            stop,
            server: tokio::spawn(started.serve(async {})),
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.addresses.plain);
        self.client.get(url).header("x-api-key", BOOTSTRAP)
    }

    fn follow_request(&self, task: TaskId, query: &str) -> RequestBuilder {
        self.get(&format!("/api/tasks/{task}/logs{query}"))
            .header("accept", "text/event-stream")
    }

    async fn follow(&self, task: TaskId, query: &str) -> Events {
        Events::of(self.follow_request(task, query).send().await.expect("an answer"))
    }

    async fn follow_from(&self, task: TaskId, query: &str, last: &str) -> Events {
        let request = self.follow_request(task, query).header("last-event-id", last);
        Events::of(request.send().await.expect("an answer"))
    }

    /// With a key that may read tasks and nothing else: its id, and the whole of it.
    async fn reader_key(&self, expires_at: Option<Timestamp>) -> (String, String) {
        let request = CreateKey {
            name: "of a test".to_owned(),
            scopes: vec![Scope::TasksRead],
            expires_at,
        };
        let created = self.engine.create_key(request).await.expect("a key");
        (created.key.id, created.text.reveal())
    }

    async fn follow_with(&self, task: TaskId, key: &str) -> Response {
        let url = format!("http://{}/api/tasks/{task}/logs", self.addresses.plain);
        let request = self.client.get(url).header("accept", "text/event-stream");
        request.header("x-api-key", key).send().await.expect("an answer")
    }

    async fn create(&self, task: Value) -> TaskId {
        let url = format!("http://{}/api/tasks", self.addresses.plain);
        let request = self.client.post(url).header("x-api-key", BOOTSTRAP).json(&task);
        let created: Value = request.send().await.expect("an answer").json().await.expect("a task");
        TaskId(created["id"].as_str().expect("an id").parse().expect("a UUID"))
    }

    /// A worker takes the only task that is ready.
    async fn claim(&self) -> ClaimedTask {
        let worker = self.engine.clock().new_worker_id();
        let targets = vec![Target::new("default").expect("a target")];
        let names = vec![TaskName::new("echo").expect("a name")];
        let registration = Registration {
            id: worker,
            name: "a test".to_owned(),
            targets: targets.clone(),
            names: names.clone(),
            capacity: 1,
            isolation: "off".to_owned(),
            environments: Vec::new(),
            version: "0".to_owned(),
            lease: Duration::from_secs(60),
        };
        self.engine.register_worker(&registration).await.expect("registered");
        let request = ClaimRequest {
            worker,
            named: Vec::new(),
            targets,
            names,
            limit: 1,
            fill_up: true,
        };
        let claimed = self.engine.claim(&request).await.expect("a claim");
        claimed.into_iter().next().expect("a ready task")
    }

    async fn running(&self) -> ClaimedTask {
        self.create(json!({"name": "echo"})).await;
        self.claim().await
    }

    async fn append(&self, task: &ClaimedTask, chunks: &[LogChunk]) {
        let append = LogAppend {
            task: task.id,
            attempt: task.attempt,
            chunks: chunks.to_vec(),
            progress: None,
        };
        let running = self.engine.append_logs(&[append]).await.expect("it is stored");
        assert_eq!(running, [(task.id, task.attempt)]);
    }

    async fn finish(&self, task: &ClaimedTask, ending: Ending, logs: Vec<LogChunk>) {
        let evidence = Evidence {
            logs,
            ..Evidence::default()
        };
        let finished = self.engine.finish(task.id, task.attempt, ending, evidence).await;
        finished.expect("a report");
    }

    async fn stopped(self) {
        let Self {
            client, stop, server, ..
        } = self;
        drop(client);
        stop.cancel();
        timeout(BOUND, server)
            .await
            .expect("it ends in time")
            .expect("no panic");
    }
}

fn out(sequence: u32, text: &str) -> LogChunk {
    LogChunk {
        stream: LogStream::Stdout,
        sequence,
        text: text.to_owned(),
    }
}

fn err(sequence: u32, text: &str) -> LogChunk {
    LogChunk {
        stream: LogStream::Stderr,
        ..out(sequence, text)
    }
}

fn failure() -> Ending {
    Ending::Failed {
        message: "no luck".to_owned(),
        retryable: true,
        code: None,
    }
}

fn log(id: &str, stream: &str, text: &str) -> Event {
    let attempt: u32 = id.split_once('-').expect("an id").0.parse().expect("a number");
    Event {
        id: Some(id.to_owned()),
        name: "log".to_owned(),
        data: json!({"attempt": attempt, "stream": stream, "text": text}),
    }
}

fn end(status: &str, attempt: u32, outcome: &str) -> Event {
    Event {
        id: None,
        name: "end".to_owned(),
        data: json!({"status": status, "attempt": attempt, "outcome": outcome}),
    }
}

async fn problem(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    (status, answer.json().await.expect("a problem"))
}

#[tokio::test]
async fn a_follower_is_told_what_there_is_what_comes_and_the_end() {
    let served = Served::start().await;
    let task = served.running().await;
    served
        .append(&task, &[out(0, "first\n"), err(1, "a\r\n\u{2028}\"é✓\n\n")])
        .await;
    let mut events = served.follow(task.id, "").await;
    assert_eq!(events.next().await, Some(log("1-0", "stdout", "first\n")));
    assert_eq!(events.next().await, Some(log("1-1", "stderr", "a\r\n\u{2028}\"é✓\n\n")));
    served.append(&task, &[out(2, "second, unended")]).await;
    assert_eq!(events.next().await, Some(log("1-2", "stdout", "second, unended")));
    let rest = vec![out(2, "second, unended"), out(3, "the rest")];
    served.finish(&task, Ending::Success, rest).await;
    assert_eq!(
        events.rest().await,
        [log("1-3", "stdout", "the rest"), end("Completed", 1, "Success")]
    );
    let again = served.follow(task.id, "").await.rest().await;
    assert_eq!(again.len(), 5, "the same to whoever comes later: {again:?}");
    served.stopped().await;
}

#[tokio::test]
async fn a_follower_that_comes_again_misses_nothing_and_reads_nothing_twice() {
    let served = Served::start().await;
    let task = served.running().await;
    served.append(&task, &[out(0, "a"), err(1, "b"), out(2, "c")]).await;
    let mut events = served.follow(task.id, "").await;
    let mut last = events.next().await.expect("an event").id.expect("an id");
    drop(events);
    for (sequence, text) in [(3, "d"), (4, "e"), (5, "f")] {
        let mut events = served.follow_from(task.id, "", &last).await;
        let next = events.next().await.expect("an event");
        assert_eq!(next.data["text"], ["b", "c", "d"][sequence as usize - 3]);
        last = next.id.expect("an id");
        served.append(&task, &[out(sequence, text)]).await;
    }
    served.finish(&task, Ending::Success, Vec::new()).await;
    let rest = served.follow_from(task.id, "", &last).await.rest().await;
    assert_eq!(
        rest,
        [
            log("1-4", "stdout", "e"),
            log("1-5", "stdout", "f"),
            end("Completed", 1, "Success")
        ]
    );
    let nothing = served.follow_from(task.id, "", "1-5").await.rest().await;
    assert_eq!(nothing, [end("Completed", 1, "Success")], "also after the end");
    served.stopped().await;
}

#[tokio::test]
async fn one_stream_or_one_attempt_may_be_followed() {
    let served = Served::start().await;
    let id = served
        .create(json!({"name": "echo", "max_retries": 1, "backoff": {"kind": "none"}}))
        .await;
    let waits_for_an_attempt = served.follow(id, "?stream=stderr").await;
    let first = served.claim().await;
    let of_the_first = served.follow(id, "?attempt=1").await;
    served.append(&first, &[out(0, "a"), err(1, "b")]).await;
    served.finish(&first, failure(), vec![out(2, "c")]).await;
    let expected = [
        log("1-0", "stdout", "a"),
        log("1-1", "stderr", "b"),
        log("1-2", "stdout", "c"),
    ];
    let told = of_the_first.rest().await;
    assert_eq!(told[..3], expected);
    // The attempt is over, and the task is not.
    assert_eq!(told[3..], [end("Pending", 1, "Failed")]);
    let second = served.claim().await;
    served.append(&second, &[out(0, "d"), err(1, "e")]).await;
    served.finish(&second, Ending::Success, Vec::new()).await;
    assert_eq!(
        waits_for_an_attempt.rest().await,
        [
            log("1-1", "stderr", "b"),
            log("2-1", "stderr", "e"),
            end("Completed", 2, "Success")
        ]
    );
    let both = served.follow(id, "?attempt=2&stream=stdout").await.rest().await;
    assert_eq!(both, [log("2-0", "stdout", "d"), end("Completed", 2, "Success")]);
    let behind = served.follow_from(id, "?attempt=1", "1-1").await.rest().await;
    assert_eq!(behind, [log("1-2", "stdout", "c"), end("Completed", 1, "Failed")]);
    served.stopped().await;
}

#[tokio::test]
async fn a_task_that_ends_without_an_attempt_and_one_that_is_deleted_end_the_following() {
    let served = Served::start().await;
    let id = served.create(json!({"name": "echo"})).await;
    let events = served.follow(id, "").await;
    let event = TaskEvent::CancelRequested { reason: None };
    let now = served.engine.clock().now();
    let cancelled = served.engine.store().apply(&[Change::new(id, event)], now).await;
    cancelled.expect("it is cancelled");
    let told = events.rest().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].data,
        json!({"status": "Cancelled", "attempt": null, "outcome": null})
    );
    let task = served.running().await;
    let mut events = served.follow(task.id, "").await;
    served.append(&task, &[out(0, "a")]).await;
    assert!(events.next().await.is_some());
    // Over and gone between two looks.
    served.finish(&task, Ending::Success, Vec::new()).await;
    served.engine.delete(task.id, None).await.expect("it is deleted");
    let last = events.rest().await.pop().expect("an end");
    assert_eq!(last.name, "end");
    served.stopped().await;
}

#[tokio::test]
async fn a_long_log_comes_whole_and_in_order() {
    const CHUNKS: u32 = 40;
    let served = Served::start().await;
    let task = served.running().await;
    let text = |sequence: u32| format!("{sequence}:{}", "x".repeat(20_000));
    for sequence in 0..CHUNKS {
        served.append(&task, &[out(sequence, &text(sequence))]).await;
    }
    served.finish(&task, Ending::Success, Vec::new()).await;
    let started = Instant::now();
    let events = served.follow(task.id, "").await.rest().await;
    // Parts that are there already wait for nothing.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let told: Vec<String> = events
        .iter()
        .filter_map(|event| event.data["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(told, (0..CHUNKS).map(text).collect::<Vec<_>>());
    served.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_as_the_text_is() {
    let served = Served::start().await;
    let id = served.create(json!({"name": "echo"})).await;
    let unknown = TaskId("01936e5a-7c00-7000-8000-000000000000".parse().expect("a UUID"));
    for (request, status, code) in [
        (served.follow_request(unknown, ""), 404, "task_not_found"),
        (served.follow_request(id, "?attempt=1"), 404, "attempt_not_found"),
        (served.follow_request(id, "?attempt=0"), 422, "invalid_query"),
        (served.follow_request(id, "?stream=both"), 422, "invalid_query"),
        (served.follow_request(id, "?follow=1"), 422, "invalid_query"),
        (
            served.follow_request(id, "").header("last-event-id", "latest"),
            400,
            "invalid_header",
        ),
    ] {
        let (answered, problem) = problem(request.send().await.expect("an answer")).await;
        assert_eq!(
            (answered.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{problem}"
        );
    }
    let request = CreateKey {
        name: "of a test".to_owned(),
        scopes: vec![Scope::TasksWrite],
        expires_at: None,
    };
    let key = served.engine.create_key(request).await.expect("a key").text.reveal();
    let url = format!("http://{}/api/tasks/{id}/logs", served.addresses.plain);
    for (key, status) in [(key.as_str(), 403), ("wrong", 401)] {
        let request = served.client.get(&url).header("accept", "text/event-stream");
        let answer = request.header("x-api-key", key).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
    }
    served.stopped().await;
}

#[tokio::test]
async fn only_so_many_follow_at_a_time_and_who_goes_makes_room() {
    let served = Served::start_with(&[("api.max_followers", "1")]).await;
    let task = served.running().await;
    let mut first = served.follow(task.id, "").await;
    let refused = served.follow_request(task.id, "").send().await.expect("an answer");
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, problem) = problem(refused).await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("overloaded")));
    let text = served.get(&format!("/api/tasks/{}/logs", task.id)).send().await;
    assert_eq!(
        text.expect("an answer").status(),
        200,
        "whoever only reads is no follower"
    );
    served.append(&task, &[out(0, "a")]).await;
    assert!(first.next().await.is_some());
    drop(first);
    eventually("there is room again", || async {
        let answer = served.follow_request(task.id, "").send().await.expect("an answer");
        if answer.status() == 200 {
            Ok(())
        } else {
            Err(answer.status())
        }
    })
    .await;
    served.stopped().await;
}

#[tokio::test]
async fn one_key_leaves_places_to_others() {
    let served = Served::start_with(&[("api.max_followers", "12")]).await;
    let task = served.running().await;
    let (_, key) = served.reader_key(None).await;
    let mut followers = Vec::new();
    for _ in 0..10 {
        followers.push(Events::of(served.follow_with(task.id, &key).await));
    }
    let refused = served.follow_with(task.id, &key).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, problem) = problem(refused).await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("overloaded")));
    let detail = problem["detail"].as_str().expect("a text");
    assert!(
        detail.contains("this key follows logs or changes 10 times already"),
        "{detail}"
    );
    followers.push(served.follow(task.id, "").await);
    drop(followers);
    served.stopped().await;
}

#[tokio::test]
async fn nothing_is_told_to_a_follower_whose_key_was_revoked() {
    let served = Served::start().await;
    let task = served.running().await;
    let (id, key) = served.reader_key(None).await;
    let mut told = Events::of(served.follow_with(task.id, &key).await);
    let silent = Events::of(served.follow_with(task.id, &key).await);
    served.append(&task, &[out(0, "before")]).await;
    assert_eq!(told.next().await, Some(log("1-0", "stdout", "before")));
    served.engine.revoke_key(&id).await.expect("it is revoked");
    served.append(&task, &[out(1, "after")]).await;
    for follower in [told, silent] {
        let rest = timeout(BOUND, follower.rest()).await.expect("it ends");
        assert!(rest.iter().all(|event| event.data["text"] == "before"), "{rest:?}");
    }
    served.stopped().await;
}

#[tokio::test]
async fn a_follower_whose_key_is_no_longer_valid_is_let_go_although_nothing_is_written() {
    let served = Served::start().await;
    let task = served.running().await;
    let expires_at = served.engine.clock().now() + Duration::from_secs(4);
    let (_, expiring) = served.reader_key(Some(expires_at)).await;
    let (id, revoked) = served.reader_key(None).await;
    let mut followers = Vec::new();
    for key in [&expiring, &revoked] {
        followers.push(Events::of(served.follow_with(task.id, key).await));
    }
    served.engine.revoke_key(&id).await.expect("it is revoked");
    for follower in followers {
        let rest = timeout(BOUND, follower.rest()).await.expect("it ends");
        assert!(rest.is_empty(), "no end, as the task is not over: {rest:?}");
    }
    served.stopped().await;
}

#[tokio::test]
async fn following_lasts_as_long_as_the_settings_say_and_goes_on_with_another_connection() {
    let served = Served::start_with(&[("api.max_follow_seconds", "0.5")]).await;
    let task = served.running().await;
    served.append(&task, &[out(0, "a")]).await;
    let started = Instant::now();
    let told = served.follow(task.id, "").await.rest().await;
    assert_eq!(told, [log("1-0", "stdout", "a")], "no end, as it is not over");
    assert!(started.elapsed() >= Duration::from_millis(500));
    served.finish(&task, Ending::Success, vec![out(1, "b")]).await;
    let rest = served.follow_from(task.id, "", "1-0").await.rest().await;
    assert_eq!(rest, [log("1-1", "stdout", "b"), end("Completed", 1, "Success")]);
    served.stopped().await;
}

#[tokio::test]
async fn a_stop_ends_the_following_at_once() {
    let served = Served::start().await;
    let task = served.running().await;
    served.append(&task, &[out(0, "a")]).await;
    let mut events = served.follow(task.id, "").await;
    assert!(events.next().await.is_some());
    let stopping = Instant::now();
    served.stop.cancel();
    assert_eq!(events.next().await, None, "no end, as it is not over");
    served.stopped().await;
    // Sooner than what goes on is cut off.
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
}

/// Silence is no fault of the client's: neither protocol takes it for one.
#[tokio::test]
async fn following_a_silent_task_outlasts_every_patience_with_clients() {
    let served = Served::start_with(&[
        ("api.tls.listen", "127.0.0.1:0"),
        ("api.header_timeout_seconds", "0.3"),
        ("api.write_timeout_seconds", "0.3"),
    ])
    .await;
    let task = served.running().await;
    let secure = served.addresses.tls.expect("an address");
    let urls = [
        (reqwest::Version::HTTP_11, format!("http://{}", served.addresses.plain)),
        (reqwest::Version::HTTP_2, format!("https://{secure}")),
    ];
    let mut followers = Vec::new();
    for (version, url) in urls {
        let request = served.client.get(format!("{url}/api/tasks/{}/logs", task.id));
        let request = request
            .header("x-api-key", BOOTSTRAP)
            .header("accept", "text/event-stream");
        let answer = request
            .header("accept-encoding", "gzip")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.version(), version);
        assert_eq!(
            answer.headers().get("content-encoding"),
            None,
            "nothing waits to be compressed"
        );
        assert_eq!(answer.headers()["cache-control"], "no-store");
        followers.push(Events::of(answer));
    }
    let silence = Duration::from_millis(1_200);
    for follower in &mut followers {
        assert!(timeout(silence, follower.next()).await.is_err(), "nothing, and no end");
    }
    served.append(&task, &[out(0, "a")]).await;
    served.finish(&task, Ending::Success, Vec::new()).await;
    for follower in followers {
        assert_eq!(
            follower.rest().await,
            [log("1-0", "stdout", "a"), end("Completed", 1, "Success")]
        );
    }
    served.stopped().await;
}

/// Whoever asks with `Accept: text/event-stream` was refused once.
#[tokio::test]
async fn what_is_asked_for_first_is_answered() {
    let served = Served::start().await;
    let task = served.running().await;
    served.finish(&task, Ending::Success, vec![out(0, "text\n")]).await;
    let path = format!("/api/tasks/{}/logs", task.id);
    for (accept, kind) in [
        ("text/event-stream", "text/event-stream"),
        ("text/plain, text/event-stream", "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
    ] {
        let answer = served
            .get(&path)
            .header("accept", accept)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
    }
    served.stopped().await;
}
