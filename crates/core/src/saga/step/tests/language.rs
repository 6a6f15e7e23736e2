//! What the language has beside what the order uses.

use serde_json::json;

use super::*;

#[test]
fn a_transition_whose_expression_fails_leaves_nothing_but_the_event_and_the_reason() {
    let (mut order, _) = Saga::started(ORDER, ORDER_INPUT);
    let before = order.instance.clone();
    // It is `set` that fails, and `compensation` and the tasks come after it.
    assert_eq!(order.raised("payment_processed", "{}"), Vec::<String>::new());
    order.is_at("AwaitingPayment", SagaStatus::NeedsAttention);
    let [parked] = order.instance.parked.as_slice() else {
        panic!("{:?}", order.instance)
    };
    assert_eq!(
        parked.reason,
        "payment_transaction_id has no value: there is no field \"transaction_id\""
    );
    let mut after = order.instance.clone();
    after.parked.clear();
    after.last_number = before.last_number;
    after.version = before.version;
    assert_eq!(after, before);
    // Later events pass.
    order.task_ended(1, succeeded(r#"{"transaction_id":"T-1"}"#));
    order.is_at("AwaitingInventory", SagaStatus::NeedsAttention);
}

#[test]
fn a_failure_in_the_tasks_takes_back_what_was_set_and_registered() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      x:
        set: {a: 1}
        compensation: [{name: undo}]
        tasks: [{name: one, raises: {failure: x}}, {name: two, input: '${ context.b }', raises: {failure: x}}]
        target: B
  B: {on: {x: {target: C}}}
  C: {final: true}
",
    );
    assert_eq!(saga.raised("x", "{}"), Vec::<String>::new());
    saga.is_at("A", SagaStatus::NeedsAttention);
    assert_eq!(saga.context("a"), "absent");
    assert!(saga.instance.stack.is_empty() && saga.instance.live.is_empty());
    assert_eq!(
        saga.instance.parked[0].reason,
        "the task two cannot be made: /input there is no field \"b\""
    );
}

#[test]
fn an_event_that_the_state_does_not_take_is_refused_with_those_it_takes() {
    let (mut order, _) = Saga::started(ORDER, ORDER_INPUT);
    assert_eq!(
        order.refuses(Input::EventRaised(event("order_shipped", "{}"))),
        "the state AwaitingPayment does not take order_shipped; it takes payment_failed, payment_processed"
    );
    let mut order = Saga::created(ORDER, ORDER_INPUT);
    let told = order.refuses(Input::Started(event("order_shipped", "{}")));
    assert_eq!(
        told,
        "the state Initial does not take order_shipped; it takes order_created, start"
    );
}

#[test]
fn a_task_in_flight_is_undone_first_if_it_may_have_done_something() {
    let states = "states:
  A:
    on:
      start:
        compensation: [{name: older}]
        tasks: [{name: work, compensation: [{name: undo_work}], raises: {failure: f}}]
        target: B
  B: {on: {f: {target: C}, stop: {compensate: true, target: C}}}
  C: {final: failed}
";
    for (outcome, is_undone) in [
        (succeeded("1"), true),
        (ended(ErrorKind::Cancelled, true), true),
        (ended(ErrorKind::Lost, true), true),
        (ended(ErrorKind::TimedOut, true), true),
        (ended(ErrorKind::Expired, true), true),
        (ended(ErrorKind::Cancelled, false), false),
        (ended(ErrorKind::Expired, false), false),
        (failed(), false),
        // One of its attempts was lost before the last one failed.
        (ended(ErrorKind::Failed, true), true),
        (ended(ErrorKind::NotFound, true), true),
        // Nobody could take its output.
        (ended(ErrorKind::OutputNotStorable, false), true),
    ] {
        let (mut saga, _) = Saga::of_states(states);
        assert_eq!(saga.raised("stop", "{}"), ["cancel 2"]);
        let shown = format!("{outcome:?}");
        let decided = saga.task_ended(2, outcome);
        if is_undone {
            assert_eq!(decided, ["undo 3 undo_work "], "{shown}");
            assert_eq!(saga.undone(3, succeeded("null")), ["undo 1 older "]);
        } else {
            assert_eq!(decided, ["undo 1 older "], "{shown}");
        }
        let late = saga.refuses(Input::TaskEnded {
            number: 2,
            outcome: succeeded("1"),
        });
        assert_eq!(late, "no task 2 of the saga is live");
        assert_eq!(saga.undone(1, succeeded("null")), ["finished Failed"]);
    }
}

#[test]
fn a_saga_decides_by_the_code_of_a_failure() {
    const DEFINITION: &str = "
name: test
initial: A
states:
  A: {on: {start: {tasks: [{name: look, raises: {failure: broken}}], target: B}}}
  B:
    on:
      broken:
        - {if: \"event.data.code == 'not_there'\", target: Missing}
        - {target: Broken}
  Missing: {final: true}
  Broken: {final: failed}
";
    let coded = |code: Option<&'static str>| {
        let code = code.map(|code| ErrorCode::new(code).expect("a code"));
        Outcome::Unsuccessful {
            error: TaskError::new(ErrorKind::Failed, "it broke").with_code(code),
            may_have_run: false,
        }
    };
    for (code, state, status) in [
        (Some("not_there"), "Missing", SagaStatus::Completed),
        (Some("other"), "Broken", SagaStatus::Failed),
        (None, "Broken", SagaStatus::Failed),
    ] {
        let mut saga = Saga::created(DEFINITION, "{}");
        saga.takes(Input::Started(event("start", "{}")));
        saga.task_ended(1, coded(code));
        saga.is_at(state, status);
    }
}

#[test]
fn many_tasks_are_joined_once_with_the_outputs_of_all() {
    let states = |policy: &str| {
        format!(
            "states:
  A:
    on:
      start:
        tasks:
          - name: each
            input: ['${{ index }}', '${{ item }}']
            for_each: '${{ event.data }}'
            join: {{raises: done, on_partial_failure: {policy}}}
            raises: {{failure: broken}}
        target: B
  B: {{on: {{done: {{set: {{data: '${{ event.data }}'}}, target: C}}, broken: {{set: {{message: '${{ event.data.message }}'}}, target: D}}}}}}
  C: {{final: true}}
  D: {{final: failed}}
"
        )
    };
    let start = |policy: &str, items: &str| {
        let mut saga = Saga::created(&format!("name: test\ninitial: A\n{}", states(policy)), "{}");
        let decided = saga.takes(Input::Started(event("start", items)));
        (saga, decided)
    };
    let (mut saga, decided) = start("continue", r#"["x","y"]"#);
    assert_eq!(decided, [r#"task 2 each [0,"x"]"#, r#"task 3 each [1,"y"]"#]);
    assert_eq!(saga.task_ended(3, succeeded("3")), Vec::<String>::new());
    assert_eq!(saga.task_ended(2, failed()), ["finished Completed"]);
    assert_eq!(
        saga.context("data"),
        r#"{"errors":[{"code":null,"index":0,"kind":"Failed","message":"it broke"}],"message":"it broke","outputs":[null,3]}"#
    );
    let (mut saga, _) = start("fail", r#"["x","y"]"#);
    assert_eq!(saga.task_ended(3, failed()), ["cancel 2"]);
    saga.is_at("B", SagaStatus::Running);
    assert_eq!(
        saga.task_ended(2, ended(ErrorKind::Cancelled, true)),
        ["finished Failed"]
    );
    saga.is_at("D", SagaStatus::Failed);
    assert_eq!(saga.context("message"), "\"it broke\"", "that of the one that began it");
    let (saga, decided) = start("fail", "[]");
    assert_eq!(decided, ["finished Completed"], "nothing to wait for");
    saga.is_at("C", SagaStatus::Completed);
    let mut saga = Saga::created(&format!("name: test\ninitial: A\n{}", states("fail")), "{}");
    assert_eq!(
        saga.refuses(Input::Started(event("start", "5"))),
        "the saga cannot start: for_each must have a list as its value"
    );
}

#[test]
fn timers_belong_to_the_entry_of_their_state() {
    let (mut saga, decided) = Saga::of_states(
        "states:
  A: {on: {start: {target: B}}}
  B: {on: {again: {target: B}}, after: [{seconds: 5, if: 'event.name == \"never\"', target: C}, {seconds: 9, target: C}]}
  C: {final: failed}
",
    );
    let timer = |entry, index| Input::TimerFired(Timer::After { entry, index });
    assert_eq!(
        decided,
        [
            "timer After { entry: 2, index: 0 } 5",
            "timer After { entry: 2, index: 1 } 9"
        ]
    );
    assert_eq!(saga.raised("again", "{}")[0], "stop 2");
    assert_eq!(saga.refuses(timer(2, 1)), "the timer belongs to a state that was left");
    assert_eq!(saga.takes(timer(3, 0)), Vec::<String>::new(), "its guard does not hold");
    assert_eq!(saga.takes(timer(3, 1)), ["stop 3", "finished Failed"]);
}

#[test]
fn an_answer_that_nobody_gives_is_given_by_default() {
    let (mut saga, decided) = Saga::of_states(
        "states:
  A: {on: {start: {target: B}}}
  B:
    await_input: {event: approved, prompt: Go on?, default_after: {seconds: 60, data: {ok: false}}}
    on: {approved: [{if: event.data.ok, target: C}, {target: D}]}
  C: {final: true}
  D: {final: failed}
",
    );
    assert_eq!(decided, ["timer DefaultAnswer { entry: 2 } 60"]);
    saga.is_at("B", SagaStatus::AwaitingInput);
    let decided = saga.takes(Input::TimerFired(Timer::DefaultAnswer { entry: 2 }));
    assert_eq!(decided, ["stop 2", "finished Failed"]);
    saga.is_at("D", SagaStatus::Failed);
}

#[test]
fn always_is_taken_on_entry_and_not_for_ever() {
    let counting = |most: u32| {
        let (mut saga, _) = Saga::of_states(&format!(
            "context: {{n: 0}}
states:
  A: {{on: {{start: {{}}, go: {{target: B}}}}}}
  B: {{always: [{{if: 'context.n < {most}', set: {{n: '${{ context.n + 1 }}'}}, target: B}}, {{target: C}}]}}
  C: {{final: true}}
"
        ));
        saga.raised("go", "{}");
        saga
    };
    let saga = counting(99);
    saga.is_at("C", SagaStatus::Completed);
    assert_eq!(saga.context("n"), "99");
    let saga = counting(100);
    saga.is_at("A", SagaStatus::NeedsAttention);
    assert_eq!(saga.context("n"), "0");
    let reason = &saga.instance.parked[0].reason;
    assert_eq!(reason, "more than 100 transitions follow from one event");
}

#[test]
fn deferred_events_wait_for_a_state_that_takes_them() {
    let (mut saga, _) = Saga::of_states(
        "unhandled: defer
states:
  A: {on: {start: {}, go: {target: B}}}
  B: {on: {late: {set: {data: '${ event.data }'}, target: C}}}
  C: {final: true}
",
    );
    assert_eq!(saga.raised("late", "5"), Vec::<String>::new());
    saga.is_at("A", SagaStatus::Running);
    let told = saga.refuses(Input::EventRaised(event("lat", "5")));
    assert_eq!(
        told,
        "no state of the definition takes lat; its states take go, late, start"
    );
    assert_eq!(saga.instance.deferred.len(), 1);
    assert_eq!(saga.raised("go", "{}"), ["finished Completed"]);
    assert_eq!(saga.context("data"), "5");
}

#[test]
fn a_child_saga_is_started_and_its_end_is_taken_like_that_of_a_task() {
    let (mut saga, decided) = Saga::of_states(
        "states:
  A:
    on: {start: {target: B}}
  B:
    on_entry: [{saga: other, input: {of: '${ saga.correlation_id }'}, raises: {success: done, failure: broken}}]
    on: {done: {target: C}, broken: {target: C}}
  C: {final: true}
",
    );
    let id = "00000000-0000-0000-0000-000000000007";
    assert_eq!(decided, [format!(r#"saga 1 other {id}/1 {{"of":"c-1"}}"#)]);
    assert_eq!(saga.task_ended(1, succeeded("null")), ["finished Completed"]);
}

#[test]
fn a_child_saga_has_a_correlation_id_by_which_callers_may_know_it() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A:
    on:
      start: {}
      go: {tasks: [{saga: other, correlation_id: '${ event.data }', raises: {success: done, failure: done}}]}
      done: {target: B}
  B: {final: true}
",
    );
    let told =
        "the correlation_id of a child saga must have 1 to 200 characters, none of them U+0000, and not be . or ..";
    for (parked, wrong) in [json!(""), json!(".."), json!("x".repeat(201))].iter().enumerate() {
        assert_eq!(saga.raised("go", &wrong.to_string()), Vec::<String>::new());
        assert_eq!(saga.instance.parked[parked].reason, told);
    }
    let longest = json!("é".repeat(200)).to_string();
    assert_eq!(saga.raised("go", &longest).len(), 1);
}

#[test]
fn a_saga_that_ends_waits_for_what_it_cancels() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {tasks: [{name: a}], target: B}}}
  B: {on: {x: {target: C}}}
  C: {final: true}
",
    );
    assert_eq!(saga.raised("x", "{}"), ["cancel 1"]);
    saga.is_at("C", SagaStatus::Running);
    assert_eq!(saga.refuses(Input::EventRaised(event("x", "{}"))), "the saga is over");
    assert_eq!(saga.task_ended(1, failed()), ["finished Completed"]);
}

#[test]
fn a_task_whose_failure_raises_nothing_asks_for_attention() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {tasks: [{name: a, raises: {success: x}}], target: B}}}
  B: {on: {x: {target: C}}}
  C: {final: true}
",
    );
    assert_eq!(saga.task_ended(1, failed()), Vec::<String>::new());
    saga.is_at("B", SagaStatus::NeedsAttention);
    assert!(matches!(saga.instance.parked[0].cause, Cause::Task { number: 1, .. }));
}

#[test]
fn a_prompt_has_the_values_of_the_moment_in_which_it_is_read() {
    let (mut saga, _) = Saga::started(
        "name: test
initial: A
context: {who: '${ input.who }', sum: 7}
states:
  A:
    await_input: {event: paid, prompt: '${ context.who }, pay ${ context.sum } for ${ saga.correlation_id }?'}
    on:
      start: {}
      raised: {set: {sum: '${ event.data.sum }'}}
      paid: {target: B}
  B: {final: true}
",
        r#"{"who":"Ann"}"#,
    );
    let asked = |saga: &Saga| Some(saga.definition.question(&saga.instance)?.prompt);
    assert_eq!(asked(&saga).as_deref(), Some("Ann, pay 7 for c-1?"));
    saga.raised("raised", r#"{"sum":8.5}"#);
    assert_eq!(asked(&saga).as_deref(), Some("Ann, pay 8.5 for c-1?"));
    saga.raised("paid", "{}");
    assert_eq!(asked(&saga), None);
}

#[test]
fn a_long_prompt_is_asked_without_its_middle() {
    let (saga, _) = Saga::started(
        "name: test
initial: A
states:
  A: {on: {start: {target: B}}}
  B: {await_input: {event: x, prompt: 'It failed: ${ input.error }. Mend it'}, on: {x: {target: C}}}
  C: {final: true}
",
        &format!(r#"{{"error":"{}"}}"#, "a long traceback ".repeat(1_200)),
    );
    let prompt = saga.definition.question(&saga.instance).expect("a question").prompt;
    assert!(prompt.len() < 17_000, "{} bytes", prompt.len());
    assert!(prompt.starts_with("It failed: a long traceback a"), "{prompt}");
    assert!(prompt.contains(" bytes cut ...]"), "{prompt}");
    assert!(prompt.ends_with("traceback . Mend it"), "{prompt}");
}

#[test]
fn a_prompt_without_a_value_is_asked_as_it_is_written_and_one_that_is_no_text_as_json() {
    let asked = |prompt: &str| {
        let states = format!(
            "states:
  A: {{on: {{start: {{target: B}}}}}}
  B: {{await_input: {{event: x, prompt: '{prompt}'}}, on: {{x: {{target: C}}}}}}
  C: {{final: true}}
"
        );
        let (saga, _) = Saga::of_states(&states);
        saga.definition.question(&saga.instance).expect("a question").prompt
    };
    assert_eq!(asked("${ input.absent } or not?"), "${ input.absent } or not?");
    assert_eq!(asked("${ [1, 2] }"), "[1,2]");
    let numbers: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    let list = format!("[{}]", numbers.join(", "));
    let costly = format!("${{ {list}.all(a, {list}.all(b, a + b > 0)) }}");
    assert_eq!(asked(&costly), costly, "whoever reads the saga pays for it");
}

#[test]
fn reminders_are_raised_while_an_answer_is_awaited() {
    let (mut saga, decided) = Saga::of_states(
        "states:
  A: {on: {start: {target: B}}}
  B:
    await_input:
      event: approved
      prompt: Go on?
      reminders: [{seconds: 5, event: reminded}, {seconds: 9, event: reminded}]
    on:
      approved: {target: C}
      reminded: {if: 'event.id.endsWith(\"0\")', tasks: [{name: mail, input: '${ event.data.prompt }'}]}
  C: {on: {reminded: {target: D}}}
  D: {final: true}
",
    );
    let reminder = |index| Timer::Reminder { entry: 2, index };
    assert_eq!(
        decided,
        [
            format!("timer {:?} 5", reminder(0)),
            format!("timer {:?} 9", reminder(1))
        ]
    );
    let decided = saga.takes(Input::TimerFired(reminder(0)));
    assert_eq!(decided, ["task 1 mail \"Go on?\""]);
    saga.is_at("B", SagaStatus::AwaitingInput);
    let decided = saga.takes(Input::TimerFired(reminder(1)));
    assert_eq!(decided, Vec::<String>::new(), "no guard holds, so nobody is reminded");
    saga.is_at("B", SagaStatus::AwaitingInput);
    assert_eq!(saga.raised("approved", "{}"), ["stop 2"]);
    assert_eq!(
        saga.refuses(Input::TimerFired(reminder(1))),
        "the timer belongs to a state that was left"
    );
}

#[test]
fn the_time_of_a_saga_is_over_once() {
    let (mut saga, _) = Saga::of_states(
        "timeout: {after_seconds: 5, target: B}
states:
  A: {on: {start: {}}, on_exit: [{name: tell, input: '${ context.who }'}]}
  B: {on: {x: {target: C}}}
  C: {final: failed}
",
    );
    let over = || Input::TimerFired(Timer::Saga);
    saga.takes(over());
    saga.is_at("A", SagaStatus::NeedsAttention);
    assert!(!saga.instance.is_timed_out, "it is parked");
    saga.takes(Input::Retried {
        context: Fields::from([("who".parse().expect("a name"), json("1"))]),
    });
    saga.is_at("B", SagaStatus::Running);
    assert_eq!(saga.refuses(over()), "the timer belongs to a state that was left");
    assert_eq!(saga.raised("x", "{}"), ["cancel 2"]);
    assert_eq!(saga.task_ended(2, succeeded("1")), ["finished TimedOut"]);
    saga.is_at("C", SagaStatus::TimedOut);
}

#[test]
fn what_a_deferred_event_raises_is_taken_in_the_same_step() {
    let (mut saga, _) = Saga::of_states(
        "unhandled: defer
states:
  A: {on: {start: {}, go: {target: B}}}
  B: {on: {late: {tasks: [{name: each, for_each: '${ event.data }', join: {raises: done}}]}, done: {target: C}}}
  D: {on: {never: {target: C}}}
  C: {final: true}
",
    );
    saga.raised("late", "[]");
    saga.raised("never", "1");
    assert_eq!(saga.raised("go", "{}"), ["finished Completed"]);
    assert!(saga.instance.deferred.is_empty());
    let never = Note::EventRejected {
        id: "id of never".to_owned(),
        name: "never".parse().expect("a name"),
        reason: "the saga is over".to_owned(),
    };
    assert_eq!(saga.notes.last(), Some(&never));
}

#[test]
fn fix_38_a_condition_is_read_once_before_what_it_guards_and_a_branch_may_end_the_saga() {
    let (mut saga, _) = Saga::of_states(
        "context: {left: 1}
states:
  A: {on: {start: {target: B}}}
  B:
    on:
      x:
        - if: context.left > 0
          set: {left: '${ context.left - 1 }'}
          tasks: [{name: one, input: '${ context.left }'}, {name: two}]
        - {if: context.left == 0, target: C}
        - {target: D}
  C: {final: true}
  D: {final: failed}
",
    );
    // What it sets is seen by what it starts, and asked of no condition any more: neither of its own, nor of those behind it.
    let decided = saga.raised("x", "{}");
    assert_eq!(decided, ["task 1 one 0", "task 2 two "]);
    saga.is_at("B", SagaStatus::Running);
    assert_eq!(saga.raised("x", "{}"), ["cancel 1", "cancel 2"]);
    saga.task_ended(1, failed());
    assert_eq!(saga.task_ended(2, failed()), ["finished Completed"]);
    saga.is_at("C", SagaStatus::Completed);
}

#[test]
fn a_guard_that_is_an_object_is_neither_true_nor_false() {
    let (mut saga, _) = Saga::of_states(
        "states:
  A: {on: {start: {}, x: {if: event.data, target: B}}}
  B: {final: true}
",
    );
    for data in ["1", r#"{"ok":"bogus"}"#] {
        saga.raised("x", data);
        let parked = saga.instance.parked.pop().expect("it is parked");
        assert!(
            parked.reason.ends_with("it is neither true nor false"),
            "{}",
            parked.reason
        );
    }
}

#[test]
fn what_the_first_transition_misses_is_told_to_whoever_starts_it() {
    let states = "name: test
initial: A
states:
  A: {on: {start: {target: B}}}
  B: {on_entry: [{name: pay, input: {total: '${ input.total }'}}], on: {x: {target: C}}}
  C: {final: true}
";
    let mut saga = Saga::created(states, "{}");
    assert_eq!(
        saga.refuses(Input::Started(event("start", "{}"))),
        "the saga cannot start: the task pay cannot be made: /input/total there is no field \"total\""
    );
    // The same again with what was missing.
    assert_eq!(saga.instance.version, 0);
    let (saga, decided) = Saga::started(states, r#"{"total": 1}"#);
    assert_eq!(decided.len(), 1);
    saga.is_at("B", SagaStatus::Running);
}
