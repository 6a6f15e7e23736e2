//! The same saga in both ways of writing it.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::*;
use crate::JsonText;
use crate::saga::{Definition, OnCompensationFailure, SagaStatus, SimulationError, Simulator, Unhandled, read};

/// What the derive macros of the SDK write.
macro_rules! fields {
    ($type:ident => $terms:ident { $($field:ident: $of:ty),* }) => {
        struct $type;
        struct $terms { $($field: Term<$of>),* }
        impl Fields for $type {
            type Terms = $terms;
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
            fn terms(_place: &Place) -> $terms {
                $terms { $($field: _place.field(stringify!($field))),* }
            }
        }
        impl Terms for $terms {
            type Of = $type;
            fn whole(self) -> Term<$type> {
                Term::object([$((stringify!($field), self.$field.whatever())),*])
            }
        }
    };
}

macro_rules! event {
    ($type:ident = $name:literal, $terms:ident { $($field:ident: $of:ty),* }) => {
        fields!($type => $terms { $($field: $of),* });
        impl Event for $type {
            const NAME: &'static str = $name;
        }
    };
    ($type:ident = $name:literal, $terms:ty) => {
        struct $type;
        impl Fields for $type {
            type Terms = $terms;
            const NAMES: &'static [&'static str] = <$terms>::NAMES;
            fn terms(place: &Place) -> $terms {
                <$terms>::at(place)
            }
        }
        impl Event for $type {
            const NAME: &'static str = $name;
        }
    };
}

macro_rules! states {
    ($type:ident { $($state:ident),* }) => {
        enum $type { $($state),* }
        impl States for $type {
            const ALL: &'static [Self] = &[$(Self::$state),*];
            fn name(&self) -> &'static str {
                match self { $(Self::$state => stringify!($state)),* }
            }
        }
    };
}

states!(State {
    Initial,
    Preparing,
    Checking,
    Child,
    Asking,
    Completed,
    Failed,
    TimedOut
});
fields!(Whole => WholeTerms { items: Vec<Entry>, note: String });
fields!(Entry => EntryTerms {});
fields!(Prepare => PrepareTerms { item: Entry, number: u64 });
fields!(Of => OfTerms { of: String });
event!(Start = "start", StartTerms { items: Vec<Entry> });
event!(AllPrepared = "all_prepared", JoinedTerms<()>);
event!(PreparingFailed = "preparing_failed", FailureTerms);
event!(Announced = "announced", FailureTerms);
event!(Concluded = "concluded", FailureTerms);
event!(Reminded = "reminded", FailureTerms);
event!(ChildCompleted = "child_completed", ChildCompletedTerms {});
event!(ChildFailed = "child_failed", FailureTerms);

impl TaskKind for Prepare {
    type Answer = ();

    const TASK: &'static str = "prepare";
}

#[derive(Serialize)]
struct Approved {
    ok: bool,
}

struct ApprovedTerms {
    ok: Term<bool>,
}

impl Fields for Approved {
    type Terms = ApprovedTerms;

    const NAMES: &'static [&'static str] = &["ok"];

    fn terms(place: &Place) -> ApprovedTerms {
        ApprovedTerms { ok: place.field("ok") }
    }
}

impl Event for Approved {
    const NAME: &'static str = "approved";
}

fn named(name: &str) -> Task<Anything> {
    Task::named(name, constant(()))
}

fn whole() -> SagaBuilder<Whole, State> {
    let mut saga = SagaBuilder::<Whole, State>::new("whole");
    saga.context::<Start, _>(|saga, input| {
        [
            saga.items.to(input.items),
            saga.note.to(Term::from("for ") + correlation_id()),
        ]
    });
    saga.timeout(Duration::from_secs(86_400))
        .compensate()
        .transition_to(State::TimedOut)
        .finalize_failed();
    saga.unhandled(Unhandled::Defer)
        .on_compensation_failure(OnCompensationFailure::Continue);

    saga.initially()
        .when::<Start>()
        .then(|saga, _| {
            for_each(saga.items, |item, number| {
                task(PrepareTerms {
                    item: item.clone(),
                    number,
                })
                .raises_failure::<PreparingFailed>()
                .compensate_with(Task::named("discard", item))
            })
            .join_however::<AllPrepared>()
        })
        .transition_to(State::Preparing);

    saga.during(State::Preparing)
        .on_entry(|_| {
            named("announce")
                .raises::<Announced, Announced>()
                .raises_cancelled::<Announced>()
                .raises_expired::<Announced>()
        })
        .on_exit(|_| named("conclude").raises_failure::<Concluded>())
        .when::<Announced>()
        .set(|saga, _| saga.note.to(cel("event.name")))
        .stay()
        .when::<Concluded>()
        .stay()
        .when::<AllPrepared>()
        .only_if(|saga, _| saga.items.count().is_above(3))
        .transition_to(State::Asking)
        .when::<AllPrepared>()
        .transition_to(State::Checking)
        .when::<PreparingFailed>()
        .compensate()
        .transition_to(State::Failed)
        .after(Duration::from_millis(900_500))
        .only_if(|_, ()| cel("context.note != ''"))
        .compensate()
        .transition_to(State::Failed)
        .after(Duration::from_secs(1_800))
        .transition_to(State::Checking);
    its_second_half(&mut saga);
    saga
}

fn its_second_half(saga: &mut SagaBuilder<Whole, State>) {
    saga.during(State::Checking)
        .always()
        .only_if(|_, ()| cel("context.note == 'announced'"))
        .transition_to(State::Asking)
        .always()
        .transition_to(State::Child);

    saga.during(State::Child)
        .on_entry(|_| {
            child("other")
                .correlation_id(saga_id() + "-child")
                .input(OfTerms { of: saga_id() })
                .compensate_with(named("undo_child"))
                .raises::<ChildCompleted, ChildFailed>()
        })
        .when::<ChildCompleted>()
        .transition_to(State::Asking)
        .when::<ChildFailed>()
        .compensate_with(|_, _| named("tell"))
        .compensate()
        .transition_to(State::Failed)
        .finalize_failed_for(|saga| saga.note);

    saga.during(State::Asking)
        .await_input::<Approved>("Go on?")
        .schema(json!({"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}))
        .remind_after::<Reminded>(Duration::from_secs(600))
        .remind_after::<Reminded>(Duration::from_millis(1_800_500))
        .default_after(Duration::from_secs(3_600), &Approved { ok: false })
        .when::<Reminded>()
        .then(|_, _| {
            Task::named("remind", cel::<String>("event.data.prompt"))
                .raises_failure::<Reminded>()
                .compensate_with(named("sorry"))
        })
        .stay()
        .when::<Approved>()
        .only_if(|_, event| event.ok)
        .transition_to(State::Completed)
        .finalize()
        .when::<Approved>()
        .compensate()
        .transition_to(State::Failed);
}

fn built<C: Fields, S: States>(saga: SagaBuilder<C, S>) -> Definition {
    saga.build().unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn everything_the_language_has_can_be_said_in_rust_and_is_the_same_definition() {
    let yaml = read(include_str!("../tests/whole.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
    let rust = built(whole());
    assert_eq!(rust.canonical(), yaml.canonical());
    assert_eq!(rust.fingerprint(), yaml.fingerprint());
}

#[test]
fn terms_are_written_as_expressions_and_constants_never_are() {
    let place = Place::of("event.data");
    let (number, text) = (place.field::<i64>("n"), place.field::<String>("a-b"));
    let (truth, other) = (place.field::<bool>("ok"), place.field::<bool>("in"));
    assert_eq!(number.clone().is_below(5_i64).guard(), "event.data.n < 5");
    assert_eq!(
        (!truth.clone() & (other | number.equals(5_i64))).guard(),
        r#"!event.data.ok && (event.data["in"] || (event.data.n == 5))"#
    );
    assert_eq!(
        text.clone().equals("a \"b\"").guard(),
        r#"event.data["a-b"] == "a \"b\"""#
    );
    assert_eq!(
        (text.clone() + " costs ${" + "5}").json(),
        json!(r#"${ event.data["a-b"] } costs $${5}"#)
    );
    assert_eq!(
        (Term::from("$") + text.clone()).json(),
        json!(r#"${ "$" }${ event.data["a-b"] }"#)
    );
    assert_eq!(
        (text.clone() + "!").equals("no").guard(),
        r#"(event.data["a-b"] + "!") == "no""#
    );
    assert_eq!(
        place.field::<Entry>("x").shown().json(),
        json!("${ string(event.data.x) }")
    );
    let constant: Term<Vec<&str>> = constant(vec!["${ 1 }"]);
    assert_eq!(constant.json(), json!(["$${ 1 }"]));
    assert_eq!(format!("{text:?}"), r#"Term(event.data["a-b"])"#);
}

fn faults<C: Fields, S: States>(saga: SagaBuilder<C, S>) -> Vec<String> {
    let faults = saga.build().expect_err("it has faults");
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn all_that_is_wrong_is_told_at_once_by_the_rules_of_every_definition() {
    let mut saga = SagaBuilder::<Whole, State>::new("a b");
    let _ = saga.timeout(Duration::ZERO);
    saga.initially().when::<Start>().set(|_, _| constant(5).to(6)).stay();
    let _ = saga.during(State::Preparing).when::<Announced>();
    saga.during(State::Asking).await_input::<Approved>("Go on?");
    saga.during(State::Asking)
        .await_input::<Approved>("Go on?")
        .when::<Approved>()
        .only_if(|_, _| cel("context.nte == ''"))
        .set(|saga, _| saga.note.to(cel("context.itms[0]")))
        .transition_to(State::Completed)
        .finalize()
        .when::<Approved>()
        .transition_to(State::Completed)
        .finalize_failed();
    let told = faults(saga);
    assert_eq!(
        told,
        [
            "/states/Initial/on/start/0/set must be fields of the context, which is all that is set",
            "/states/Asking/await_input must be said once",
            "/states/Completed/final must not be both: finalize and finalize_failed",
            "/states/Asking/on/approved/0/if at character 1: context has no field nte; it has items, note; did you mean note?",
            "/states/Asking/on/approved/0/set/note at character 4: context has no field itms; it has items, note; did you mean items?",
            "/states/Preparing/on/announced/0 does not say where it goes: end it with transition_to, stay or compensate",
            "/name must match [A-Za-z0-9._-]{1,100} and not be . or .., not \"a b\"",
            "/states/Checking cannot be left: no event, no delay and no always leads to another state. If it is an end, say \
             final: true or final: failed",
            "/states/Child cannot be left: no event, no delay and no always leads to another state. If it is an end, say \
             final: true or final: failed",
            "/states/Failed cannot be left: no event, no delay and no always leads to another state. If it is an end, say \
             final: true or final: failed",
            "/states/TimedOut cannot be left: no event, no delay and no always leads to another state. If it is an end, say \
             final: true or final: failed",
            "/timeout/target must be given",
            "/timeout/after_seconds must lie between 0.001 and 315619200 seconds, not 0",
        ],
        "{told:#?}"
    );
}

#[test]
fn rules_about_the_whole_hold_as_well() {
    let mut saga = whole();
    saga.during(State::Asking)
        .when::<Announced>()
        .then(|_, _| named("work").raises_failure::<ChildCompleted2>())
        .stay();
    assert_eq!(
        faults(saga),
        [
            "/states/Asking/on/announced/0/tasks/0 raises child_completed2, which no state takes; did you mean child_completed?"
        ]
    );
    let mut saga = SagaBuilder::<Whole, State>::new("holes");
    saga.initially()
        .when::<Start>()
        .transition_to(State::Completed)
        .finalize();
    let told = faults(saga);
    assert!(
        told.contains(&"/states/Failed can never be reached".to_owned()),
        "{told:#?}"
    );
}

event!(ChildCompleted2 = "child_completed2", FailureTerms);

#[test]
fn match_37_finalize_follows_what_enters_a_state_and_makes_it_an_end() {
    let ends = |definition: &Definition, state: &str| {
        let canonical = serde_json::to_value(definition).unwrap_or_default();
        canonical["states"][state]["final"].clone()
    };
    let definition = built(whole());
    assert_eq!(ends(&definition, "Completed"), json!(true));
    assert_eq!(ends(&definition, "Failed"), json!("failed"));
    assert_eq!(ends(&definition, "Asking"), json!(null));
    // A state that is entered and never finalized is no end: one that nothing leaves is refused, where the library let it stand.
    let mut saga = SagaBuilder::<Whole, Two>::new("open");
    saga.initially().when::<Start>().transition_to(Two::Last);
    assert!(!faults(saga).is_empty());
}

states!(Two { First, Last });

states!(Rental {
    Parked,
    Driven,
    Late,
    Returned
});
fields!(Car => CarTerms { plate: String });
event!(Start2 = "start", Start2Terms { plate: String });
event!(KeysWereTakenEvent = "keys.taken", KeysTerms {});
event!(Returned = "returned", ReturnedTerms {});

/// A car that is taken back where it stays away.
fn rental() -> Definition {
    let mut saga = SagaBuilder::<Car, Rental>::new("rental");
    saga.context::<Start2, _>(|car, input| [car.plate.to(input.plate)]);
    saga.timeout(Duration::from_secs(86_400))
        .compensate()
        .transition_to(Rental::Late)
        .finalize_failed();
    saga.initially().when::<Start2>().stay();
    saga.initially()
        .when::<KeysWereTakenEvent>()
        .compensate_with(|car, _| Task::named("tow", car.plate))
        .transition_to(Rental::Driven);
    saga.during(Rental::Driven)
        .when::<Returned>()
        .transition_to(Rental::Returned)
        .finalize();
    built(saga)
}

#[test]
fn fix_29_an_event_has_the_name_that_it_is_given_whatever_its_type_is_called() -> Result<(), SimulationError> {
    let rentals = simulator(rental());
    let mut rental = rentals.start(&json!({"plate": "B-1"}))?;
    assert!(rental.raise_named("KeysWereTakenEvent", &json!({})).is_err());
    rental.raise_named(KeysWereTakenEvent::NAME, &json!({}))?;
    assert_eq!(rental.state(), "Driven");
    Ok(())
}

#[test]
fn fix_40_what_the_builder_says_of_time_and_of_undoing_is_done() -> Result<(), SimulationError> {
    let rentals = simulator(rental());
    let mut rental = rentals.start(&json!({"plate": "B-1"}))?;
    rental.raise_named("keys.taken", &json!({}))?;
    rental.advance(Duration::from_secs(86_400))?;
    let towing = rental.running().next().expect("it is towed");
    assert_eq!(towing.input.as_ref().map(JsonText::as_str), Some("\"B-1\""));
    rental.succeed("tow", &())?;
    assert_eq!((rental.state(), rental.status()), ("Late", SagaStatus::TimedOut));
    Ok(())
}

fn simulator(definition: Definition) -> Simulator {
    Simulator::new(definition).unwrap_or_else(|faults| panic!("{faults}"))
}
