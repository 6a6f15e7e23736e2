//! How much one look takes, and in which order.

use std::future::{Ready, ready};

use futures::FutureExt;
use orchestratum_core::saga::{Event, check, step};
use orchestratum_core::{JsonText, Origin};
use uuid::Uuid;

use super::super::Arrived;
use super::super::allowance::INPUTS;
use super::super::fold::Answer;
use super::super::waiting::ARRIVED_MAX;
use super::*;

/// It takes `x` and stays as it is, and waits for one task for each entry of what it begins with.
const MANY: &str = "
name: many
initial: Initial
states:
  Initial:
    on:
      start:
        tasks: [{name: each, for_each: '${ event.data }', join: {raises: all}, compensation: [{name: undo}]}]
        target: Waiting
  Waiting: {on: {x: {}, all: {target: Over}}}
  Over: {final: true}
";

const ID: SagaId = SagaId(Uuid::from_u128(2));

fn event(number: usize) -> Input {
    Input::EventRaised(Event {
        id: number.to_string(),
        name: "x".parse().expect("a name"),
        data: JsonText::null(),
    })
}

/// One that waits for so many tasks, and its definition.
fn waiting_for(tasks: usize) -> (SagaHead, Instance, Compiled) {
    let limits = SpecLimits::default();
    let checked = check(MANY, &limits, Timestamp::EPOCH).unwrap_or_else(|faults| panic!("{faults}"));
    let name = checked.definition.name.clone();
    let definition = CompiledDefinition::new(checked.definition).unwrap_or_else(|faults| panic!("{faults}"));
    let entries = JsonText::of(&vec![0; tasks]).expect("a list");
    let created = Instance::new(definition.definition(), ID, "c".to_owned(), entries.clone());
    let started = Input::Started(Event::start(entries));
    let started = step(&definition, created, started, &limits, Timestamp::EPOCH);
    let head = SagaHead {
        id: ID,
        definition: name.clone(),
        definition_version: 1,
        parent: None,
        depth: 0,
        origin: Origin::default(),
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        finished_at: None,
        last_seq: 0,
        refusals: 0,
    };
    let instance = started.unwrap_or_else(|rejection| panic!("{rejection}")).instance;
    (head, instance, Compiled::from([((name, 1), Arc::new(definition))]))
}

fn bringing(number: usize) -> Advance {
    Advance {
        saga: ID,
        request: Some(Request {
            input: event(number),
            expected: None,
            actor: None,
            reason: None,
        }),
        offer: None,
        seed: 0,
    }
}

fn no_pause() -> Ready<()> {
    ready(())
}

/// A look at a saga to which so many events have come, with what is brought; and how many of them it has read.
fn looked(tasks: usize, waiting: usize, advances: &[Advance]) -> (Looked, usize) {
    let (head, instance, compiled) = waiting_for(tasks);
    let limits = SpecLimits::default();
    let look = Look::new(advances, vec![(head, instance)], &compiled, &limits, Timestamp::EPOCH);
    let mut look = look.expect("a look");
    let mut read = 0;
    while look.reads_on().is_some() {
        let rows = (read..waiting).take(ARRIVED_MAX).map(|number| {
            let id = i64::try_from(number + 1).expect("a row");
            let input = event(number);
            (ID, Arrived { id, input })
        });
        let rows: Vec<(SagaId, Arrived)> = rows.collect();
        read += rows.len();
        let has_more = read < waiting;
        let arrived = look.arrived(ArrivedRows { rows, has_more }, no_pause);
        arrived.now_or_never().expect("a pause that is none");
    }
    let looked = look.end(HashMap::new(), no_pause).now_or_never();
    (looked.expect("a pause that is none"), read)
}

#[test]
fn a_caller_waits_for_another_look_where_very_much_has_arrived() {
    let advances = [bringing(90_000)];
    let (looked, read) = looked(1, INPUTS + 500, &advances);
    assert_eq!(read, INPUTS);
    let saga = &looked.folded[0];
    assert_eq!(saga.events.len(), INPUTS);
    assert!(matches!(
        saga.answers[..],
        [Answer {
            outcome: Answered::Left,
            ..
        }]
    ));
    assert_eq!((looked.unlooked, looked.cut), (vec![ID], 1));
}

#[test]
fn a_caller_is_answered_where_less_has_arrived() {
    let advances = [bringing(90_000), bringing(90_001)];
    let (looked, read) = looked(1, ARRIVED_MAX + 500, &advances);
    assert_eq!(read, ARRIVED_MAX + 500);
    let saga = &looked.folded[0];
    assert_eq!(saga.events.len(), read + 2);
    assert!(
        saga.answers
            .iter()
            .all(|answer| matches!(answer.outcome, Answered::Done))
    );
    assert_eq!((looked.unlooked, looked.again, looked.cut), (vec![], vec![], 0));
}

#[test]
fn a_saga_that_holds_much_is_looked_at_in_smaller_portions() {
    let (looked, read) = looked(1_900, 500, &[]);
    assert_eq!(read, 500);
    let taken = looked.folded[0].events.len();
    assert!((10..100).contains(&taken), "{taken}");
    assert_eq!((looked.again, looked.cut), (vec![ID], 1));
}

#[test]
fn what_waits_goes_by_definitions_and_then_by_sagas_in_turns() {
    // Definition, saga, and the number of the row.
    let rows = vec![
        ("a", 1, 1),
        ("a", 1, 2),
        ("a", 1, 3),
        ("a", 2, 4),
        ("b", 3, 5),
        ("b", 3, 6),
        ("a", 2, 7),
        ("c", 4, 8),
    ];
    let of_sagas = in_turns_by(rows, |(_, saga, _)| *saga);
    let ordered = in_turns_by(of_sagas, |(definition, ..)| *definition);
    let numbers: Vec<i32> = ordered.into_iter().map(|(.., number)| number).collect();
    assert_eq!(numbers, [1, 5, 8, 4, 6, 2, 7, 3]);
}
