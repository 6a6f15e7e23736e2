//! The settings, from their defaults, files and variables.

use orchestratum_core::{EnvironmentName, Target};

use super::*;

fn default_settings() -> Settings {
    Settings::load_from(Path::new("there is no such folder"), None, &[]).expect("the defaults are valid")
}

#[test]
fn nobody_has_chosen_the_usual_interpreter() {
    assert!(!default_settings().worker.names_python());
}

/// The seed library's options, by name and default.
#[test]
fn the_options_of_the_seed_keep_their_defaults() {
    let settings = default_settings();
    assert!(
        (settings.worker.poll_interval_seconds - 5.0).abs() < f64::EPSILON,
        "CommandPollingInterval"
    );
    assert!(
        (settings.worker.lease_seconds - 10.0).abs() < f64::EPSILON,
        "LockTimeoutBuffer"
    );
    assert_eq!(settings.worker.max_claim, 100, "MaxCommandPull");
    assert_eq!(
        settings.worker.targets,
        [Target::new("default").expect("valid")],
        "InstanceKey"
    );
    assert_eq!(settings.database.schema, "orchestratum", "TablePrefix");
}

#[test]
fn a_misspelt_key_is_an_error() {
    let error = Settings::load_from(Path::new("none"), None, &[("worker.leese_seconds", "3")]);
    assert!(error.is_err());
}

#[test]
fn what_is_wrong_is_told_with_what_is_allowed_and_where_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("test.toml");
    for (text, expected, line) in [
        (
            "[worker]\nisolation = \"fulll\"",
            "worker.isolation must be auto, full, landlock or off, not \"fulll\" (",
            2,
        ),
        (
            "[logs]\nformat = \"xml\"",
            "logs.format must be text or json, not \"xml\" (",
            2,
        ),
        (
            "\n[api]\nlisten = 5000",
            "api.listen must be an IP address and a port, such as 127.0.0.1:5000, not \"5000\" (",
            3,
        ),
        (
            "[worker.limits]\nmemory_mb = -5",
            "worker.limits.memory_mb must be a whole number, 0 or more, not -5 (",
            2,
        ),
        (
            "[worker]\ntargtes = [\"a\"]",
            "worker: unknown field `targtes`, expected one of ",
            2,
        ),
        ("[wroker]", "unknown field `wroker`, expected one of ", 1),
        (
            "[worker.commands.video.encode]\nprogram = \"a\"",
            "; a name with a dot stands in quotes: [worker.commands.\"video.encode\"] (",
            1,
        ),
        (
            "[worker.commands.\"a.b\"]",
            "worker.commands.a.b.program must be given (",
            1,
        ),
        (
            "[worker]\nname = \"a\"\n\nconcurrency = 5000",
            "worker.concurrency must be at most 4096 (",
            4,
        ),
    ] {
        std::fs::write(&file, text).expect("written");
        let error = Settings::load_from(folder.path(), Some("test"), &[]).expect_err(text);
        let told = crate::error::chain(&error);
        assert!(told.contains(expected), "{text}: {told}");
        assert!(told.ends_with(&format!("test.toml, line {line})")), "{text}: {told}");
    }
}

#[test]
fn an_empty_name_of_an_environment_is_none() {
    let nowhere = Path::new("there is no such folder");
    assert!(Settings::load_from(nowhere, Some(""), &[]).is_ok());
    assert!(Settings::load_from(nowhere, Some("production"), &[]).is_err());
}

#[test]
fn a_certificate_without_https_is_refused() {
    let load = |overrides: &[(&str, &str)]| Settings::load_from(Path::new("none"), None, overrides);
    let certificate = ("api.tls.certificate_file", "/etc/orchestratum/certificate.pem");
    let plain = ("api.listen", "127.0.0.1:7000");
    let error = load(&[plain, certificate])
        .expect_err("it would not be used")
        .to_string();
    assert!(error.starts_with("api.tls.certificate_file is set, but"), "{error}");
    assert!(error.contains("set api.tls.listen"), "{error}");
    assert!(load(&[certificate]).is_ok(), "HTTPS has its default address");
    assert!(load(&[plain, certificate, ("api.tls.listen", "127.0.0.1:7001")]).is_ok());
    assert!(
        load(&[plain, certificate, ("api.tls.listen", "")]).is_ok(),
        "it was said"
    );
}

#[test]
fn what_one_task_or_one_caller_may_take_has_an_upper_end() {
    for (key, most, above) in [
        ("tasks.input_max_bytes", "16777216", "16777217"),
        ("tasks.output_max_bytes", "16777216", "16777217"),
        ("worker.log_max_bytes", "67108864", "67108865"),
        ("api.max_follow_seconds", "86400", "86401"),
    ] {
        let load = |value: &str| Settings::load_from(Path::new("none"), None, &[(key, value)]);
        assert!(load(most).is_ok(), "{key} = {most}");
        let error = load(above).expect_err(key).to_string();
        assert!(error.starts_with(&format!("{key} must be at most {most}")), "{error}");
    }
}

#[test]
fn setting_the_plain_address_alone_turns_tls_off() {
    let load = |overrides: &[(&str, &str)]| Settings::load_from(Path::new("none"), None, overrides).expect("valid");
    assert!(default_settings().api.tls.listen.is_some());
    assert!(load(&[("api.listen", "127.0.0.1:7000")]).api.tls.listen.is_none());
    let default = default_settings().api.listen.to_string();
    assert!(
        load(&[("api.listen", &default)]).api.tls.listen.is_none(),
        "the rule is the same whatever the value"
    );
    let both = load(&[("api.listen", "127.0.0.1:7000"), ("api.tls.listen", "127.0.0.1:7001")]);
    assert!(both.api.tls.listen.is_some());
    let default = default_settings().api.tls.listen.expect("a default").to_string();
    let both = load(&[("api.listen", "127.0.0.1:7000"), ("api.tls.listen", &default)]);
    assert!(both.api.tls.listen.is_some(), "asked for, though with the default");
}

#[test]
fn a_copy_of_the_defaults_in_the_working_directory_sets_no_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("default.toml");
    let load = || {
        Settings::load_from(folder.path(), None, &[])
            .expect("valid")
            .api
            .tls
            .listen
    };
    std::fs::write(&file, DEFAULTS).expect("written");
    assert!(load().is_some());
    std::fs::write(&file, DEFAULTS.replace("127.0.0.1:5000", "127.0.0.1:7000")).expect("written");
    assert!(load().is_none());
}

#[test]
fn targets_may_be_a_comma_list() {
    let settings = Settings::load_from(Path::new("none"), None, &[("worker.targets", "a, b")]).expect("valid");
    assert_eq!(
        settings.worker.targets.iter().map(Target::as_str).collect::<Vec<_>>(),
        ["a", "b"]
    );
}

#[test]
fn http_tasks_reach_what_is_public_at_the_ports_of_the_web_unless_more_is_allowed() {
    let http = default_settings().worker.http;
    assert!(http.enabled && http.allow.is_empty());
    assert_eq!(http.ports, [80, 443]);
    let load = |overrides: &[(&str, &str)]| Settings::load_from(Path::new("none"), None, overrides);
    let chosen = [
        ("worker.http.allow", "10.1.0.0/16, [::1]:9000"),
        ("worker.http.ports", "443"),
    ];
    let http = load(&chosen).expect("valid").worker.http;
    let allowed: Vec<String> = http.allow.iter().map(ToString::to_string).collect();
    assert_eq!(
        (allowed, http.ports),
        (vec!["[10.1.0.0/16]".to_owned(), "[::1/128]:9000".to_owned()], vec![443])
    );
    let none = load(&[("worker.http.allow", ""), ("worker.http.ports", "")])
        .expect("valid")
        .worker
        .http;
    assert!(none.allow.is_empty() && none.ports.is_empty());
    for (key, value) in [
        ("worker.http.allow", "10.1.2.3/16"),
        ("worker.http.allow", "10.1.0.0/16,,"),
        ("worker.http.ports", "0"),
        ("worker.http.ports", "80,70000"),
    ] {
        assert!(load(&[(key, value)]).is_err(), "{key} = {value}");
    }
}

#[test]
fn environments_are_tables_of_their_own_in_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "[worker.environments.Reports-2]\nvirtual_environment = \"/opt/venvs/reports\"\n\
                [worker.environments.etl]\nwheels = \"/opt/wheels\"\nrequirements = [\"one==1\", \"two\"]\n";
    std::fs::write(folder.path().join("production.toml"), file).expect("written");
    let chosen = [("worker.environments.etl.wheels", "/opt/others")];
    let settings = Settings::load_from(folder.path(), Some("production"), &chosen).expect("valid");
    let environments = settings.worker.environments;
    let names: Vec<&str> = environments.keys().map(EnvironmentName::as_str).collect();
    assert_eq!(names, ["Reports-2", "etl"]);
    let etl = format!("{:?}", environments.values().next_back());
    assert!(etl.contains("/opt/others") && etl.contains("one==1"), "{etl}");
    assert!(default_settings().worker.environments.is_empty());
    std::fs::write(folder.path().join("production.toml"), "[worker.environments.etl]\n").expect("written");
    let error = Settings::load_from(folder.path(), Some("production"), &[]).expect_err("there is nothing");
    assert!(
        crate::error::chain(&error).contains("worker.environments.\"etl\""),
        "{error:?}"
    );
}

#[test]
fn secrets_cannot_be_printed() {
    let settings = Settings::load_from(Path::new("none"), None, &[("auth.bootstrap_key", "a very secret key")]);
    assert!(!format!("{settings:?}").contains("very secret"));
    assert!(!format!("{settings:?}").contains("postgres:postgres"));
}

#[test]
fn a_gitlab_that_cannot_be_used_is_refused_without_its_token_or_its_url() {
    let read = |overrides: &[(&str, &str)]| Settings::load_from(Path::new("none"), None, overrides);
    assert!(!default_settings().gitlab.is_configured());
    let sound = [
        ("gitlab.url", "https://gitlab.example.com/git"),
        ("gitlab.token", "glpat-31337"),
    ];
    let settings = read(&sound).expect("they are valid");
    assert!(settings.gitlab.client().is_ok_and(|client| client.is_some()));
    assert!(
        !format!("{settings:?}").contains("31337"),
        "the token is shown to nobody"
    );
    for (key, value, expected) in [
        (
            "gitlab.token",
            "",
            "gitlab.token cannot be used: the token of GitLab must have",
        ),
        (
            "gitlab.token",
            "a 31337",
            "gitlab.token cannot be used: the token of GitLab must have",
        ),
        (
            "gitlab.url",
            "gitlab.31337",
            "gitlab.url cannot be used: the URL of GitLab must begin with",
        ),
        (
            "gitlab.url",
            "https://u:31337@a",
            "gitlab.url cannot be used: the URL of GitLab must not have a user",
        ),
        ("gitlab.tries", "0", "gitlab.tries must lie between 1 and 100"),
        (
            "gitlab.call_timeout_seconds",
            "0",
            "gitlab.call_timeout_seconds must be a number of seconds above 0",
        ),
    ] {
        let error = read(&[&sound[..], &[(key, value)]].concat())
            .expect_err(key)
            .to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("31337"), "{error}");
    }
}
