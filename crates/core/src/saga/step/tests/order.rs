//! The story of an order (`config/sagas/order.yaml`), on every path.

use super::*;

#[test]
fn an_order_is_paid_reserved_and_shipped() {
    let mut order = reserved();
    let decided = order.task_ended(5, succeeded(r#"{"tracking_number":"S-1"}"#));
    assert_eq!(decided, ["finished Completed"]);
    order.is_at("Completed", SagaStatus::Completed);
    assert_eq!(order.context("shipment_tracking_number"), "\"S-1\"");
    assert!(order.instance.live.is_empty());
    assert_eq!(
        order.refuses(Input::EventRaised(event("order_shipped", "{}"))),
        "the saga is over"
    );
}

#[test]
fn an_order_whose_payment_fails_has_nothing_to_undo() {
    let (mut order, _) = Saga::started(ORDER, ORDER_INPUT);
    assert_eq!(order.task_ended(1, failed()), ["finished Failed"]);
    order.is_at("Failed", SagaStatus::Failed);
    assert_eq!(order.context("failure_reason"), "\"it broke\"");
}

#[test]
fn an_order_of_whose_payment_nobody_knows_is_refunded() {
    let (mut order, _) = Saga::started(ORDER, ORDER_INPUT);
    let refund = r#"undo 2 refund_payment {"amount":99.99,"order_id":"O-1"}"#;
    assert_eq!(order.task_ended(1, ended(ErrorKind::Lost, true)), [refund]);
    assert_eq!(order.undone(2, succeeded("null")), ["finished Failed"]);
    order.is_at("Failed", SagaStatus::Failed);
}

#[test]
fn an_order_without_goods_is_refunded_before_it_has_failed() {
    let mut order = paid();
    let refund = r#"undo 2 refund_payment {"amount":99.99,"order_id":"O-1"}"#;
    assert_eq!(order.task_ended(3, failed()), [refund]);
    order.is_at("AwaitingInventory", SagaStatus::Compensating);
    assert_eq!(order.undone(2, succeeded("null")), ["finished Failed"]);
    order.is_at("Failed", SagaStatus::Failed);
}

#[test]
fn an_order_that_cannot_be_shipped_is_released_and_then_refunded() {
    let mut order = reserved();
    let release = r#"undo 4 release_inventory {"order_id":"O-1"}"#;
    assert_eq!(order.task_ended(5, failed()), [release]);
    let refund = r#"undo 2 refund_payment {"amount":99.99,"order_id":"O-1"}"#;
    assert_eq!(order.undone(4, succeeded("null")), [refund]);
    assert_eq!(order.undone(2, succeeded("null")), ["finished Failed"]);
    order.is_at("Failed", SagaStatus::Failed);
}

#[test]
fn an_order_that_takes_too_long_is_taken_back_when_its_task_is_known_to_have_ended() {
    let mut order = reserved();
    assert_eq!(order.takes(Input::TimerFired(Timer::Saga)), ["cancel 5"]);
    order.is_at("AwaitingShipment", SagaStatus::Compensating);
    let decided = order.task_ended(5, ended(ErrorKind::Cancelled, true));
    assert_eq!(decided, [r#"undo 6 cancel_shipment {"order_id":"O-1"}"#]);
    let decided = order.undone(6, succeeded("null"));
    assert_eq!(decided, [r#"undo 4 release_inventory {"order_id":"O-1"}"#]);
    order.undone(4, succeeded("null"));
    assert_eq!(order.undone(2, succeeded("null")), ["finished TimedOut"]);
    order.is_at("Failed", SagaStatus::TimedOut);
}

#[test]
fn a_cancel_undoes_everything_also_where_it_comes_while_all_is_undone() {
    let mut order = paid();
    assert_eq!(order.takes(Input::CancelRequested), ["cancel 3"]);
    assert_eq!(
        order.refuses(Input::CancelRequested),
        "the saga is being cancelled already"
    );
    order.task_ended(3, ended(ErrorKind::Cancelled, false));
    assert_eq!(order.undone(2, succeeded("null")), ["finished Cancelled"]);
    order.is_at("AwaitingInventory", SagaStatus::Cancelled);

    let mut order = paid();
    order.task_ended(3, failed());
    assert_eq!(order.takes(Input::CancelRequested), Vec::<String>::new());
    assert_eq!(order.undone(2, succeeded("null")), ["finished Cancelled"]);
}

#[test]
fn a_compensation_that_fails_for_good_waits_for_a_person() {
    let mut order = reserved();
    order.task_ended(5, failed());
    assert_eq!(order.undone(4, failed()), Vec::<String>::new());
    order.is_at("AwaitingShipment", SagaStatus::CompensationStuck);
    let told = order.refuses(Input::CompensationRetried { number: 2 });
    assert_eq!(
        told,
        "compensation 2 is not the one that is being run: that is compensation 4 (release_inventory)"
    );
    let stuck = "compensation 4 (release_inventory) is stuck, and no event is taken before it is retried or skipped";
    assert_eq!(order.refuses(Input::Retried { context: Fields::new() }), stuck);
    assert_eq!(order.refuses(Input::EventRaised(event("shipped", "{}"))), stuck);
    let release = r#"undo 4 release_inventory {"order_id":"O-1"}"#;
    assert_eq!(order.takes(Input::CompensationRetried { number: 4 }), [release]);
    order.undone(4, failed());
    let refund = r#"undo 2 refund_payment {"amount":99.99,"order_id":"O-1"}"#;
    assert_eq!(order.takes(Input::CompensationSkipped { number: 4 }), [refund]);
    assert_eq!(order.undone(2, succeeded("null")), ["finished Failed"]);
}

#[test]
fn where_failures_of_compensations_are_passed_over_the_others_run() {
    let continuing = format!("{ORDER}\non_compensation_failure: continue\n");
    let (mut order, _) = Saga::started(&continuing, ORDER_INPUT);
    order.task_ended(1, succeeded(r#"{"transaction_id":"T-1"}"#));
    order.task_ended(3, succeeded(r#"{"reservation_id":"R-1"}"#));
    order.task_ended(5, failed());
    assert_eq!(order.undone(4, failed()).len(), 1);
    assert_eq!(order.undone(2, succeeded("null")), ["finished Failed"]);
    assert_eq!(order.instance.not_undone.len(), 1);
}
