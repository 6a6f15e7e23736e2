//! API keys.

use std::sync::Arc;

use orchestratum_core::Timestamp;

use super::lab::{SECOND, START};
use orchestratum_store::{ApiKey, Error, Store};

fn key(id: &str, created_at: Timestamp) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        name: "billing's \"key\"".to_owned(),
        secret_hash: [7; 32],
        scopes: vec!["tasks:read".to_owned(), "admin".to_owned()],
        created_at,
        expires_at: Some(created_at + SECOND),
        revoked_at: None,
        last_used_at: None,
    }
}

pub(crate) async fn a_key_is_read_as_it_was_stored(store: Arc<dyn Store>) {
    for stored in [
        key("a", START),
        ApiKey {
            scopes: Vec::new(),
            expires_at: None,
            revoked_at: Some(START),
            last_used_at: Some(START + SECOND),
            ..key("b", START)
        },
    ] {
        store.insert_key(&stored).await.expect("works");
        assert_eq!(store.key(&stored.id).await.expect("works"), Some(stored));
    }
}

pub(crate) async fn an_unknown_key_is_absent(store: Arc<dyn Store>) {
    assert_eq!(store.key("unknown").await.expect("works"), None);
    assert!(!store.revoke_key("unknown", START).await.expect("works"));
    store.touch_key("unknown", START).await.expect("is no fault");
}

pub(crate) async fn a_key_cannot_be_stored_twice(store: Arc<dyn Store>) {
    store.insert_key(&key("a", START)).await.expect("works");
    let error = store.insert_key(&key("a", START)).await.expect_err("the id is taken");
    assert!(matches!(error, Error::Rejected(_)), "{error:?}");
}

pub(crate) async fn only_one_first_key_is_stored(store: Arc<dyn Store>) {
    assert!(store.insert_first_key(&key("a", START)).await.expect("works"));
    assert!(!store.insert_first_key(&key("b", START)).await.expect("works"));
    store.revoke_key("a", START).await.expect("works");
    assert!(
        !store.insert_first_key(&key("c", START)).await.expect("works"),
        "a revoked key is a key"
    );
    assert_eq!(store.keys().await.expect("works").len(), 1);
}

pub(crate) async fn of_two_that_store_the_first_key_at_once_one_wins(store: Arc<dyn Store>) {
    let race = (0..4).map(|index| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let first = key(&format!("key-{index}"), START);
            store.insert_first_key(&first).await.expect("works")
        })
    });
    let wins = futures::future::join_all(race.collect::<Vec<_>>()).await;
    let wins = wins
        .into_iter()
        .filter(|joined| *joined.as_ref().expect("no panic"))
        .count();
    assert_eq!((wins, store.keys().await.expect("works").len()), (1, 1));
}

pub(crate) async fn keys_are_listed_newest_first(store: Arc<dyn Store>) {
    for (id, created_at) in [("b", START + SECOND), ("a", START), ("c", START + SECOND * 2)] {
        store.insert_key(&key(id, created_at)).await.expect("works");
    }
    let ids: Vec<String> = store
        .keys()
        .await
        .expect("works")
        .into_iter()
        .map(|key| key.id)
        .collect();
    assert_eq!(ids, ["c", "b", "a"]);
}

pub(crate) async fn a_key_is_revoked_once_and_for_all(store: Arc<dyn Store>) {
    store.insert_key(&key("a", START)).await.expect("works");
    assert!(store.revoke_key("a", START).await.expect("works"));
    assert!(store.revoke_key("a", START + SECOND).await.expect("works"));
    let stored = store.key("a").await.expect("works").expect("exists");
    assert_eq!(stored.revoked_at, Some(START), "the first time counts");
}

pub(crate) async fn the_last_use_of_a_key_is_kept(store: Arc<dyn Store>) {
    store.insert_key(&key("a", START)).await.expect("works");
    store.touch_key("a", START + SECOND).await.expect("works");
    let stored = store.key("a").await.expect("works").expect("exists");
    assert_eq!(stored.last_used_at, Some(START + SECOND));
}
