//! What a worker reports of its handlers, wherever they are hosted: whole, or so much of it as can be kept.

use orchestratum_engine::external::LOG_MAX_BYTES;
use orchestratum_sdk::prelude::*;

use crate::commands::{Act, GiveUpCommand, Links};
use crate::hostings::on_every_hosting;
use crate::suite::{act, fault};
use crate::support::{Hosting, Lab, Place};

on_every_hosting!(
    a_full_log_says_so_and_leaves_the_failure_as_it_is,
    an_output_keeps_all_digits_of_its_numbers,
    what_comes_next_and_is_too_much_is_missing_and_the_success_stands,
    one_that_cannot_come_next_leaves_its_siblings,
    a_chain_of_failures_is_written_once_for_all_ends,
    a_failure_is_told_whatever_its_message_is,
);

async fn a_full_log_says_so_and_leaves_the_failure_as_it_is(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    // As JSON the second is six times as much: more than a server takes of a failure.
    for line in ["x".repeat(100), "\u{1}".repeat(100)] {
        let (status, outcome) = lab.run(act(Act::FillLogAndFail(line.clone()))).await;
        assert_eq!(outcome, Outcome::Failed(fault("Failed", "it said too much")));
        assert_eq!(status.attempt, 1);
        if hosting == Hosting::Client && line.starts_with('x') {
            let path = format!("/api/tasks/{}/logs", status.id);
            let logs = lab.place.ask("GET", &path, None).await;
            assert!(logs.starts_with(&line) && logs.len() <= LOG_MAX_BYTES, "{}", logs.len());
            let (_, last) = logs.trim_end().rsplit_once('\n').expect("lines");
            assert_eq!(last, "… the log is full: the rest was left out");
        }
    }
    lab.stopped().await;
}

async fn an_output_keeps_all_digits_of_its_numbers(hosting: Hosting) {
    /// More than a `u64` has.
    const STARS: u128 = 18_446_744_073_709_551_617;

    #[derive(Serialize, Deserialize)]
    struct CountStarsCommand;

    impl Definition for CountStarsCommand {
        type Output = u128;
        const NAME: &'static str = "count_stars";
    }

    impl Chain for CountStarsCommand {}

    struct Astronomer;

    impl Handler<CountStarsCommand> for Astronomer {
        async fn handle(&self, _command: &CountStarsCommand, _context: &Context) -> Result<u128, Failure> {
            Ok(STARS)
        }
    }

    let lab = Lab::with(hosting, |builder| builder.handler(Astronomer)).await;
    let (_, outcome) = lab.run(CountStarsCommand).await;
    assert_eq!(outcome, Outcome::Success(STARS));
    lab.stopped().await;
}

async fn what_comes_next_and_is_too_much_is_missing_and_the_success_stands(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    let (status, outcome) = lab
        .run(act(Act::Answer("done".to_owned())).then(Links::NotesForNobody(1_200)))
        .await;
    assert_eq!(outcome, Outcome::Success("done".to_owned()));
    assert_eq!(status.attempt, 1);
    let followers = lab.orchestratum.followers(status.id).await.expect("it is there");
    assert!(followers.commands.len() >= 900, "{}", followers.commands.len());
    let reasons: Vec<&str> = followers
        .missing
        .iter()
        .map(|missing| missing.reason.as_str())
        .collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("the last 200 of more than 1000")),
        "{reasons:?}"
    );

    let (status, outcome) = lab
        .run(act(Act::Answer("done".to_owned())).then(Links::LargeNotesForNobody))
        .await;
    assert_eq!(outcome, Outcome::Success("done".to_owned()));
    let followers = lab.orchestratum.followers(status.id).await.expect("it is there");
    assert_eq!((followers.commands.len(), followers.missing.len()), (1, 1));
    let reason = &followers.missing[0].reason;
    assert!(
        reason.contains("the last 1 of them: ") && reason.contains("1048576 bytes"),
        "{reason}"
    );
    lab.stopped().await;
}

async fn one_that_cannot_come_next_leaves_its_siblings(hosting: Hosting) {
    // The SDK does not know how much a server takes.
    let lab = if hosting == Hosting::Client {
        Lab::at(Place::server(&[("tasks.input_max_bytes", "1500")]).await, |builder| {
            builder
        })
        .await
    } else {
        Lab::new(hosting).await
    };
    let (status, outcome) = lab
        .run(act(Act::Answer("done".to_owned())).then(Links::NotesOfWhichTwoAreNone))
        .await;
    assert_eq!(outcome, Outcome::Success("done".to_owned()));
    let followers = lab.orchestratum.followers(status.id).await.expect("it is there");
    let missing = if hosting == Hosting::Client { 2 } else { 1 };
    assert_eq!(
        (followers.commands.len(), followers.missing.len()),
        (4 - missing, missing)
    );
    let told = format!("{:?}", followers.missing);
    assert!(followers.missing.iter().all(|missing| missing.name == "note"), "{told}");
    assert!(told.contains("/target must match"), "{told}");
    let notes = lab.notes(4 - missing).await;
    assert!(
        notes.contains(&"the first".to_owned()) && notes.contains(&"the last".to_owned()),
        "{notes:?}"
    );
    lab.stopped().await;
}

async fn a_chain_of_failures_is_written_once_for_all_ends(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    // Three times as much with each of them it would be half a million commands.
    let (status, outcome) = lab.run(GiveUpCommand { times: 12 }).await;
    assert!(matches!(outcome, Outcome::Cancelled(_)), "{outcome:?}");
    let notes = lab.notes(1).await;
    assert_eq!(lab.world.events().len(), 14, "each once, after the one before");
    assert!(
        notes[0].starts_with("given up of ") && !notes[0].contains(&status.id.to_string()),
        "{notes:?}"
    );
    lab.stopped().await;
}

async fn a_failure_is_told_whatever_its_message_is(hosting: Hosting) {
    let lab = Lab::new(hosting).await;
    for bytes in [10, 100_000, 2_000_000] {
        let (status, outcome) = lab.run(act(Act::FailWithBytes(bytes)).envelope().retries(0)).await;
        let fault = outcome.fault().expect("it failed");
        assert_eq!((fault.kind.as_str(), status.attempt), ("Failed", 1));
        let (message, length) = (&fault.message, fault.message.len());
        assert!(
            message.starts_with("begin\u{fffd}x") && message.ends_with("xend"),
            "{length}"
        );
        assert!(length < 20_000, "{length}");
    }
    // More than a report may be, and more than may be stored.
    let (status, outcome) = lab.run(act(Act::AnswerBytes(4 << 20)).then(Links::Notes)).await;
    assert!(outcome.fault().is_some(), "{outcome:?}");
    assert_eq!((status.state, status.attempt), (State::Failed, 1));
    lab.stopped().await;
}
