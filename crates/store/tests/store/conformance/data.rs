//! What goes in comes out: sizes, characters, times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{SpecLimits, TaskDraft};
use orchestratum_core::{JsonText, Origin, Timestamp};

use super::lab::{Lab, draft, evidence, report};
use orchestratum_store::{Announce, Change, NewTask, Store};

const HUNDRED_YEARS: Duration = Duration::from_secs(36_525 * 86_400);

/// Every character that a careless quoting trips over.
const AWKWARD: &str = "it's \"quoted\"\r\n\t\\n $1 ?1 :a @b {} [] -- ; /* */ % _ \u{1} \u{7f}";

const UNICODE: &str = "Привет, 世界! \u{1f980} e\u{301} \u{202e}rtl\u{202c} \u{feff} \u{10ffff} İıß";

/// The text as an input comes back as it was, from the list, the claim and the output.
async fn assert_comes_back(lab: &Lab, text: &str) {
    let input = JsonText::of(text).expect("JSON");
    let claimed = lab
        .running(TaskDraft {
            input: Some(input.clone()),
            ..draft("echo")
        })
        .await;
    assert_eq!(claimed.input, input);
    let change = Change {
        evidence: evidence(input.as_str()),
        ..report(&claimed, orchestratum_core::task::Ending::Success)
    };
    super::lab::done(lab.apply(change).await);
    let task = lab.task(claimed.id).await;
    assert_eq!(task.spec.input.parse::<String>().expect("JSON"), text);
    assert_eq!(task.output.expect("given"), input);
}

pub(crate) async fn a_hundred_year_timeout_and_time_to_live_are_kept(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let limits = SpecLimits {
        max_ttl: HUNDRED_YEARS,
        max_timeout: HUNDRED_YEARS,
        ..SpecLimits::default()
    };
    let century = HUNDRED_YEARS.as_secs_f64();
    let long = TaskDraft {
        ttl_seconds: Some(century),
        timeout_seconds: Some(century),
        ..draft("echo")
    };
    let (spec, life) = long.check("", lab.id(), &limits, lab.now).expect("meets the rules");
    let id = lab
        .create_new(NewTask {
            spec,
            life,
            announce: Announce::ByFeeder,
            request_hash: None,
            origin: Origin::default(),
        })
        .await;
    let task = lab.task(id).await;
    assert_eq!((task.spec.ttl, task.spec.timeout), (HUNDRED_YEARS, Some(HUNDRED_YEARS)));
    assert_eq!(task.life.expires_at, lab.now + HUNDRED_YEARS);
    let worker = lab.echo_worker().await;
    assert_eq!(lab.claim_one(worker).await.timeout, Some(HUNDRED_YEARS));
}

pub(crate) async fn a_payload_of_ten_thousand_characters_comes_back(store: Arc<dyn Store>) {
    assert_comes_back(&Lab::new(store), &"ж'\"\n\\".repeat(2_000)).await;
}

pub(crate) async fn a_payload_of_a_mebibyte_comes_back(store: Arc<dyn Store>) {
    assert_comes_back(&Lab::new(store), &"x".repeat((1 << 20) - 2)).await;
}

pub(crate) async fn quotes_newlines_and_backslashes_come_back(store: Arc<dyn Store>) {
    assert_comes_back(&Lab::new(store), AWKWARD).await;
}

pub(crate) async fn unicode_comes_back_everywhere(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    assert_comes_back(&lab, UNICODE).await;
    for text in [UNICODE, AWKWARD] {
        let labels = BTreeMap::from([("ключ ' \"".to_owned(), text.to_owned())]);
        let id = lab
            .create(TaskDraft {
                description: Some(text.to_owned()),
                labels: labels.clone(),
                ..draft("echo")
            })
            .await;
        let task = lab.task(id).await;
        assert_eq!(task.spec.description.as_deref(), Some(text));
        assert_eq!(task.spec.labels, labels);
    }
}

pub(crate) async fn the_bytes_of_a_payload_are_not_reordered(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for text in [
        r#"{"b": 1.50, "a": [1e2, "\u00e9"], "b": 2}"#,
        "12345678901234567890.123456789",
        "null",
        r#""""#,
    ] {
        let input = Some(JsonText::new(text).expect("JSON"));
        let id = lab.create(TaskDraft { input, ..draft("echo") }).await;
        assert_eq!(lab.task(id).await.spec.input.as_str(), text);
    }
}

pub(crate) async fn a_thousand_tasks_are_stored_in_one_call(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let tasks: Vec<NewTask> = (0..1_000).map(|_| lab.task_of(draft("echo"))).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.spec.id).collect();
    lab.try_create(tasks, None).await;
    let read = lab.store.tasks(&ids).await.expect("works");
    assert!(read.iter().map(|task| task.spec.id).eq(ids));
}

pub(crate) async fn what_is_absent_stays_absent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = lab.task_of(draft("echo"));
    let id = lab.create_new(task).await;
    let task = lab.task(id).await;
    assert_eq!((task.worker, task.started_at, task.output), (None, None, None));
    assert_eq!(task.progress, None);
    assert_eq!(
        (
            task.spec.description,
            task.spec.timeout,
            task.spec.limits,
            task.spec.parent_id
        ),
        (None, None, None, None)
    );
    assert!(task.spec.labels.is_empty());
}

pub(crate) async fn times_keep_their_microseconds(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.now = Timestamp::from_micros(1_796_083_200_123_457);
    let scheduled_at = lab.now + Duration::from_micros(1);
    let id = lab
        .create(TaskDraft {
            scheduled_at: Some(scheduled_at),
            ..draft("echo")
        })
        .await;
    let task = lab.task(id).await;
    assert_eq!((task.spec.created_at, task.life.scheduled_at), (lab.now, scheduled_at));
}
