//! Definitions of sagas and their versions.

use std::sync::Arc;

use orchestratum_store::{DefinitionHead, DefinitionVersion, NewDefinition, Store};

use super::lab::{Lab, SECOND, audit};
use super::saga_lab::{COUNTER, ORDER, definition_name, event_name, new_definition, put};

/// The counter that begins with this number.
fn counting_from(count: usize) -> NewDefinition {
    new_definition(&COUNTER.replace("count: 0", &format!("count: {count}")), &["start"])
}

fn version(version: u32, is_new: bool) -> DefinitionVersion {
    DefinitionVersion { version, is_new }
}

fn versions(heads: &[DefinitionHead]) -> Vec<u32> {
    heads.iter().map(|head| head.version).collect()
}

pub(crate) async fn the_same_content_is_the_same_version_and_a_return_to_an_older_one_is_a_new_one(
    store: Arc<dyn Store>,
) {
    let mut lab = Lab::new(store);
    let name = definition_name("counter");
    assert_eq!(lab.store.definition(&name, None).await.expect("works"), None);
    let (first, second) = (counting_from(0), counting_from(1));
    assert_eq!(put(&lab, &first).await, version(1, true));
    lab.advance(SECOND);
    let rewritten = NewDefinition {
        source: "# The same in other words.".to_owned(),
        ..first.clone()
    };
    assert_eq!(put(&lab, &rewritten).await, version(1, false));
    assert_eq!(put(&lab, &second).await, version(2, true));
    lab.advance(SECOND);
    assert_eq!(put(&lab, &first).await, version(3, true));

    let newest = lab
        .store
        .definition(&name, None)
        .await
        .expect("works")
        .expect("it is there");
    assert_eq!((newest.version, newest.created_at), (3, lab.now));
    let older = lab
        .store
        .definition(&name, Some(2))
        .await
        .expect("works")
        .expect("it is there");
    assert_eq!((older.source, older.canonical), (second.source, second.canonical));
    assert_eq!(lab.store.definition(&name, Some(4)).await.expect("works"), None);
    let page = lab.store.definition_versions(&name, None, 2).await.expect("works");
    assert_eq!(versions(&page), [3, 2]);
    let page = lab.store.definition_versions(&name, Some(2), 2).await.expect("works");
    assert_eq!(versions(&page), [1]);
}

pub(crate) async fn definitions_that_are_put_at_once_have_a_version_each(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let put_at_once = |definitions: Vec<NewDefinition>| {
        let puts = definitions.into_iter().map(|definition| {
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            tokio::spawn(async move {
                store
                    .put_definition(&definition, &audit("put"), now)
                    .await
                    .expect("works")
            })
        });
        let puts: Vec<_> = puts.collect();
        async move {
            let mut put = Vec::new();
            for outcome in futures::future::join_all(puts).await {
                put.push(outcome.expect("no panic"));
            }
            put.sort_unstable_by_key(|put| (put.version, !put.is_new));
            put
        }
    };
    let different = put_at_once((0..8).map(counting_from).collect()).await;
    assert_eq!(
        different,
        (1..=8).map(|number| version(number, true)).collect::<Vec<_>>()
    );
    let mut same = put_at_once(vec![counting_from(100); 8]).await;
    assert_eq!(same.remove(0), version(9, true));
    assert_eq!(same, [version(9, false); 7]);
}

pub(crate) async fn definitions_are_listed_by_name_each_with_its_newest_version(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for name in ["b", "a-c", "B", "a"] {
        put(&lab, &new_definition(&COUNTER.replace("counter", name), &["start"])).await;
    }
    let text = COUNTER.replace("counter", "a").replace("count: 0", "count: 1");
    put(&lab, &new_definition(&text, &["start"])).await;
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = lab.store.definitions(after.as_ref(), 3).await.expect("works");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        listed.extend(page);
    }
    let listed: Vec<(&str, u32)> = listed.iter().map(|head| (head.name.as_str(), head.version)).collect();
    assert_eq!(listed, [("B", 1), ("a", 2), ("a-c", 1), ("b", 1)]);
}

pub(crate) async fn names_that_have_a_definition_are_told_from_others(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    put(&lab, &counting_from(0)).await;
    put(&lab, &counting_from(1)).await;
    put(&lab, &new_definition(ORDER, &["start"])).await;
    let defined = async |names: &[&str]| {
        let names: Vec<_> = names.iter().copied().map(definition_name).collect();
        let defined = lab.store.defined_of(&names).await.expect("works");
        defined.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        defined(&["other", "order", "counter", "counte"]).await,
        ["counter", "order"]
    );
    assert_eq!(defined(&[]).await, [""; 0]);
}

pub(crate) async fn a_definition_is_found_by_the_events_that_its_newest_version_starts_on(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    put(&lab, &new_definition(ORDER, &["start", "ordered"])).await;
    put(&lab, &new_definition(COUNTER, &["start"])).await;
    let starting_on = async |event: &str| {
        let found = lab
            .store
            .definitions_starting_on(&event_name(event))
            .await
            .expect("works");
        found.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(starting_on("start").await, ["counter", "order"]);
    assert_eq!(starting_on("ordered").await, ["order"]);
    assert_eq!(starting_on("order").await, [""; 0]);
    put(&lab, &new_definition(&ORDER.replace("900", "901"), &["start"])).await;
    assert_eq!(starting_on("ordered").await, [""; 0], "the older version does no more");
}

pub(crate) async fn a_definition_that_runs_is_read_once_for_all_who_ask(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    put(&lab, &counting_from(0)).await;
    put(&lab, &counting_from(1)).await;
    let name = definition_name("counter");
    let compiled = async |version| lab.store.compiled_definition(&name, version).await.expect("works");
    let first = compiled(1).await.expect("it is there");
    let again = compiled(1).await.expect("it is there");
    assert!(Arc::ptr_eq(&first, &again), "a version never changes");
    let second = compiled(2).await.expect("it is there");
    assert_ne!(second.definition(), first.definition());
    assert!(compiled(3).await.is_none());
    assert_eq!(first.definition().canonical(), counting_from(0).canonical);
}
