//! What a look may cost: what is too much for it is left for the next, and nothing of it is lost.

use std::sync::Arc;

use orchestratum_core::saga::SagaStatus;
use orchestratum_core::task::Ending;
use orchestratum_core::{JsonText, SagaId};
use orchestratum_store::{Advance, AdvanceOutcome, Error, NewSaga, StartOutcome, Store};

use super::lab::{Lab, report};
use super::saga_lab::{
    advance, assert_stands, bringing, define, event, history, json, look, look_at_all, looking, new_saga, raise, read,
    start, start_all, started, unlooked,
};

/// Each weighing takes most of the steps that one input may: three are enough for a look.
const SCALES: &str = "
name: scales
context: {numbers: '${ input.numbers }', weighed: 0}
initial: Initial
states:
  Initial:
    on:
      start: {tasks: [TASKS], target: Weighing}
  Weighing:
    on:
      weigh:
        - {if: WEIGHING, set: {weighed: '${ context.weighed + 1 }'}}
      stop: {target: Stopped}
  Stopped: {final: true}
";

/// The same, which weighs when it starts.
const FIRST: &str = "
name: first
initial: Initial
states:
  Initial: {on: {start: [{if: WEIGHING, target: Weighed}]}}
  Weighed: {on: {stop: {target: Stopped}}}
  Stopped: {final: true}
";

/// What it does costs nothing.
const LIGHT: &str = "
name: light
initial: Initial
states:
  Initial: {on: {start: {tasks: [{name: echo, raises: {success: weigh}}], target: Waiting}}}
  Waiting: {on: {weigh: {target: Weighed}}}
  Weighed: {on: {weigh: {target: Twice}}}
  Twice: {final: true}
";

fn source(text: &str, numbers: &str) -> String {
    let weighing = format!("'{numbers}.all(a, {numbers}.all(b, a + b < 1000))'");
    text.replace("WEIGHING", &weighing)
}

fn input() -> JsonText {
    numbers(240)
}

fn numbers(count: usize) -> JsonText {
    let numbers: Vec<usize> = (0..count).collect();
    json(&serde_json::json!({ "numbers": numbers }).to_string())
}

async fn scales(lab: &Lab, count: usize, tasks: usize) -> Vec<SagaId> {
    scales_of(lab, vec![input(); count], tasks).await
}

async fn scales_of(lab: &Lab, inputs: Vec<JsonText>, tasks: usize) -> Vec<SagaId> {
    let tasks = vec!["{name: echo, raises: {success: weigh}}"; tasks].join(", ");
    define(lab, &source(SCALES, "context.numbers").replace("TASKS", &tasks)).await;
    let new = inputs.into_iter().enumerate().map(|(number, input)| NewSaga {
        input,
        ..new_saga(lab, "scales", &format!("s-{number}"))
    });
    let outcomes = start_all(lab, &new.collect::<Vec<_>>()).await;
    outcomes.into_iter().map(|outcome| started(outcome).saga.id).collect()
}

async fn weighed(lab: &Lab, saga: SagaId) -> String {
    super::saga_lab::field(&read(lab, saga).await.instance, "weighed")
}

async fn end_all_tasks(lab: &Lab, count: usize) {
    let worker = lab.echo_worker().await;
    let mut claimed = Vec::new();
    while claimed.len() < count {
        claimed.extend(lab.claim(worker).await);
    }
    lab.apply_all(claimed.iter().map(|task| report(task, Ending::Success)).collect())
        .await;
}

pub(crate) async fn what_is_brought_and_too_much_for_a_look_is_for_the_next(store: Arc<dyn Store>) {
    const SAGAS: usize = 6;
    let lab = Lab::new(store);
    let sagas = scales(&lab, SAGAS, 0).await;
    // The youngest first: those that come first are looked at first, whatever their ids.
    let mut waiting: Vec<SagaId> = sagas.iter().rev().copied().collect();
    let mut looks = 0;
    while !waiting.is_empty() {
        let advances: Vec<Advance> = waiting
            .iter()
            .map(|saga| bringing(&lab, *saga, event("e-1", "weigh", "null")))
            .collect();
        let outcomes = advance(&lab, &advances).await;
        let done = outcomes
            .iter()
            .take_while(|outcome| matches!(outcome, AdvanceOutcome::Done(_)))
            .count();
        assert!((1..=3).contains(&done), "{outcomes:?}");
        let left = &outcomes[done..];
        assert!(
            left.iter()
                .all(|outcome| matches!(outcome, AdvanceOutcome::Left { .. }))
        );
        let AdvanceOutcome::Done(first) = &outcomes[0] else {
            panic!("{outcomes:?}")
        };
        assert_eq!(first.consequences.cut, left.len());
        for saga in waiting.drain(..done) {
            assert_eq!(weighed(&lab, saga).await, "1");
        }
        for saga in &waiting {
            assert_eq!(
                (weighed(&lab, *saga).await, history(&lab, *saga).await.len()),
                ("0".to_owned(), 1)
            );
        }
        looks += 1;
    }
    assert!(looks >= SAGAS / 3, "{looks}");
    for saga in sagas {
        let again = advance(&lab, &[bringing(&lab, saga, event("e-1", "weigh", "null"))]).await;
        assert!(matches!(again[0], AdvanceOutcome::Repeated(_)), "{again:?}");
    }
}

pub(crate) async fn what_has_arrived_and_is_too_much_for_a_look_waits_in_its_order(store: Arc<dyn Store>) {
    const TASKS: usize = 3;
    let lab = Lab::new(store);
    let sagas = scales(&lab, 2, TASKS).await;
    end_all_tasks(&lab, 2 * TASKS).await;
    // What is brought comes after all that had arrived, however many looks that takes.
    let mut looks = 0;
    loop {
        looks += 1;
        assert!(looks <= 2 * TASKS, "each look does something");
        let outcomes = advance(
            &lab,
            &[
                bringing(&lab, sagas[0], event("e-1", "stop", "null")),
                looking(&lab, sagas[1]),
            ],
        )
        .await;
        match &outcomes[0] {
            AdvanceOutcome::Done(_) => break,
            AdvanceOutcome::Left { advanced } => {
                assert_eq!(advanced.saga.instance.state.as_str(), "Weighing");
                assert!(advanced.consequences.cut > 0);
                let waits = unlooked(&lab).await.contains(&sagas[0]);
                assert_eq!(advanced.consequences.again.contains(&sagas[0]), waits);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(looks >= 2, "{looks}");
    assert_eq!(weighed(&lab, sagas[0]).await, TASKS.to_string());
    assert_stands(&lab, sagas[0], "Stopped", SagaStatus::Completed).await;
    let told = history(&lab, sagas[0]).await;
    assert_eq!(told.len(), 2 + TASKS);
    assert_eq!(
        told[1 + TASKS].name.as_ref().map(ToString::to_string),
        Some("stop".to_owned())
    );
    look_at_all(&lab).await;
    assert_eq!(weighed(&lab, sagas[1]).await, TASKS.to_string());
    assert_eq!(unlooked(&lab).await, []);
}

pub(crate) async fn starts_that_are_too_much_for_a_call_are_for_the_next(store: Arc<dyn Store>) {
    const SAGAS: usize = 5;
    let lab = Lab::new(store);
    define(&lab, &source(FIRST, "input.numbers")).await;
    let mut waiting: Vec<NewSaga> = (0..SAGAS)
        .map(|number| NewSaga {
            input: input(),
            ..new_saga(&lab, "first", &format!("f-{number}"))
        })
        .collect();
    let mut calls = 0;
    while !waiting.is_empty() {
        let outcomes = start_all(&lab, &waiting).await;
        let done = outcomes
            .iter()
            .take_while(|outcome| matches!(outcome, StartOutcome::Started(_)))
            .count();
        assert!((1..=3).contains(&done), "{outcomes:?}");
        assert!(outcomes[done..].iter().all(|outcome| *outcome == StartOutcome::Left));
        for saga in waiting.drain(..done) {
            assert_stands(&lab, saga.id, "Weighed", SagaStatus::Running).await;
        }
        for saga in &waiting {
            assert_eq!(lab.store.saga(saga.id).await.expect("the store works"), None);
        }
        calls += 1;
    }
    assert!(calls >= 2, "{calls}");
}

pub(crate) async fn starts_that_are_bound_and_cost_too_much_are_refused_together(store: Arc<dyn Store>) {
    const SAGAS: usize = 5;
    let lab = Lab::new(store);
    define(&lab, &source(FIRST, "input.numbers")).await;
    let new: Vec<NewSaga> = (0..SAGAS)
        .map(|number| NewSaga {
            input: input(),
            ..new_saga(&lab, "first", &format!("f-{number}"))
        })
        .collect();
    let outcomes = lab.store.start_sagas_together(&new, lab.now).await;
    let outcomes = outcomes.expect("the store works");
    let (begun, refused) = outcomes.split_at(3);
    assert!(
        begun.iter().all(|outcome| *outcome == StartOutcome::Withheld),
        "{outcomes:?}"
    );
    for outcome in refused {
        let StartOutcome::Rejected(rejection) = outcome else {
            panic!("{outcomes:?}")
        };
        let told = rejection.to_string();
        assert!(
            told.contains("the 5 sagas that begin on this event cost too much together"),
            "{told}"
        );
    }
    for saga in &new {
        assert_eq!(lab.store.saga(saga.id).await.expect("the store works"), None);
    }

    let outcomes = lab.store.start_sagas_together(&new[..2], lab.now).await;
    for outcome in outcomes.expect("the store works") {
        let saga = started(outcome).saga.id;
        assert_stands(&lab, saga, "Weighed", SagaStatus::Running).await;
    }
    // Those that are there cost nothing.
    let outcomes = lab.store.start_sagas_together(&new[..4], lab.now).await;
    let outcomes = outcomes.expect("the store works");
    assert!(
        matches!(
            outcomes[..],
            [
                StartOutcome::Exists(_),
                StartOutcome::Exists(_),
                StartOutcome::Started(_),
                StartOutcome::Started(_)
            ]
        ),
        "{outcomes:?}"
    );
}

pub(crate) async fn a_definition_that_costs_much_keeps_no_other_out(store: Arc<dyn Store>) {
    const SAGAS: usize = 5;
    let lab = Lab::new(store);
    let scales = scales(&lab, SAGAS, 1).await;
    define(&lab, LIGHT).await;
    let light = start(&lab, "light", "l-1").await;
    end_all_tasks(&lab, SAGAS + 1).await;
    let all: Vec<SagaId> = scales.into_iter().chain([light]).collect();

    // What has arrived, that of the last saga last.
    let looks: Vec<Advance> = all.iter().map(|saga| looking(&lab, *saga)).collect();
    let outcomes = advance(&lab, &looks).await;
    let AdvanceOutcome::Done(first) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert!(first.consequences.cut > 0 && !first.consequences.again.contains(&light));
    assert_stands(&lab, light, "Weighed", SagaStatus::Running).await;
    look_at_all(&lab).await;

    // And what is brought.
    let brought: Vec<Advance> = all
        .iter()
        .map(|saga| bringing(&lab, *saga, event("e-1", "weigh", "null")))
        .collect();
    let outcomes = advance(&lab, &brought).await;
    assert!(
        matches!(outcomes[SAGAS - 1], AdvanceOutcome::Left { .. }),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[SAGAS], AdvanceOutcome::Done(_)), "{outcomes:?}");
}

/// It keeps what it is started with.
const KEEPER: &str = "
name: keeper
context: {kept: '${ input.kept }'}
initial: Initial
states:
  Initial: {on: {start: {target: Waiting}}}
  Waiting: {on: {stop: {target: Stopped}}}
  Stopped: {final: true}
";

pub(crate) async fn sagas_that_are_too_large_together_are_read_by_fewer(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, KEEPER).await;
    let large = json(&serde_json::json!({ "kept": "x".repeat(800_000) }).to_string());
    let mut new: Vec<NewSaga> = (0..8)
        .map(|number| NewSaga {
            input: large.clone(),
            ..new_saga(&lab, "keeper", &format!("k-{number}"))
        })
        .collect();
    let outcomes = start_all(&lab, &new).await;
    let sagas: Vec<SagaId> = outcomes.into_iter().map(|outcome| started(outcome).saga.id).collect();
    let stops: Vec<Advance> = sagas
        .iter()
        .map(|saga| bringing(&lab, *saga, event("e-1", "stop", "null")))
        .collect();

    let looked = lab.store.advance_sagas(&stops, lab.now).await;
    assert!(matches!(looked, Err(Error::TooMuchAtOnce)), "{looked:?}");
    for saga in &sagas {
        assert_stands(&lab, *saga, "Waiting", SagaStatus::Running).await;
    }
    for stops in stops.chunks(4) {
        let outcomes = advance(&lab, stops).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, AdvanceOutcome::Done(_)))
        );
    }

    // Their starts that are repeated read them too.
    new.push(NewSaga {
        input: json(r#"{"kept": "little"}"#),
        ..new_saga(&lab, "keeper", "small")
    });
    let repeated = lab.store.start_sagas(&new, lab.now).await;
    assert!(matches!(repeated, Err(Error::TooMuchAtOnce)), "{repeated:?}");
    let outcomes = start_all(&lab, &new[5..]).await;
    let (small, large) = outcomes.split_last().expect("four");
    assert!(large.iter().all(|outcome| matches!(outcome, StartOutcome::Exists(_))));
    assert!(matches!(small, StartOutcome::Started(_)));
}

pub(crate) async fn a_saga_that_costs_much_keeps_no_other_of_its_definition_out(store: Arc<dyn Store>) {
    const TASKS: usize = 5;
    let lab = Lab::new(store);
    let sagas = scales_of(&lab, vec![input(), numbers(1)], TASKS).await;
    let (heavy, light) = (sagas[0], sagas[1]);
    end_all_tasks(&lab, 2 * TASKS).await;

    // What has arrived, most of it for the first.
    let outcomes = advance(&lab, &[looking(&lab, heavy), looking(&lab, light)]).await;
    let AdvanceOutcome::Done(first) = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert!(first.consequences.again.contains(&heavy), "{outcomes:?}");
    assert_ne!(weighed(&lab, heavy).await, TASKS.to_string());
    assert_ne!(weighed(&lab, light).await, "0");
    look_at_all(&lab).await;
    for saga in [heavy, light] {
        assert_eq!(weighed(&lab, saga).await, TASKS.to_string());
    }

    // And what is brought.
    let brought = |saga, number: usize| bringing(&lab, saga, event(&format!("e-{number}"), "weigh", "null"));
    let mut advances: Vec<Advance> = (0..TASKS).map(|number| brought(heavy, number)).collect();
    advances.push(brought(light, 0));
    let outcomes = advance(&lab, &advances).await;
    assert!(
        matches!(outcomes[TASKS - 1], AdvanceOutcome::Left { .. }),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[TASKS], AdvanceOutcome::Done(_)), "{outcomes:?}");
}

/// So large are definitions that fill what a call may hold of them with nine.
fn large(name: &str) -> String {
    let fill = "x".repeat(250_000);
    format!(
        "{{name: {name}, context: {{fill: {fill}}}, initial: A, states: {{A: {{on: {{start: {{}}, over: {{target: B}}}}}}, B: {{final: true}}}}}}"
    )
}

/// It starts twelve of them on one event.
const PARENT: &str = "
name: parent
initial: A
states:
  A: {on: {start: {}, go: {tasks: [CHILDREN], target: B}}}
  B: {on: {stop: {target: C}}}
  C: {final: true}
";

pub(crate) async fn a_saga_starts_children_of_more_definitions_than_a_call_can_hold(store: Arc<dyn Store>) {
    const CHILDREN: usize = 12;
    let lab = Lab::new(store);
    for number in 0..CHILDREN {
        define(&lab, &large(&format!("large-{number}"))).await;
    }
    let children: Vec<String> = (0..CHILDREN)
        .map(|number| format!("{{saga: large-{number}}}"))
        .collect();
    define(&lab, &PARENT.replace("CHILDREN", &children.join(", "))).await;
    let parent = start(&lab, "parent", "p-1").await;
    raise(&lab, parent, "go").await;
    assert_stands(&lab, parent, "B", SagaStatus::Running).await;
    let children = unlooked(&lab).await;
    assert_eq!(children.len(), CHILDREN);
    // Together they are too much, and each by itself is not.
    let looks: Vec<Advance> = children.iter().map(|child| looking(&lab, *child)).collect();
    let looked = lab.store.advance_sagas(&looks, lab.now).await;
    assert!(matches!(looked, Err(Error::TooMuchAtOnce)), "{looked:?}");
    for child in children {
        look(&lab, child).await;
        assert_stands(&lab, child, "A", SagaStatus::Running).await;
    }
}

pub(crate) async fn starts_that_are_bound_and_too_large_are_refused_together(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut new = Vec::new();
    for number in 0..12 {
        let name = format!("large-{number}");
        define(&lab, &large(&name)).await;
        new.push(new_saga(&lab, &name, "l-1"));
    }
    let outcomes = lab.store.start_sagas_together(&new, lab.now).await;
    for outcome in outcomes.expect("the store works") {
        let StartOutcome::Rejected(rejection) = outcome else {
            panic!("{outcome:?}")
        };
        let told = rejection.to_string();
        assert!(
            told.contains("the 12 sagas that begin on this event are too large together, or their definitions are"),
            "{told}"
        );
    }
    let outcomes = lab.store.start_sagas_together(&new[..6], lab.now).await;
    for outcome in outcomes.expect("the store works") {
        started(outcome);
    }
}
