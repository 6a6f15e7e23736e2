use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape of every weigh function")]
fn one_row(_: &u32) -> Weight {
    Weight { rows: 1, bytes: 1 }
}

fn refused() -> store::Error {
    store::Error::Rejected(sqlx_error())
}

fn sqlx_error() -> sqlx::Error {
    sqlx::Error::Protocol("refused".to_owned())
}

#[tokio::test]
async fn what_queues_up_behind_a_batch_becomes_one_batch() {
    let gate = Arc::new(Notify::new());
    let batches = Arc::new(AtomicUsize::new(0));
    let (held, counted) = (Arc::clone(&gate), Arc::clone(&batches));
    let bounds = Bounds {
        lanes: 1,
        ..Bounds::HOT_PATH
    };
    let batcher = Arc::new(Batcher::start(bounds, one_row, move |requests: Arc<Vec<u32>>| {
        let (held, counted) = (Arc::clone(&held), Arc::clone(&counted));
        async move {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                held.notified().await;
            }
            Ok(requests.iter().map(|request| request * 2).collect())
        }
    }));
    let first = tokio::spawn({
        let batcher = Arc::clone(&batcher);
        async move { batcher.submit(1).await }
    });
    while batches.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let rest = futures::future::join_all((2..=500).map(|request| batcher.submit(request)));
    let (answers, ()) = tokio::join!(rest, async { gate.notify_one() });
    assert_eq!(first.await.expect("the task ran").expect("an answer"), 2);
    assert!(
        answers
            .into_iter()
            .zip(2..)
            .all(|(answer, request)| answer.is_ok_and(|answer| answer == request * 2))
    );
    assert_eq!(batches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn only_the_culprit_of_a_refused_batch_gets_the_error() {
    let batcher = Batcher::start(Bounds::HOT_PATH, one_row, |requests: Arc<Vec<u32>>| async move {
        if requests.contains(&7) {
            Err(refused())
        } else {
            Ok(requests.as_ref().clone())
        }
    });
    let answers = futures::future::join_all((0..100).map(|request| batcher.submit(request))).await;
    for (request, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.is_err(), request == 7, "request {request}");
    }
}

#[tokio::test]
async fn a_batch_stays_within_its_bounds() {
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    let bounds = Bounds {
        lanes: 2,
        worth_a_lane: 10,
        batch: Weight {
            rows: 10,
            bytes: usize::MAX,
        },
        waiting: 1_000,
        held_bytes: usize::MAX,
    };
    let batcher = Batcher::start(bounds, one_row, move |requests: Arc<Vec<u32>>| {
        seen.fetch_max(requests.len(), Ordering::SeqCst);
        async move { Ok(requests.as_ref().clone()) }
    });
    let answers = futures::future::join_all((0..500).map(|request| batcher.submit(request))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(largest.load(Ordering::SeqCst) <= 10);
}

#[tokio::test]
async fn a_panic_costs_its_culprit_an_error_and_nobody_their_lane() {
    let bounds = Bounds {
        lanes: 1,
        ..Bounds::HOT_PATH
    };
    let batcher = Batcher::start(bounds, one_row, |requests: Arc<Vec<u32>>| async move {
        assert!(!requests.contains(&7), "seven");
        Ok(requests.as_ref().clone())
    });
    for _ in 0..2 {
        let answers = futures::future::join_all((0..100).map(|request| batcher.submit(request))).await;
        for (request, answer) in (0..).zip(answers) {
            match answer {
                Ok(answer) => assert_eq!(answer, request),
                Err(error) => assert!(request == 7 && matches!(error, Error::Panicked), "{request}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn requests_beyond_the_bytes_that_may_be_held_are_turned_away_until_there_is_room() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let bounds = Bounds {
        lanes: 1,
        held_bytes: 100,
        ..Bounds::HOT_PATH
    };
    let weigh = |request: &usize| Weight {
        rows: 1,
        bytes: *request,
    };
    let batcher = Batcher::start(bounds, weigh, move |requests: Arc<Vec<usize>>| {
        let held = Arc::clone(&held);
        async move {
            held.notified().await;
            Ok(requests.as_ref().clone())
        }
    });
    let held_bytes = || batcher.held_bytes.load(Ordering::Relaxed);
    // Larger than all together may be: it goes while it is alone.
    let large = batcher.submit(1_000);
    tokio::pin!(large);
    assert!(futures::poll!(&mut large).is_pending());
    assert!(matches!(batcher.submit(1).await, Err(Error::Overloaded)));
    gate.notify_one();
    assert_eq!(large.await.expect("an answer"), 1_000);
    assert_eq!(held_bytes(), 0);
    assert!(batcher.leave(60), "there is room again");
    assert!(batcher.leave(40));
    assert!(!batcher.leave(1), "a batch in flight counts like one that waits");
    assert_eq!(held_bytes(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_long_enough_starts_with_the_first_lane_that_is_free() {
    // Each request opens its own batch.
    let gates: Arc<Vec<Notify>> = Arc::new((0..3).map(|_| Notify::new()).collect());
    let begun = Arc::new(AtomicUsize::new(0));
    let (held, count) = (Arc::clone(&gates), Arc::clone(&begun));
    let batcher = Batcher::start(Bounds::HOT_PATH, one_row, move |requests: Arc<Vec<u32>>| {
        let held = Arc::clone(&held);
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            held[requests[0] as usize].notified().await;
            Ok(requests.as_ref().clone())
        }
    });
    let settle = || async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        begun.load(Ordering::SeqCst)
    };
    let (begins, beside, waits) = (batcher.submit(0), batcher.submit(1), batcher.submit(2));
    tokio::pin!(begins, beside, waits);
    assert!(futures::poll!(&mut begins).is_pending());
    assert_eq!(settle().await, 1);
    assert!(futures::poll!(&mut beside).is_pending());
    tokio::time::sleep(std::time::Duration::from_millis(6)).await;
    assert_eq!(settle().await, 2);
    assert!(futures::poll!(&mut waits).is_pending());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(settle().await, 2, "there are only two lanes");
    gates[1].notify_one();
    assert_eq!(settle().await, 3, "the clock stands still");
}

#[tokio::test(start_paused = true)]
async fn a_second_batch_starts_beside_the_first_when_enough_waits_or_after_a_while() {
    let begun = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Notify::new());
    let (count, held) = (Arc::clone(&begun), Arc::clone(&gate));
    let bounds = Bounds {
        worth_a_lane: 10,
        ..Bounds::HOT_PATH
    };
    let batcher = Batcher::start(bounds, one_row, move |requests: Arc<Vec<u32>>| {
        count.fetch_add(1, Ordering::SeqCst);
        let held = Arc::clone(&held);
        async move {
            held.notified().await;
            Ok(requests.as_ref().clone())
        }
    });
    let settle = || async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        begun.load(Ordering::SeqCst)
    };
    assert!(batcher.leave(0));
    assert_eq!(settle().await, 1);
    for request in 1..10 {
        assert!(batcher.leave(request));
    }
    assert_eq!(settle().await, 1, "nine are not enough");
    assert!(batcher.leave(10));
    assert_eq!(settle().await, 2, "ten are");
    assert!(batcher.leave(11));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2, "there are only two lanes");
    gate.notify_one();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(
        begun.load(Ordering::SeqCst),
        3,
        "one request that waited long enough is worth a lane"
    );
}
