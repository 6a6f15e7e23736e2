//! `orchestratum doctor` on an installation of which nothing works, and on one that does.

use std::process::{Command, Output};

use orchestratum_testkit::{Broker, Cluster, binary};
use serde_json::Value;

use crate::dev::{CSHARP_CACHE, csharp_runtime, text};

/// Nobody listens on the first port.
const BROKEN: [(&str, &str); 9] = [
    ("ORCHESTRATUM_CONFIG_DIR", "/nothing"),
    (
        "ORCHESTRATUM__DATABASE__URL",
        "postgres://postgres:hidden@127.0.0.1:1/nothing",
    ),
    ("ORCHESTRATUM__BROKER__URL", "amqp://guest:hidden@127.0.0.1:1/%2f"),
    (
        "ORCHESTRATUM__WORKER__CELERY__URL",
        "amqp://guest:hidden@127.0.0.1:1/%2f",
    ),
    ("ORCHESTRATUM__AUTH__BOOTSTRAP_KEY", "too short"),
    ("ORCHESTRATUM__WORKER__PYTHON", "/nothing/python3"),
    ("ORCHESTRATUM__WORKER__CSHARP", "/nothing"),
    ("ORCHESTRATUM__WORKER__WORK_DIR", "/proc/nothing"),
    (
        "ORCHESTRATUM__WORKER__ENVIRONMENTS__REPORTS__VIRTUAL_ENVIRONMENT",
        "/nothing",
    ),
];

/// One that works, and two that do not.
const COMMANDS: &str = r#"{
    "there": {"program": "true"},
    "blind": {"program": "true", "readable": ["/no/such/model"]},
    "missing": {"program": "/nothing"}
}"#;

fn doctor<'a>(arguments: &[&str], environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<Output> {
    let mut command = Command::new(binary("orchestratum")?);
    Ok(command.arg("doctor").args(arguments).envs(environment).output()?)
}

#[test]
fn it_goes_on_behind_what_is_wrong_and_shows_every_part() -> anyhow::Result<()> {
    let output = doctor(&[], BROKEN)?;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for line in [
        "settings    ok",
        "auth        wrong: auth.bootstrap_key must have 16 characters or more",
        "database    wrong: postgres://postgres@127.0.0.1:1/nothing: the database is not available",
        "schema      not looked at: it needs the database",
        "data        not looked at: it needs the database",
        "broker      wrong: amqp://guest@127.0.0.1:1/%2f: ",
        "http        ok, to public addresses, ports 80, 443",
        "amqp        ok, not offered: worker.amqp.url is not set",
        "celery      wrong: `celery` tasks wait for their broker: ",
        "gitlab      ok, not offered: gitlab.url is not set",
        "python      wrong: ",
        "csharp      wrong: a worker here offers no `csharp`: /nothing: ",
        "shell       ok, ",
        "work_dir    wrong: ",
        "isolation   not looked at: it needs work_dir",
        "environment not looked at: it needs python",
        "open files  ",
        "7 parts are wrong",
    ] {
        assert!(
            said.lines().any(|said| said.starts_with(line)),
            "{line}\n--- in ---\n{said}"
        );
    }
    assert!(said.contains("127.0.0.1:1: Connection refused"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
    Ok(())
}

#[test]
fn without_settings_it_says_what_it_cannot_look_at() -> anyhow::Result<()> {
    let output = doctor(&["--json"], [("ORCHESTRATUM__WORKER__LEASE_SECONDS", "0")])?;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let parts = report["parts"].as_array().cloned().unwrap_or_default();
    assert_eq!(report["ok"], false);
    assert_eq!(
        (&parts[0]["part"], &parts[0]["state"]),
        (&"settings".into(), &"wrong".into())
    );
    assert!(
        parts.len() == 16 && parts[1..].iter().all(|part| part["state"] == "not looked at"),
        "{report}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_installation_is_sound_unless_the_settings_ask_for_what_is_not_there() -> anyhow::Result<()> {
    let cluster = Cluster::builder()
        .broker(Broker::Rabbit)
        .setting("WORKER__CSHARP", &csharp_runtime())
        .setting("WORKER__CSHARP_CACHE", CSHARP_CACHE)
        .start()
        .await?;
    let environment = cluster.environment();
    let environment = environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let more = [
        (
            "ORCHESTRATUM__WORKER__ENVIRONMENTS__REPORTS__VIRTUAL_ENVIRONMENT",
            "/nothing",
        ),
        ("ORCHESTRATUM__WORKER__COMMANDS", COMMANDS),
        ("ORCHESTRATUM__WORKER__ISOLATION", "off"),
    ];
    let output = doctor(&["--json"], environment.clone())?;
    assert!(output.status.success(), "{}", text(&output));
    let sound: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(sound["ok"], true, "{sound}");
    let keyless = doctor(
        &[],
        environment.clone().chain([("ORCHESTRATUM__AUTH__BOOTSTRAP_KEY", "")]),
    )?;
    let said = text(&keyless);
    let warning = "auth        warning: there is no API key, so nobody can call: ";
    assert!(keyless.status.success() && said.contains(warning), "{said}");
    let output = doctor(&["--json"], environment.chain(more))?;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["ok"], false, "the settings ask for what is not there: {report}");
    for (part, says) in [
        ("python", "/"),
        ("csharp", ": runtime "),
        ("shell", "/"),
        ("http", "to public addresses"),
        ("isolation", ""),
    ] {
        let found = report["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|found| found["part"] == part);
        let said = found.and_then(|found| found["says"].as_str());
        assert!(said.is_some_and(|said| said.contains(says)), "{part}: {report}");
    }
    let parts = report["parts"].as_array().cloned().unwrap_or_default();
    for (state, says) in [
        ("wrong", "a worker here does not have `reports`: /nothing/bin/python: "),
        ("ok", "`there` is /"),
        (
            "warning",
            "off: the programs of tasks are not kept apart from this machine",
        ),
        (
            "wrong",
            "a worker here offers no `blind`: it cannot read /no/such/model: ",
        ),
        (
            "wrong",
            "a worker here offers no `missing`: there is no program \"/nothing\"",
        ),
    ] {
        let told =
            |part: &Value| part["state"] == state && part["says"].as_str().is_some_and(|said| said.starts_with(says));
        assert!(parts.iter().any(told), "{says}: {report}");
    }
    Ok(())
}
