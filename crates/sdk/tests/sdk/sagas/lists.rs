//! Finding sagas, and reading them page by page.

use futures::future::join_all;
use orchestratum_sdk::prelude::*;
use orchestratum_sdk::saga::{Pages, Saga, SagaFilter, SagaStatus, Sagas};

use super::trip::{Agency, BudgetStartEvent, BudgetState, PricedEvent, TripState, budget, start_of};
use crate::hostings::on_every_hosting;
use crate::support::Hosting;

on_every_hosting!(
    a_saga_is_found_by_its_correlation_id,
    sagas_are_found_by_what_they_are_in,
    what_has_not_changed_for_long_is_found,
    lists_and_histories_go_on_over_their_pages,
);

/// With budgets `b-0`, `b-1` and so on.
async fn with_budgets(hosting: Hosting, count: usize) -> Agency {
    let agency = Agency::without_handlers(hosting).await;
    agency.sagas.define(&budget()).await.expect("it is taken");
    let starts = (0..count).map(|number| {
        let sagas = agency.sagas.clone();
        async move {
            let correlation_id = format!("b-{number}");
            let started = sagas.start("budget", &correlation_id, &BudgetStartEvent { limit: 10 });
            started.await.expect("it starts")
        }
    });
    join_all(starts).await;
    agency
}

/// With which a budget is over.
async fn spend(sagas: &Sagas, correlation_id: &str) {
    let found = sagas.find("budget", correlation_id).await.expect("an answer");
    let spent = sagas
        .raise(found.expect("it is there").id, &PricedEvent { amount: 50 })
        .await;
    assert_eq!(spent.expect("it is taken").status, SagaStatus::Completed);
}

async fn a_saga_is_found_by_its_correlation_id(hosting: Hosting) {
    let agency = with_budgets(hosting, 2).await;
    let sagas = &agency.sagas;
    let found = sagas
        .find("budget", "b-1")
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(found.correlation_id, "b-1");
    let again = sagas.get(found.id).await.expect("it is there");
    assert_eq!((again.id, again.version), (found.id, found.version));
    for (definition, correlation_id) in [("budget", "b-2"), ("trip", "b-1"), ("unknown", "b-1")] {
        let found = sagas.find(definition, correlation_id).await.expect("an answer");
        assert!(found.is_none(), "{definition} {correlation_id}");
    }
    agency.close().await;
}

async fn sagas_are_found_by_what_they_are_in(hosting: Hosting) {
    let agency = with_budgets(hosting, 3).await;
    let sagas = &agency.sagas;
    spend(sagas, "b-1").await;
    sagas.start("trip", "b-1", &start_of("Ann")).await.expect("it starts");

    let ids = async |mut found: Pages<Saga>| {
        let found = found.take(100).await.expect("a list");
        let mut ids: Vec<String> = found.into_iter().map(|saga| saga.correlation_id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(
        ids(sagas.find_by_state("budget", &BudgetState::Open)).await,
        ["b-0", "b-2"]
    );
    assert_eq!(ids(sagas.find_by_state("budget", &BudgetState::Spent)).await, ["b-1"]);
    assert_eq!(ids(sagas.find_by_state("trip", &BudgetState::Spent)).await, [""; 0]);
    assert_eq!(
        ids(sagas.find_by_state("trip", &TripState::AwaitingRoom)).await,
        ["b-1"]
    );
    let last = sagas
        .find("budget", "b-2")
        .await
        .expect("an answer")
        .expect("it is there");
    sagas.cancel(last.id, "nobody books").await.expect("it is taken");
    assert_eq!(ids(sagas.find_by_state("budget", &BudgetState::Open)).await, ["b-0"]);
    let cancelled = SagaFilter::default().status(SagaStatus::Cancelled).state("Open");
    assert_eq!(ids(sagas.find_all(cancelled)).await, ["b-2"]);
    let completed = SagaFilter::default().status(SagaStatus::Completed).state("Spent");
    assert_eq!(ids(sagas.find_all(completed)).await, ["b-1"]);
    let of_both = SagaFilter::default().correlation_id("b-1");
    assert_eq!(ids(sagas.find_all(of_both.clone())).await, ["b-1", "b-1"]);
    assert_eq!(ids(sagas.find_all(of_both.definition("trip"))).await, ["b-1"]);
    agency.close().await;
}

async fn what_has_not_changed_for_long_is_found(hosting: Hosting) {
    let agency = with_budgets(hosting, 2).await;
    let sagas = &agency.sagas;
    spend(sagas, "b-1").await;
    let stale = sagas.find_stale(Duration::ZERO).take(10).await.expect("a list");
    let stale: Vec<&str> = stale.iter().map(|saga| saga.correlation_id.as_str()).collect();
    assert_eq!(stale, ["b-0"], "what is over is not stale");
    let mut stale = sagas.find_stale(Duration::from_secs(3_600));
    assert!(stale.next().await.expect("a list").is_none());
    agency.close().await;
}

async fn lists_and_histories_go_on_over_their_pages(hosting: Hosting) {
    const COUNT: usize = 130;
    let agency = with_budgets(hosting, COUNT).await;
    let sagas = &agency.sagas;
    let mut open = sagas.find_by_state("budget", &BudgetState::Open);
    let (mut pages, mut ids) = (0, Vec::new());
    while let Some(page) = open.next_page().await.expect("a page") {
        pages += 1;
        ids.extend(page.into_iter().map(|saga| saga.id));
    }
    assert!(pages > 1, "{pages} pages");
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    assert_eq!(ids.len(), COUNT);

    let saga = ids[0];
    let prices = (0..COUNT).map(|_| async move { sagas.raise(saga, &PricedEvent { amount: 1 }).await });
    for priced in join_all(prices).await {
        priced.expect("it is taken");
    }
    let mut history = sagas.history(saga);
    let mut places = Vec::new();
    while let Some(entry) = history.next().await.expect("an entry") {
        places.push(entry.seq);
    }
    assert!(places.iter().copied().eq(1..=COUNT as u64 + 1), "{places:?}");
    agency.close().await;
}
