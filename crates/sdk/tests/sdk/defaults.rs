//! What holds for those who say nothing.

use std::time::Duration;

use orchestratum_engine::Settings;
use orchestratum_sdk::prelude::*;

use crate::commands::NoteCommand;

#[test]
fn match_18_a_command_has_five_seconds_and_three_retries() {
    let command = NoteCommand::of("");
    assert_eq!(command.timeout(), Duration::from_secs(5));
    assert_eq!(command.retries(), 3);
    assert_eq!((command.ttl(), command.target()), (None, None));
}

#[test]
fn match_18_a_host_has_the_poll_interval_the_lease_the_claims_and_the_key_of_the_library() {
    let settings = Settings::defaults_with(&[]).expect("the defaults");
    let seconds = Duration::from_secs_f64;
    assert_eq!(seconds(settings.worker.poll_interval_seconds), Duration::from_secs(5));
    assert_eq!(seconds(settings.worker.lease_seconds), Duration::from_secs(10));
    assert_eq!(settings.worker.max_claim, 100);
    assert_eq!(settings.worker.targets.len(), 1);
    assert_eq!(settings.worker.targets[0].as_str(), "default");
    assert_eq!(settings.database.schema, "orchestratum");
}

#[test]
fn match_22_an_explicit_name_wins_over_the_convention() {
    #[derive(Command, Serialize, Deserialize)]
    struct HTTPCallCommand;

    #[derive(Command, Serialize, Deserialize)]
    #[command(name = "email.send")]
    struct SendEmailCommand;

    assert_eq!(HTTPCallCommand::NAME, "h_t_t_p_call");
    assert_eq!(SendEmailCommand::NAME, "email.send");
}

#[test]
fn a_command_says_how_it_wants_to_be_run() {
    #[derive(Command, Serialize, Deserialize)]
    #[command(timeout_seconds = 1.5, ttl_seconds = 3_155_760_000, retries = 0, target = "gpu")]
    struct TrainCommand;

    assert_eq!(TrainCommand.timeout(), Duration::from_millis(1_500));
    assert_eq!(TrainCommand.ttl(), Some(Duration::from_secs(3_155_760_000)));
    assert_eq!((TrainCommand.retries(), TrainCommand.target()), (0, Some("gpu")));
}
