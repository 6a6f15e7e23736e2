//! Sagas that start others.

use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{CHILD_DEPTH_MAX, DefinitionName, Input, SagaStatus};
use orchestratum_core::task::Ending;
use orchestratum_store::{EventKind, LiveChild, SagaFilter, Store};

use super::lab::Lab;
use super::saga_lab::{
    COUNTER, ORDER, assert_at, assert_stands, bring, define, field, history, look, look_at_all, new_saga, raise, read,
    refused, start, start_all, started, taken, unlooked, work,
};

/// It waits for a child.
const PARENT: &str = "
name: parent
context: {told: null}
initial: Initial
states:
  Initial:
    on:
      start:
        tasks: [{saga: counter, correlation_id: \"${ saga.correlation_id }-child\", input: [1, 2], raises: {success: counted, failure: uncounted}}]
        target: Waiting
  Waiting:
    on:
      counted: {set: {told: \"${ event.data }\"}, target: Completed}
      uncounted: {set: {told: \"${ event.data }\"}, target: Failed}
  Completed: {final: true}
  Failed: {final: failed}
";

/// A parent, and its child before its first look.
async fn family(lab: &Lab) -> (SagaId, SagaId) {
    let advanced = started(start_all(lab, &[new_saga(lab, "parent", "p-1")]).await.remove(0));
    let parent = advanced.saga.id;
    let page = lab.store.sagas(&SagaFilter::default(), None, 10).await.expect("works");
    let mut children = page.items.into_iter().filter(|saga| saga.parent == Some(parent));
    let child = children.next().expect("a child").id;
    // Of its start, and where it is to end at once, of that.
    let mut told = advanced.consequences.unlooked;
    told.dedup();
    assert_eq!(told, [child]);
    assert_eq!(unlooked(lab).await, [child]);
    (parent, child)
}

pub(crate) async fn a_child_begins_and_its_end_moves_its_parent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    define(&lab, COUNTER).await;
    let (parent, child) = family(&lab).await;
    let advanced = look(&lab, child).await;
    assert_at(&advanced.saga.instance, "Counting", SagaStatus::Running);
    let saga = read(&lab, child).await;
    assert_eq!(
        (saga.instance.correlation_id.as_str(), saga.instance.input.as_str()),
        ("p-1-child", "[1,2]")
    );
    raise(&lab, child, "add").await;
    let advanced = raise(&lab, child, "stop").await;
    assert_at(&advanced.saga.instance, "Stopped", SagaStatus::Completed);
    assert_eq!(advanced.consequences.unlooked, [parent]);
    let advanced = look(&lab, parent).await;
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Completed);
    let told: serde_json::Value = serde_json::from_str(&field(&advanced.saga.instance, "told")).expect("JSON");
    assert_eq!(told["count"], 1, "the context of the child");
}

pub(crate) async fn the_children_of_a_saga_are_listed(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    define(&lab, COUNTER).await;
    let (parent, child) = family(&lab).await;
    let of = |parent| SagaFilter {
        parent: Some(parent),
        ..SagaFilter::default()
    };
    let listed = async |filter: SagaFilter| {
        let page = lab.store.sagas(&filter, None, 10).await.expect("a page");
        let ids: Vec<SagaId> = page.items.iter().map(|saga| saga.id).collect();
        (ids, page.next)
    };
    assert_eq!(listed(of(parent)).await, (vec![child], None));
    assert_eq!(listed(of(child)).await, (vec![], None));
    let named = |name: &str| SagaFilter {
        definition: Some(DefinitionName::new(name).expect("a name")),
        ..of(parent)
    };
    assert_eq!(listed(named("counter")).await, (vec![child], None));
    assert_eq!(listed(named("parent")).await, (vec![], None));
}

pub(crate) async fn the_live_children_of_a_saga_are_told(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let child = |correlation_id: &str| {
        format!(
            "{{saga: counter, correlation_id: {correlation_id}, input: [1, 2], raises: {{success: counted, failure: uncounted}}}}"
        )
    };
    let all = format!("[{}, {}, {}]", child("a"), child("b"), child("c"));
    let (before, rest) = PARENT.split_once("tasks: [").expect("tasks");
    let (_, after) = rest.split_once("}}]\n").expect("their end");
    define(&lab, &format!("{before}tasks: {all}\n{after}")).await;
    define(&lab, COUNTER).await;
    let parent = started(start_all(&lab, &[new_saga(&lab, "parent", "p-1")]).await.remove(0))
        .saga
        .id;
    look_at_all(&lab).await;
    let told = async |most| {
        let live = lab
            .store
            .live_children(&[parent, SagaId(lab.id().0)], most)
            .await
            .expect("works");
        assert!(live.iter().all(|child| child.parent == parent));
        live
    };
    let live = told(10).await;
    let shown: Vec<_> = live
        .iter()
        .map(|LiveChild { number, overview, .. }| (*number, overview.correlation_id.as_str(), overview.state.as_str()))
        .collect();
    assert_eq!(
        shown,
        [(1, "a", "Counting"), (2, "b", "Counting"), (3, "c", "Counting")]
    );
    assert_eq!(live[0].overview.status, SagaStatus::Running);
    assert_eq!(told(2).await, live[..2]);
    assert_eq!(
        lab.store
            .live_children(&[live[0].overview.saga], 10)
            .await
            .expect("works"),
        []
    );
    raise(&lab, live[1].overview.saga, "stop").await;
    let left: Vec<u32> = told(10).await.iter().map(|child| child.number).collect();
    assert_eq!(left, [1, 3]);
}

pub(crate) async fn a_child_that_fails_is_a_failure_for_its_parent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, &PARENT.replace("saga: counter", "saga: order")).await;
    define(&lab, ORDER).await;
    let (parent, child) = family(&lab).await;
    look(&lab, child).await;
    work(&lab, child, super::saga_lab::for_good()).await;
    look_at_all(&lab).await;
    assert_stands(&lab, parent, "Failed", SagaStatus::Failed).await;
    let told = field(&read(&lab, parent).await.instance, "told");
    assert!(told.contains(&child.to_string()), "{told}");
}

pub(crate) async fn why_a_child_has_failed_is_told_to_its_parent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, &PARENT.replace("saga: counter", "saga: order")).await;
    let order = ORDER.replace("Failed: {final: failed}", "Failed: {final: failed, reason: why}");
    let why = "unpaid: {set: {why: \"${ event.data.message }\"}, target: Failed}";
    define(&lab, &order.replace("unpaid: {target: Failed}", why)).await;
    let (parent, child) = family(&lab).await;
    look(&lab, child).await;
    work(&lab, child, super::saga_lab::for_good()).await;
    look_at_all(&lab).await;
    let told = field(&read(&lab, parent).await.instance, "told");
    let failure: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let why = field(&read(&lab, child).await.instance, "why");
    let why: String = serde_json::from_str(&why).expect("a text");
    assert!(!why.is_empty());
    assert_eq!(failure["message"], format!("the saga {child} ended in Failed: {why}"));
}

pub(crate) async fn a_child_ends_with_its_parent_that_is_cancelled(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, &PARENT.replace("saga: counter", "saga: order")).await;
    define(&lab, ORDER).await;
    let (parent, child) = family(&lab).await;
    look(&lab, child).await;
    work(&lab, child, Ending::Success).await;
    let advanced = taken(bring(&lab, parent, Input::CancelRequested).await);
    assert_eq!(advanced.saga.instance.status(), SagaStatus::Compensating);
    assert_eq!(advanced.consequences.unlooked, [child]);
    look_at_all(&lab).await;
    assert_stands(&lab, child, "Reserving", SagaStatus::Compensating).await;
    // What the child has done is undone, and only then its parent ends.
    look_at_all(&lab).await;
    work(&lab, child, Ending::Success).await;
    look_at_all(&lab).await;
    assert_eq!(read(&lab, child).await.instance.status(), SagaStatus::Cancelled);
    assert_eq!(read(&lab, parent).await.instance.status(), SagaStatus::Cancelled);
    let kinds: Vec<EventKind> = history(&lab, child).await.iter().map(|entry| entry.kind).collect();
    assert!(kinds.contains(&EventKind::Cancel), "{kinds:?}");
}

pub(crate) async fn a_child_that_is_cancelled_before_its_first_look_is_over_after_it(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    define(&lab, COUNTER).await;
    let (parent, child) = family(&lab).await;
    taken(bring(&lab, parent, Input::CancelRequested).await);
    look_at_all(&lab).await;
    assert_eq!(read(&lab, child).await.instance.status(), SagaStatus::Cancelled);
    assert_eq!(read(&lab, parent).await.instance.status(), SagaStatus::Cancelled);
}

/// What the parent was told of a child that is none.
async fn told_of_none(lab: &Lab) -> String {
    let advanced = started(start_all(lab, &[new_saga(lab, "parent", "p-1")]).await.remove(0));
    look_at_all(lab).await;
    assert_stands(lab, advanced.saga.id, "Failed", SagaStatus::Failed).await;
    field(&read(lab, advanced.saga.id).await.instance, "told")
}

pub(crate) async fn a_child_that_is_cancelled_by_the_look_that_starts_it_never_begins(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let hurried = PARENT.replace(
        "  Waiting:\n",
        "  Waiting:\n    always: [{if: \"context.told == null\", compensate: true, target: Failed}]\n",
    );
    define(&lab, &hurried).await;
    define(&lab, COUNTER).await;
    let (parent, child) = family(&lab).await;
    assert_stands(&lab, parent, "Waiting", SagaStatus::Compensating).await;
    look_at_all(&lab).await;
    assert_eq!(read(&lab, child).await.instance.status(), SagaStatus::Cancelled);
    let kinds: Vec<EventKind> = history(&lab, child).await.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EventKind::Cancel, EventKind::Started, EventKind::Cancel]);
    assert!(history(&lab, child).await[1].refusal.is_some(), "it comes too late");
    assert_stands(&lab, parent, "Failed", SagaStatus::Failed).await;
    lab.assert_sound().await;
}

/// It starts a child that is there already, one of which there is no definition, and one that can be; and leaves at once.
const HURRIED: &str = "
name: parent
context: {told: null}
initial: Initial
states:
  Initial:
    on:
      start:
        tasks:
          - {saga: counter, correlation_id: there, raises: {success: counted, failure: uncounted}}
          - {saga: nobody, correlation_id: nowhere, raises: {success: counted, failure: uncounted}}
          - {saga: counter, correlation_id: new, raises: {success: counted, failure: uncounted}}
        target: Waiting
  Waiting:
    always: [{if: \"context.told == null\", COURSE}]
    on:
      counted: {target: Completed}
      uncounted: {target: Failed}
  Completed: {final: true}
  Failed: {final: failed}
";

async fn children_that_are_left_at_once(lab: &Lab, course: &str, (state, status): (&str, SagaStatus)) {
    define(lab, &HURRIED.replace("COURSE", course)).await;
    define(lab, COUNTER).await;
    let other = start(lab, "counter", "there").await;
    let parent = start(lab, "parent", "p-1").await;
    assert_stands(lab, parent, state, status).await;
    look_at_all(lab).await;
    assert_stands(lab, parent, "Failed", SagaStatus::Failed).await;
    assert_stands(lab, other, "Counting", SagaStatus::Running).await;
    assert_eq!(history(lab, other).await.len(), 1, "that one is left alone");
    let page = lab.store.sagas(&SagaFilter::default(), None, 10).await.expect("works");
    let mut children = page.items.iter().filter(|saga| saga.parent == Some(parent));
    let child = children.next().expect("a child");
    assert_eq!(child.instance.correlation_id, "new");
    assert_eq!(child.instance.status(), SagaStatus::Cancelled);
    assert_eq!(children.count(), 0);
    lab.assert_sound().await;
}

pub(crate) async fn children_that_are_cancelled_by_the_look_that_starts_them_keep_no_parent_from_its_way_back(
    store: Arc<dyn Store>,
) {
    let lab = Lab::new(store);
    children_that_are_left_at_once(
        &lab,
        "compensate: true, target: Failed",
        ("Waiting", SagaStatus::Compensating),
    )
    .await;
}

pub(crate) async fn children_that_are_cancelled_by_the_look_that_starts_them_keep_no_parent_from_its_end(
    store: Arc<dyn Store>,
) {
    let lab = Lab::new(store);
    children_that_are_left_at_once(&lab, "target: Failed", ("Failed", SagaStatus::Running)).await;
}

pub(crate) async fn a_child_that_ends_at_its_start_and_one_that_is_cancelled_twice_are_over(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    let brief = COUNTER.replace("start: {}", "start: {target: Stopped}");
    define(&lab, &brief).await;
    let (parent, child) = family(&lab).await;
    // The start comes first, and is the end.
    let cancelled = bring(&lab, child, Input::CancelRequested).await;
    assert!(refused(cancelled).contains("over"));
    let cancelled = bring(&lab, parent, Input::CancelRequested).await;
    assert!(refused(cancelled).contains("over"), "its end had arrived");
    assert_stands(&lab, child, "Stopped", SagaStatus::Completed).await;
    assert_stands(&lab, parent, "Completed", SagaStatus::Completed).await;

    let advanced = started(start_all(&lab, &[new_saga(&lab, "parent", "p-2")]).await.remove(0));
    let (parent, child) = (advanced.saga.id, advanced.consequences.unlooked[0]);
    taken(bring(&lab, parent, Input::CancelRequested).await);
    // What waits is looked at first: the start that is none, and the cancel of the parent, which both come to nothing.
    let cancelled = bring(&lab, child, Input::CancelRequested).await;
    assert!(refused(cancelled).contains("over"));
    look_at_all(&lab).await;
    assert_eq!(read(&lab, child).await.instance.status(), SagaStatus::Cancelled);
    assert_eq!(read(&lab, parent).await.instance.status(), SagaStatus::Cancelled);
    lab.assert_sound().await;
}

/// Each begins two more of itself.
const HYDRA: &str = "
name: hydra
initial: Initial
states:
  Initial: {on: {start: {tasks: [HEAD, HEAD], target: Growing}}}
  Growing: {on: {grown: {target: Grown}}}
  Grown: {final: true}
";

pub(crate) async fn a_cancel_comes_up_with_children_that_begin_others(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let head = "{saga: hydra, raises: {success: grown, failure: grown}}";
    define(&lab, &HYDRA.replace("HEAD", head)).await;
    let root = start(&lab, "hydra", "h-1").await;
    let all = async || {
        lab.store
            .sagas(&SagaFilter::default(), None, 100)
            .await
            .expect("works")
            .items
    };
    for child in unlooked(&lab).await {
        look(&lab, child).await;
    }
    assert_eq!(all().await.len(), 1 + 2 + 4);
    let youngest = unlooked(&lab).await;
    taken(bring(&lab, root, Input::CancelRequested).await);
    // The cancel has not come to those that stand between.
    for child in &youngest {
        let advanced = look(&lab, *child).await;
        assert_at(&advanced.saga.instance, "Initial", SagaStatus::Cancelled);
    }
    assert_eq!(youngest.len(), 4);
    look_at_all(&lab).await;
    let sagas = all().await;
    assert_eq!(sagas.len(), 1 + 2 + 4, "none has begun more");
    for saga in &sagas {
        assert_eq!(saga.instance.status(), SagaStatus::Cancelled);
    }
    lab.assert_sound().await;
}

pub(crate) async fn a_child_without_definition_is_a_failure_for_its_parent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    let told = told_of_none(&lab).await;
    assert!(told.contains("there is no definition counter"), "{told}");
}

pub(crate) async fn a_child_that_is_there_already_is_a_failure_for_its_parent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    define(&lab, COUNTER).await;
    let other = start(&lab, "counter", "p-1-child").await;
    let told = told_of_none(&lab).await;
    assert!(told.contains("p-1-child"), "{told}");
    assert_eq!(history(&lab, other).await.len(), 1, "that one is left alone");
    assert_eq!(read(&lab, other).await.parent, None);
}

pub(crate) async fn a_child_that_cannot_begin_is_a_failure_for_its_parent(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, PARENT).await;
    define(&lab, &COUNTER.replace("count: 0", "count: \"${ input.none }\"")).await;
    let told = told_of_none(&lab).await;
    assert!(told.contains("cannot start"), "{told}");
    let page = lab.store.sagas(&SagaFilter::default(), None, 10).await.expect("works");
    let child = page
        .items
        .iter()
        .find(|saga| saga.parent.is_some())
        .expect("it is kept");
    assert_eq!(child.instance.status(), SagaStatus::Failed);
    let told = history(&lab, child.id).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].refusal.is_some(), "{told:?}");
}

pub(crate) async fn a_tower_of_children_ends_at_its_bound(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let tower = PARENT
        .replace("name: parent", "name: tower")
        .replace("saga: counter", "saga: tower");
    define(&lab, &tower).await;
    let ground = started(start_all(&lab, &[new_saga(&lab, "tower", "t")]).await.remove(0));
    look_at_all(&lab).await;
    let page = lab.store.sagas(&SagaFilter::default(), None, 100).await.expect("works");
    assert_eq!(page.items.len(), 1 + usize::from(CHILD_DEPTH_MAX));
    for saga in &page.items {
        assert_at(&saga.instance, "Failed", SagaStatus::Failed);
    }
    let told: Vec<String> = page.items.iter().map(|saga| field(&saga.instance, "told")).collect();
    let top = told
        .iter()
        .filter(|told| told.contains("16 sagas are above this one already"));
    let top: Vec<&String> = top.collect();
    assert_eq!(top.len(), 1, "{told:?}");
    assert!(top[0].contains("no tower begins below it"), "{}", top[0]);
    assert!(page.items.iter().any(|saga| saga.id == ground.saga.id));
    lab.assert_sound().await;
}
