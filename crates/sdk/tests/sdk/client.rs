//! A client of a server, for programs that only push.

use std::time::Duration;

use orchestratum_sdk::Error;
use orchestratum_sdk::prelude::*;

use crate::commands::{Act, ActCommand, Links, NoteCommand};
use crate::support::{Hosting, OTHER_KEY, Place};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_pushes_asks_waits_and_cancels() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let client = place.builder().start().await?;
    let envelope = ActCommand::of(Act::Fail).then(Links::AllNotes).to("email-worker");
    let id = envelope.id();
    for _ in 0..2 {
        assert_eq!(client.push(envelope.clone()).await?, id);
    }
    let status = client.status(id).await?;
    assert_eq!((status.name.as_str(), status.target.as_str()), ("act", "email-worker"));
    assert_eq!(
        (status.state, status.attempt, status.retries_left),
        (State::Pending, 0, 3)
    );
    let waited = client.wait::<ActCommand>(id, Duration::from_millis(50)).await;
    assert!(matches!(waited, Err(Error::StillRunning { .. })), "{waited:?}");

    assert_eq!(client.cancel(id).await?.state, State::Cancelled);
    assert_eq!(
        client.cancel(id).await?.state,
        State::Cancelled,
        "again it does nothing"
    );
    let outcome = client.wait::<ActCommand>(id, Duration::from_secs(10)).await?;
    assert!(matches!(outcome, Outcome::Cancelled(_)), "{outcome:?}");
    let followers = client.followers(id).await?;
    assert_eq!((followers.commands.len(), followers.missing.len()), (1, 0));
    assert_eq!(
        (followers.commands[0].name.as_str(), followers.commands[0].state),
        ("note", State::Pending)
    );
    client.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_told() -> Result<(), Error> {
    let place = Place::of(Hosting::Client).await;
    let client = place.builder().start().await?;
    let refused = client.push(NoteCommand::of("").to("no target").priority(10)).await;
    let told = refused.expect_err("two rules are broken").to_string();
    assert!(
        told.contains("/target must match") && told.contains("/priority must be"),
        "{told}"
    );

    let envelope = NoteCommand::of("").envelope();
    let unknown = client.status(envelope.id()).await.expect_err("it is not there");
    assert!(
        matches!(unknown, Error::NotFound(id) if id == envelope.id()),
        "{unknown:?}"
    );
    client.push(envelope.clone()).await?;
    let other = client
        .push(envelope.clone().retries(7))
        .await
        .expect_err("it is another");
    assert!(matches!(other, Error::IdTaken(id) if id == envelope.id()), "{other:?}");

    let stranger = Orchestratum::client(place.url(), OTHER_KEY).start().await?;
    let refused = stranger.status(envelope.id()).await.expect_err("the key is none");
    assert!(matches!(refused, Error::Answer { status: 401, .. }), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_and_a_url_that_is_none_are_told() {
    // Nobody listens at the port that is nobody's.
    let client = Orchestratum::client("http://127.0.0.1:1", OTHER_KEY)
        .start()
        .await
        .expect("a URL");
    let error = client.push(NoteCommand::of("")).await.expect_err("nobody is there");
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    for (url, key) in [
        ("nowhere", OTHER_KEY),
        ("mailto:a@b", OTHER_KEY),
        ("http://127.0.0.1", "a\nb"),
    ] {
        let started = Orchestratum::client(url, key).start().await;
        assert!(matches!(started, Err(Error::Url(_))), "{started:?}");
    }
}
