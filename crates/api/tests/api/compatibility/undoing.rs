//! What fails, what is undone then and what takes too long, beside how that goes in `HeroMessaging`.

use serde_json::{Value, json};

use super::events::raise;
use crate::common::Api;
use crate::sagas::{
    claim, define, fail, fail_once, history, logged, on_both, path, read, report, settled, start, succeed,
};

on_both!(
    match_33_a_task_that_fails_moves_nothing_and_nothing_is_undone,
    match_34_compensations_run_newest_first_and_a_failure_keeps_the_rest,
    match_34_where_it_is_asked_for_failures_are_passed_over_and_all_of_them_told_at_the_end,
    fix_34_a_compensation_is_tried_again,
    match_36_a_saga_that_takes_too_long_is_timed_out_by_itself,
    fix_36_a_timeout_undoes_what_was_done_and_is_in_the_history,
    fix_41_retries_mean_the_same_for_a_task_and_for_what_undoes_it,
);

/// What is booked, by an event each, is given back.
const TRIP: &str = "
name: trip
initial: Initial
states:
  Initial: {on: {start: {target: Booking}}}
  Booking:
    on:
      hotel_booked: {compensation: [{name: cancel_hotel, max_retries: 0}]}
      flight_booked: {compensation: [{name: cancel_flight, max_retries: 0}]}
      car_booked: {compensation: [{name: cancel_car, max_retries: 0}]}
      begun: {tasks: [{name: fly, max_retries: 2, backoff: {kind: none}}]}
      missed: {target: Failed}
      cancelled: {compensate: true, target: Failed}
  Failed: {final: failed}
";

/// One for which all of this is booked.
async fn trip(api: &Api, source: &str, booked: &[&str]) -> Value {
    define(api, "trip", source).await;
    let saga = start(api, json!({"definition": "trip"})).await;
    for event in booked {
        raise(api, &saga, event).await;
    }
    saga
}

fn with(more: &str) -> String {
    format!("{TRIP}{more}\n")
}

/// The names of what is to be undone or could not be, and how each stands.
fn undos(saga: &Value) -> Vec<(&str, &str)> {
    let undos = saga["compensations"].as_array().expect("a list").iter();
    let told = undos.map(|undo| Some((undo["name"].as_str()?, undo["status"].as_str()?)));
    told.collect::<Option<_>>().expect("texts")
}

async fn match_33_a_task_that_fails_moves_nothing_and_nothing_is_undone(api: &Api) {
    let saga = trip(api, TRIP, &["hotel_booked"]).await;
    raise(api, &saga, "begun").await;
    fail(api, "fly", "there is fog").await;
    let failed = settled(api, &saga).await;
    assert_eq!(
        (&failed["status"], &failed["state"], &failed["tasks"]),
        (&json!("NeedsAttention"), &json!("Booking"), &json!([]))
    );
    assert_eq!(undos(&failed), [("cancel_hotel", "Pending")]);
    let reason = failed["parked"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("there is fog"), "{reason}");

    // Its failure may lead elsewhere, and still undoes nothing that no transition says is undone.
    let missed = raise(api, &saga, "missed").await;
    assert_eq!(missed["status"], "Failed");
    assert!(!logged(&history(api, &saga).await).contains(&"saga.compensation"));
}

async fn match_34_compensations_run_newest_first_and_a_failure_keeps_the_rest(api: &Api) {
    let saga = trip(api, TRIP, &["hotel_booked", "flight_booked", "car_booked"]).await;
    raise(api, &saga, "cancelled").await;
    succeed(api, "cancel_car", json!(null)).await;
    let next = claim(api, "cancel_flight").await;
    let undoing = read(api, &saga).await;
    assert_eq!(
        undos(&undoing),
        [("cancel_flight", "Running"), ("cancel_hotel", "Pending")]
    );
    let failure = json!({"error": {"message": "it is closed"}, "retryable": false});
    report(api, &next, "fail", &failure).await;
    let stuck = settled(api, &saga).await;
    assert_eq!(
        (&stuck["status"], undos(&stuck)),
        (
            &json!("CompensationStuck"),
            vec![("cancel_flight", "Stuck"), ("cancel_hotel", "Pending")]
        )
    );
    assert_eq!(stuck["compensations"][0]["error"]["message"], "it is closed");
}

async fn match_34_where_it_is_asked_for_failures_are_passed_over_and_all_of_them_told_at_the_end(api: &Api) {
    let source = with("on_compensation_failure: continue");
    let saga = trip(api, &source, &["hotel_booked", "flight_booked", "car_booked"]).await;
    raise(api, &saga, "cancelled").await;
    fail(api, "cancel_car", "it is closed").await;
    succeed(api, "cancel_flight", json!(null)).await;
    fail(api, "cancel_hotel", "it is gone").await;
    let failed = settled(api, &saga).await;
    assert_eq!(
        (&failed["status"], undos(&failed)),
        (
            &json!("Failed"),
            vec![("cancel_car", "Failed"), ("cancel_hotel", "Failed")]
        )
    );
    let told: Vec<_> = (0..2)
        .map(|index| failed["compensations"][index]["error"]["message"].clone())
        .collect();
    assert_eq!(told, ["it is closed", "it is gone"]);
}

async fn fix_34_a_compensation_is_tried_again(api: &Api) {
    let source = TRIP.replace("max_retries: 0", "max_retries: 1, backoff: {kind: none}");
    let saga = trip(api, &source, &["hotel_booked"]).await;
    raise(api, &saga, "cancelled").await;
    assert_eq!(fail_once(api, "cancel_hotel", "it is closed", true).await, 1);
    assert_eq!(read(api, &saga).await["status"], "Compensating");
    succeed(api, "cancel_hotel", json!(null)).await;
    let failed = settled(api, &saga).await;
    assert_eq!(
        (&failed["status"], &failed["compensations"]),
        (&json!("Failed"), &json!([]))
    );
}

async fn match_36_a_saga_that_takes_too_long_is_timed_out_by_itself(api: &Api) {
    let saga = trip(api, &with("timeout: {after_seconds: 0.2, target: Failed}"), &[]).await;
    let over = settled(api, &saga).await;
    assert_eq!(
        (&over["status"], &over["state"]),
        (&json!("TimedOut"), &json!("Failed"))
    );
    assert!(over["finished_at"].is_string(), "{over}");
    let events = format!("{}/events", path(&saga));
    let late = api.post(&events, &json!({"name": "cancelled"})).await;
    late.problem(409, "illegal_saga_status");
}

async fn fix_36_a_timeout_undoes_what_was_done_and_is_in_the_history(api: &Api) {
    // It is booked as it begins: nobody knows how soon this test gets to an event of its own.
    let source = with("timeout: {after_seconds: 0.2, target: Failed, compensate: true}").replace(
        "start: {target: Booking}",
        "start: {compensation: [{name: cancel_hotel}], target: Booking}",
    );
    let saga = trip(api, &source, &[]).await;
    succeed(api, "cancel_hotel", json!(null)).await;
    let over = settled(api, &saga).await;
    assert_eq!(
        (&over["status"], &over["state"], &over["compensations"]),
        (&json!("TimedOut"), &json!("Failed"), &json!([]))
    );
    let history = history(api, &saga).await;
    let timer = history.iter().find(|entry| entry["kind"] == "timer");
    let timer = timer.expect("it is told");
    assert_eq!(
        (&timer["log"][0]["event"], &timer["log"][0]["timer"]),
        (&json!("saga.timeout"), &json!("Saga"))
    );
    assert!(logged(&history).contains(&"saga.compensation"), "{history:?}");
}

async fn fix_41_retries_mean_the_same_for_a_task_and_for_what_undoes_it(api: &Api) {
    let source = TRIP.replace("max_retries: 0", "max_retries: 2, backoff: {kind: none}");
    let saga = trip(api, &source, &["hotel_booked"]).await;
    raise(api, &saga, "begun").await;
    for (name, status) in [("fly", "NeedsAttention"), ("cancel_hotel", "CompensationStuck")] {
        for attempt in 1..=2 {
            assert_eq!(fail_once(api, name, "not now", true).await, attempt, "{name}");
            let status_now = read(api, &saga).await["status"].clone();
            assert_ne!(status_now, status, "there is another attempt of {name}");
        }
        let last = claim(api, name).await;
        assert_eq!(last["attempt"], 3, "two retries are three attempts");
        let failure = json!({"error": {"message": "not now"}, "retryable": true});
        report(api, &last, "fail", &failure).await;
        assert_eq!(settled(api, &saga).await["status"], status);
        if name == "fly" {
            raise(api, &saga, "cancelled").await;
        }
    }
}
