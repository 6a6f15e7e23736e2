//! `orchestratum doctor`: what an operator checks first, and what the tests check last. It goes on behind what is wrong,
//! so that one look shows all of it.

mod gitlab;
mod http;
mod installation;
mod machine;
mod messaging;
mod report;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use orchestratum_engine::{Settings, error::chain};
use secrecy::ExposeSecret;

use report::Report;

const LIMIT: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What the settings ask for and this installation or machine does not have is wrong; what works with less than \
                  it might is warned of. Exit status: 0 if nothing is wrong; 1 otherwise."
)]
pub(crate) struct Arguments {
    /// Look at the SQLite database that `dev` keeps there, instead of the one in the settings.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The most broken rows to show.
    #[arg(long, default_value_t = LIMIT)]
    limit: NonZeroUsize,
    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
    let mut report = Report::new(json || arguments.json);
    match settings(&arguments) {
        Ok(settings) => {
            report.ok("settings", "")?;
            bootstrap_key(&settings, &mut report)?;
            installation::check(&settings, arguments.limit.get(), &mut report).await?;
            http::check(&settings.worker.http, &mut report)?;
            messaging::check(&settings, &mut report).await?;
            gitlab::check(&settings.gitlab, &mut report).await?;
            machine::check(&settings, &mut report).await?;
        }
        Err(error) => {
            report.wrong("settings", chain(&error))?;
            let all = [
                "auth",
                "database",
                "schema",
                "data",
                "broker",
                "http",
                "amqp",
                "celery",
                "gitlab",
                "python",
                "csharp",
                "shell",
                "work_dir",
                "isolation",
                "open files",
            ];
            report.not_looked_at(&all, "the settings")?;
        }
    }
    let sound = report.end()?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn settings(arguments: &Arguments) -> Result<Settings, orchestratum_engine::SettingsError> {
    let database = arguments.data.as_ref().map(|data| crate::dev::database_url(data));
    let overrides: Vec<(&str, &str)> = database
        .iter()
        .flat_map(|database| [("database.url", database.as_str()), ("broker.url", "database")])
        .collect();
    let mut settings = Settings::load_with(&overrides)?;
    if settings.auth.bootstrap_key.expose_secret().is_empty()
        && let Some(key) = arguments.data.as_ref().and_then(|data| crate::dev::key_of(data))
    {
        settings.auth.bootstrap_key = key;
    }
    Ok(settings)
}

fn bootstrap_key(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    match orchestratum_api::check_bootstrap_key(settings) {
        Err(error) => report.wrong("auth", chain(&error)),
        // Whether there are others, the database knows.
        Ok(()) if settings.auth.bootstrap_key.expose_secret().is_empty() => Ok(()),
        Ok(()) => report.ok("auth", "with a bootstrap key"),
    }
}
