//! What holds wherever commands are hosted: one suite that every hosting passes.
//!
//! `match_` and `fix_` with a number name what the library that this SDK re-tells does, and where ours keeps the intent and not
//! the defect; `docs/compatibility.md` has the list.

use std::time::Duration;

use orchestratum_sdk::prelude::*;
use orchestratum_sdk::{Error, Fault};

use crate::commands::{Act, ActCommand, Links, NoteCommand, SHORT};
use crate::hostings::on_every_hosting;
use crate::support::{Hosting, Lab, Place, until};

on_every_hosting!(
    match_01_retry_count_n_means_n_plus_1_attempts,
    match_04_success_stores_the_output_and_cancelled_is_final_at_once,
    match_04_failed_timed_out_not_found_and_panics_use_a_retry_each,
    a_failure_for_good_skips_the_retries_that_are_left,
    match_06_the_failure_chain_fires_after_the_last_attempt_and_is_the_default_of_the_others,
    match_06_the_success_chain_gets_the_typed_output,
    match_07_what_comes_next_runs_on_the_target_of_what_it_came_after_and_at_once,
    what_comes_after_a_follower_knows_the_id_it_got,
    fix_08_a_panic_of_the_chain_leaves_the_completion_and_is_recorded,
    fix_09_a_timeout_uses_a_retry_and_is_recorded,
    fix_10_work_that_is_done_after_the_deadline_counts,
    match_15_nothing_starts_before_its_time,
    fix_17_an_input_that_cannot_be_read_ends_that_command_and_nothing_else,
    match_20_the_id_is_known_before_and_the_same_envelope_is_one_command,
    match_20_a_push_wakes_the_worker,
    match_21_a_command_for_another_target_is_kept_and_not_run_here,
    match_23_a_command_without_a_handler_here_can_be_pushed,
    match_24_texts_of_every_kind_arrive_as_they_were,
    a_cancel_reaches_a_running_handler,
    the_end_of_the_time_to_live_has_a_chain_of_its_own,
    a_handler_tells_how_far_it_is,
    a_name_of_a_built_in_task_belongs_to_no_command,
    a_panic_of_a_handler_leaves_the_worker_alive,
    a_cycle_of_failures_is_refused_when_it_is_pushed,
    one_that_takes_longer_than_the_patience_goes_on,
    a_handler_pushes_commands_of_its_own,
    a_second_stop_waits_for_what_the_first_waits_for,
);

pub(crate) fn act(act: Act) -> ActCommand {
    ActCommand::of(act)
}

pub(crate) fn fault(kind: &str, message: &str) -> Fault {
    Fault {
        kind: kind.to_owned(),
        message: message.to_owned(),
        code: None,
    }
}

async fn match_01_retry_count_n_means_n_plus_1_attempts(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(act(Act::Fail).envelope().retries(2)).await;
    assert_eq!(outcome, Outcome::Failed(fault("Failed", "it broke")));
    assert_eq!(lab.world.runs(status.id), 3);
    assert_eq!((status.attempt, status.retries_left), (3, 0));

    let (status, outcome) = lab.run(act(Act::Answer("done".to_owned())).envelope().retries(2)).await;
    assert_eq!(outcome, Outcome::Success("done".to_owned()));
    assert_eq!((status.attempt, status.retries_left), (1, 2), "a success leaves them");

    let (status, outcome) = lab.run(act(Act::FailTimes(2))).await;
    assert_eq!(outcome, Outcome::Success("at last".to_owned()));
    assert_eq!((status.attempt, status.retries_left), (3, 1));
    lab.stopped().await;
}

async fn match_04_success_stores_the_output_and_cancelled_is_final_at_once(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, _) = lab.run(act(Act::Answer("kept".to_owned()))).await;
    assert_eq!(status.output::<String>().expect("a text").as_deref(), Some("kept"));
    let (status, outcome) = lab.run(act(Act::Cancel)).await;
    assert_eq!(outcome, Outcome::Cancelled(fault("Cancelled", "not wanted")));
    assert_eq!((status.attempt, status.state), (1, State::Cancelled));
    assert_eq!(status.output::<String>().expect("none"), None);
    lab.stopped().await;
}

async fn match_04_failed_timed_out_not_found_and_panics_use_a_retry_each(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let run = async |what: Act| {
        let (status, outcome) = lab.run(act(what).envelope().retries(1)).await;
        assert_eq!((status.attempt, status.retries_left), (2, 0));
        assert_eq!(status.output::<String>().expect("none"), None);
        outcome
    };
    assert_eq!(run(Act::Fail).await, Outcome::Failed(fault("Failed", "it broke")));
    assert_eq!(
        run(Act::TimeOut).await,
        Outcome::TimedOut(fault("TimedOut", "no answer"))
    );
    let message = "nobody does that";
    assert_eq!(run(Act::NotFound).await, Outcome::NotFound(fault("NotFound", message)));
    let message = "the handler panicked: at the disco";
    assert_eq!(run(Act::Panic).await, Outcome::Failed(fault("Failed", message)));
    lab.stopped().await;
}

async fn a_failure_for_good_skips_the_retries_that_are_left(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(act(Act::FailForGood).then(Links::Notes)).await;
    assert_eq!(outcome, Outcome::Failed(fault("Failed", "never")));
    assert_eq!(status.attempt, 1);
    assert_eq!(lab.notes(1).await, [format!("failure of {}", status.id)]);
    lab.stopped().await;
}

async fn match_06_the_failure_chain_fires_after_the_last_attempt_and_is_the_default_of_the_others(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (failed, _) = lab.run(act(Act::Fail).then(Links::Notes).envelope().retries(2)).await;
    assert_eq!(
        lab.notes(1).await,
        [format!("failure of {}", failed.id)],
        "once, for three attempts"
    );
    let events = lab.world.events();
    assert_eq!(events.len(), 4);
    assert_eq!(
        (events[2].command, events[2].attempt),
        (failed.id, 3),
        "and after the last of them"
    );

    let (cancelled, _) = lab.run(act(Act::Cancel).then(Links::Notes)).await;
    let notes = lab.notes(2).await;
    assert_eq!(notes[1], format!("failure of {}", cancelled.id), "it is the default");
    let _ = lab.run(act(Act::Cancel).then(Links::AllNotes)).await;
    assert_eq!(lab.notes(3).await[2], "cancellation");
    lab.stopped().await;
}

async fn match_06_the_success_chain_gets_the_typed_output(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (done, _) = lab
        .run(act(Act::Answer("a report".to_owned())).then(Links::Notes))
        .await;
    assert_eq!(lab.notes(1).await, ["success: a report"]);
    let followers = lab.orchestratum.followers(done.id).await.expect("it is there");
    assert_eq!((followers.commands.len(), followers.missing.len()), (1, 0));
    assert_eq!(followers.commands[0].name, "note");
    lab.stopped().await;
}

async fn match_07_what_comes_next_runs_on_the_target_of_what_it_came_after_and_at_once(hosting: Hosting) {
    let place = Place::of(hosting).await;
    let slow_to_look = |builder: orchestratum_sdk::Builder| {
        let builder = builder.targets(["first", "email-worker"]);
        place.looking_every(Duration::from_secs(3_600), builder)
    };
    let lab = Lab::at(place.clone(), slow_to_look).await;
    lab.push(act(Act::Answer(String::new())).then(Links::Notes).to("email-worker"))
        .await;
    lab.notes(1).await;
    assert_eq!(lab.world.events()[1].target, "email-worker");
    lab.stopped().await;
}

async fn what_comes_after_a_follower_knows_the_id_it_got(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (first, _) = lab
        .run(act(Act::Answer(String::new())).then(Links::AnotherThatFails))
        .await;
    let notes = lab.notes(1).await;
    let followers = lab.orchestratum.followers(first.id).await.expect("it is there");
    assert_eq!(notes, [format!("failure of {}", followers.commands[0].id)]);
    lab.stopped().await;
}

async fn fix_08_a_panic_of_the_chain_leaves_the_completion_and_is_recorded(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(act(Act::Answer("done".to_owned())).then(Links::Panics)).await;
    assert_eq!(outcome, Outcome::Success("done".to_owned()));
    assert_eq!(status.attempt, 1, "it did not run again");
    assert_eq!(lab.notes(1).await, ["before the panic"]);
    let followers = lab.orchestratum.followers(status.id).await.expect("it is there");
    assert_eq!(followers.missing.len(), 1, "{followers:?}");
    assert_eq!(followers.missing[0].reason, "on_success panicked: at the disco");
    lab.stopped().await;
}

async fn fix_09_a_timeout_uses_a_retry_and_is_recorded(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(act(Act::Hang).envelope().timeout(SHORT).retries(1)).await;
    assert!(matches!(outcome, Outcome::TimedOut(_)), "{outcome:?}");
    assert_eq!(
        (status.attempt, status.retries_left, lab.world.runs(status.id)),
        (2, 0, 2)
    );
    lab.stopped().await;
}

async fn fix_10_work_that_is_done_after_the_deadline_counts(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(act(Act::FinishWhenStopped).envelope().timeout(SHORT)).await;
    assert_eq!(outcome, Outcome::Success("finished".to_owned()));
    assert_eq!(status.attempt, 1);
    lab.stopped().await;
}

async fn match_15_nothing_starts_before_its_time(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let later = lab
        .push(NoteCommand::of("later").after(Duration::from_secs(3_600)))
        .await;
    let soon = lab.push(NoteCommand::of("soon").after(SHORT)).await;
    assert_eq!(lab.notes(1).await, ["soon"]);
    until("its end", || async { lab.status(soon).await.state == State::Completed }).await;
    assert_eq!(lab.status(later).await.state, State::Pending);
    lab.stopped().await;
}

async fn fix_17_an_input_that_cannot_be_read_ends_that_command_and_nothing_else(hosting: Hosting) {
    /// Another version of it: the handlers here know nothing of its field.
    #[derive(Serialize, Deserialize)]
    struct NewerCommand {
        something: u32,
    }

    impl Definition for NewerCommand {
        type Output = ();
        const NAME: &'static str = "act";
    }

    impl Chain for NewerCommand {}

    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(NewerCommand { something: 1 }).await;
    let message = &outcome.fault().expect("it failed").message;
    assert!(
        message.contains("the input is none of `act`: missing field `act`"),
        "{message}"
    );
    assert_eq!(status.attempt, 1, "it would be the same again");
    let (_, outcome) = lab.run(act(Act::Answer("alive".to_owned()))).await;
    assert_eq!(outcome.success().as_deref(), Some("alive"));
    lab.stopped().await;
}

async fn match_20_the_id_is_known_before_and_the_same_envelope_is_one_command(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let envelope = act(Act::Answer("once".to_owned())).envelope();
    let known = envelope.id();
    let unknown = lab.orchestratum.status(known).await.expect_err("it is not there");
    assert!(matches!(unknown, Error::NotFound(id) if id == known), "{unknown:?}");
    for _ in 0..2 {
        assert_eq!(lab.run(envelope.clone()).await.0.id, known);
    }
    assert_eq!(lab.world.runs(known), 1, "what is pushed again is there already");
    let other = lab
        .orchestratum
        .push(envelope.retries(7))
        .await
        .expect_err("it is another");
    assert!(matches!(other, Error::IdTaken(id) if id == known), "{other:?}");
    lab.stopped().await;
}

async fn match_20_a_push_wakes_the_worker(hosting: Hosting) {
    let place = Place::of(hosting).await;
    let lab = Lab::at(place.clone(), |builder| {
        place.looking_every(Duration::from_secs(3_600), builder)
    })
    .await;
    // The second comes when nothing has been waiting.
    for note in ["first", "second"] {
        let (_, outcome) = lab.run(NoteCommand::of(note)).await;
        assert_eq!(outcome, Outcome::Success(()));
    }
    lab.stopped().await;
}

async fn match_21_a_command_for_another_target_is_kept_and_not_run_here(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let foreign = lab.push(NoteCommand::of("elsewhere").to("elsewhere")).await;
    let _ = lab.run(NoteCommand::of("here")).await;
    assert_eq!(lab.world.notes(), ["here"]);
    let status = lab.status(foreign).await;
    assert_eq!((status.state, status.target.as_str()), (State::Pending, "elsewhere"));
    lab.stopped().await;
}

async fn match_23_a_command_without_a_handler_here_can_be_pushed(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let id = lab.push(crate::commands::OrphanCommand).await;
    assert_eq!(lab.status(id).await.state, State::Pending);
    let cancelled = lab.orchestratum.cancel(id).await.expect("it waits");
    assert_eq!(cancelled.state, State::Cancelled, "one that waits is cancelled at once");
    assert_eq!(lab.notes(1).await, ["nobody did it"]);
    lab.stopped().await;
}

async fn match_24_texts_of_every_kind_arrive_as_they_were(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let long = "é'\"\\\n\t${ output } $${ x } {{y}} '; DROP TABLE tasks; --".repeat(200);
    assert!(long.chars().count() > 10_000);
    let command = act(Act::Answer(long.clone())).then(Links::Notes);
    let hundred_years = Duration::from_secs(36_525 * 86_400);
    let command = command.envelope().timeout(hundred_years);
    // A server may allow less than an engine of one's own does.
    let command = if hosting == Hosting::Client {
        command.timeout(Duration::from_secs(86_400))
    } else {
        command
    };
    let (_, outcome) = lab.run(command).await;
    assert!(outcome.success().as_deref() == Some(long.as_str()));
    let notes = lab.notes(1).await;
    // Not shown where they differ: they are long.
    assert!(
        notes == [format!("success: {long}")],
        "what looks like an expression is none"
    );
    lab.stopped().await;
}

async fn a_cancel_reaches_a_running_handler(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let minute = Duration::from_secs(60);
    for stopped in [Act::FailWhenStopped, Act::Hang] {
        let id = lab
            .push(act(stopped).then(Links::AllNotes).envelope().timeout(minute))
            .await;
        lab.until_run(id, 1).await;
        lab.orchestratum.cancel(id).await.expect("it runs");
        let outcome = lab.orchestratum.wait::<ActCommand>(id, minute).await.expect("it ends");
        assert!(matches!(outcome, Outcome::Cancelled(_)), "{outcome:?}");
        assert_eq!(lab.status(id).await.attempt, 1);
        lab.orchestratum
            .cancel(id)
            .await
            .expect("to cancel it again does nothing");
    }
    assert_eq!(lab.notes(2).await, ["cancellation", "cancellation"]);
    let (done, _) = lab.run(act(Act::Answer(String::new()))).await;
    let refused = lab.orchestratum.cancel(done.id).await.expect_err("it is over");
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    lab.stopped().await;
}

async fn the_end_of_the_time_to_live_has_a_chain_of_its_own(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let waits = act(Act::Fail).then(Links::AllNotes).to("nobody").ttl(SHORT);
    let id = lab.push(waits).await;
    let outcome = lab
        .orchestratum
        .wait::<ActCommand>(id, crate::support::BOUND)
        .await
        .expect("it ends");
    assert!(matches!(outcome, Outcome::Expired(_)), "{outcome:?}");
    let followers = lab.orchestratum.followers(id).await.expect("it is there");
    assert_eq!(followers.commands.len(), 1, "{followers:?}");
    assert_eq!(followers.commands[0].target, "nobody");

    let (_, outcome) = lab
        .run(act(Act::Hang).then(Links::AllNotes).envelope().ttl(SHORT))
        .await;
    assert!(matches!(outcome, Outcome::Expired(_)), "{outcome:?}");
    assert_eq!(lab.notes(1).await, ["the end of its time"]);
    lab.stopped().await;
}

async fn a_handler_tells_how_far_it_is(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab.run(act(Act::Tell)).await;
    assert_eq!(outcome.success().as_deref(), Some("told"));
    assert_eq!(status.progress, Some(0.5));
    if hosting == Hosting::Client {
        let path = format!("/api/tasks/{}/logs", status.id);
        let logs = lab.place.ask("GET", &path, None).await;
        assert_eq!(logs, "half of it is done\n");
    }
    lab.stopped().await;
}

async fn a_name_of_a_built_in_task_belongs_to_no_command(hosting: Hosting) {
    #[derive(Serialize, Deserialize)]
    struct EchoCommand;

    impl Definition for EchoCommand {
        type Output = ();
        const NAME: &'static str = "echo";
    }

    impl Chain for EchoCommand {}

    /// Of a task that will be there.
    #[derive(Serialize, Deserialize)]
    struct MergeCommand;

    impl Definition for MergeCommand {
        type Output = ();
        const NAME: &'static str = "gitlab.merge";
    }

    impl Chain for MergeCommand {}

    struct Parrot;

    impl Handler<EchoCommand> for Parrot {
        async fn handle(&self, _command: &EchoCommand, _context: &Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    impl Handler<MergeCommand> for Parrot {
        async fn handle(&self, _command: &MergeCommand, _context: &Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    let place = Place::of(hosting).await;
    let echo = place.builder().handler::<EchoCommand, _>(Parrot);
    let merge = place.builder().handler::<MergeCommand, _>(Parrot);
    for (name, builder) in [("echo", echo), ("gitlab.merge", merge)] {
        let error = builder.start().await.map(drop).expect_err("it is built in");
        assert!(
            matches!(&error, Error::Worker(refused) if refused.to_string().contains(name)),
            "{error:?}"
        );
    }
}

async fn a_panic_of_a_handler_leaves_the_worker_alive(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    for _ in 0..3 {
        let _ = lab.run(act(Act::Panic).envelope().retries(0)).await;
    }
    let (_, outcome) = lab.run(act(Act::Answer("alive".to_owned()))).await;
    assert_eq!(outcome.success().as_deref(), Some("alive"));
    lab.stopped().await;
}

async fn a_cycle_of_failures_is_refused_when_it_is_pushed(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let endless = act(Act::Fail).then(Links::ItsOwnFailure);
    let refused = lab
        .orchestratum
        .push(endless)
        .await
        .expect_err("it has no end")
        .to_string();
    assert!(
        refused.starts_with("what comes after `act` cannot be written: "),
        "{refused}"
    );
    lab.stopped().await;
}

async fn one_that_takes_longer_than_the_patience_goes_on(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let command = act(Act::FinishWhenStopped).envelope().timeout(Duration::from_secs(2));
    let id = command.id();
    let error = lab
        .orchestratum
        .push_and_wait(command, SHORT)
        .await
        .expect_err("it takes longer");
    assert!(
        matches!(error, Error::StillRunning { id: told, .. } if told == id),
        "{error:?}"
    );
    let outcome = lab
        .orchestratum
        .wait::<ActCommand>(id, crate::support::BOUND)
        .await
        .expect("it ends");
    assert_eq!(outcome, Outcome::Success("finished".to_owned()));
    lab.stopped().await;
}

async fn a_handler_pushes_commands_of_its_own(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (_, outcome) = lab.run(act(Act::Push)).await;
    let id = outcome.success().expect("it pushed").parse().expect("an id");
    let status = lab
        .orchestratum
        .wait_for_end(id, crate::support::BOUND)
        .await
        .expect("it ends");
    assert_eq!((status.name.as_str(), status.state), ("note", State::Completed));
    let mut notes = lab.notes(2).await;
    notes.sort_unstable();
    assert_eq!(notes, ["by a field", "by the context"]);
    lab.stopped().await;
}

async fn a_second_stop_waits_for_what_the_first_waits_for(hosting: Hosting) {
    let lab = Lab::with(hosting, |builder| builder.drain(Duration::from_secs(60))).await;
    let waits = act(Act::FinishWhenLet).envelope().timeout(Duration::from_secs(60));
    let id = lab.push(waits).await;
    lab.until_run(id, 1).await;
    // One that is given up, one that goes on, and one that comes later.
    for _ in 0..2 {
        let stopped = tokio::time::timeout(SHORT, lab.orchestratum.stop()).await;
        assert!(stopped.is_err(), "a handler runs: {stopped:?}");
    }
    let first = lab.orchestratum.clone();
    let first = tokio::spawn(async move { first.stop().await });
    lab.world.open();
    lab.orchestratum.stop().await.expect("it ends well");
    first.await.expect("no panic").expect("it ends well");
    if hosting != Hosting::EmbeddedInSqlite {
        let other = lab.place.builder().start().await.expect("it starts");
        assert_eq!(other.status(id).await.expect("it is there").state, State::Completed);
        other.stop().await.expect("it ends well");
    }
}
