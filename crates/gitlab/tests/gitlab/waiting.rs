//! How long is waited, and when not.

use std::net::TcpListener;
use std::time::Duration;

use orchestratum_gitlab::{Client, Problem, Settings};
use orchestratum_testkit::{Fault, FaultKind};
use tokio::time::Instant;

use crate::session::Session;

#[tokio::test]
async fn who_is_limited_or_meets_a_maintenance_comes_again_when_gitlab_says() -> anyhow::Result<()> {
    let session = Session::start()?;
    let limited = FaultKind::Limited {
        retry_after: Some("1".to_owned()),
    };
    for kind in [limited, FaultKind::in_maintenance("1")] {
        session.double.control().forget().await?;
        session.fail("GET", "user", kind.clone()).await?;
        let begun = Instant::now();
        session.client.get_current_user().await?;
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "{kind:?}: {:?}",
            begun.elapsed()
        );
        assert_eq!(session.count("GET", "user").await?, 2, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn who_would_be_too_late_does_not_wait() -> anyhow::Result<()> {
    let session = Session::start()?;
    for retry_after in ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        session.double.control().forget().await?;
        let kind = FaultKind::Limited {
            retry_after: Some(retry_after.to_owned()),
        };
        session.fail("GET", "user", kind).await?;
        let begun = Instant::now();
        let error = session.client.get_current_user().await.expect_err("it is limited");
        let Problem::Limited {
            retry_after: Some(asked),
            ..
        } = error.problem()
        else {
            panic!("{error}");
        };
        assert!(*asked >= Duration::from_secs(3_600), "{asked:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(session.count("GET", "user").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn reading_goes_on_over_errors_and_broken_connections() -> anyhow::Result<()> {
    let session = Session::start()?;
    for kind in [
        FaultKind::internal_error(),
        FaultKind::bad_gateway(),
        FaultKind::HangUp,
        FaultKind::CutAnswer,
        FaultKind::Limited { retry_after: None },
    ] {
        session.double.control().forget().await?;
        session.fail("GET", "user", kind.clone()).await?;
        assert_eq!(session.client.get_current_user().await?.username, "alice", "{kind:?}");
        assert_eq!(session.count("GET", "user").await?, 2, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_is_sent_so_often_and_no_more() -> anyhow::Result<()> {
    let session = Session::start()?;
    let always = Fault::on("GET", "user", FaultKind::internal_error()).times(100);
    session.double.control().fail(&always).await?;
    let error = session.client.get_current_user().await.expect_err("it fails");
    assert!(
        matches!(error.problem(), Problem::Unavailable { said, .. } if said.status() == 500),
        "{error}"
    );
    assert_eq!(session.count("GET", "user").await?, 4);
    Ok(())
}

#[tokio::test]
async fn one_answer_and_a_whole_call_have_an_end() -> anyhow::Result<()> {
    let session = Session::start_with(|settings| Settings {
        request_patience: Duration::from_millis(300),
        call_patience: Duration::from_millis(1_000),
        tries: 100,
        ..settings
    })?;
    let slow = Fault::on("GET", "user", FaultKind::SlowAnswer { milliseconds: 60_000 }).times(100);
    session.double.control().fail(&slow).await?;
    let begun = Instant::now();
    let error = session.client.get_current_user().await.expect_err("it is slow");
    assert!(matches!(error.problem(), Problem::TimedOut { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(session.count("GET", "user").await? >= 2);
    Ok(())
}

#[tokio::test]
async fn a_gitlab_that_is_away_is_told_as_such() -> anyhow::Result<()> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = Settings {
        tries: 2,
        ..Settings::new(format!("http://{address}"), "t0ken".to_owned())
    };
    let error = Client::new(settings, || 0.999)?
        .get_current_user()
        .await
        .expect_err("nobody is there");
    assert!(
        matches!(error.problem(), Problem::Unreachable(_)) && error.is_transient(),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("t0ken"));
    Ok(())
}
