//! The commands of the workspace. `cargo xtask` without a command lists them.

mod bench;
mod csharp;
mod docker;
mod guard;
mod http;
mod identity;
mod interpreters;
mod metadata;
mod packages;
mod process;
mod python;
mod services;
mod soak;
mod stopwatch;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test                   everything that must hold before a change lands: format, lints, tidy checks, all tests;
                         brings its own PostgreSQL and RabbitMQ unless DATABASE_URL and AMQP_URL are set, and
                         its own runtime of C# unless CSHARP_RUNTIME is or this machine has an SDK, its own
                         Celery unless CELERY_PYTHON is, and its own python-gitlab unless GITLAB_PYTHON is
  tidy                   the tidy checks alone
  soak [--minutes N]     the long forms of the simulation and of the fault tests (30 minutes unless told)
  simulate [--minutes N] schedules of sagas alone (10 minutes unless told)
  services up|down       PostgreSQL and RabbitMQ to develop against; `up` prints the exports to evaluate
  docker                 builds the images, starts the compose file and runs tasks through it
  bench [ARGUMENTS]      the benchmark, in release; its own arguments are passed on";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["test"] => test::run(),
        ["tidy"] => tidy::run(),
        ["soak", options @ ..] => soak::run(options),
        ["simulate", options @ ..] => soak::simulate_sagas(options),
        ["services", "up"] => {
            services::up()?;
            let workspace = workspace::Workspace::locate()?;
            let runtime = (csharp::VARIABLE, csharp::provide(&workspace));
            let interpreters = interpreters::ALL.map(|one| (one.variable, one.provide(&workspace)));
            for (variable, provided) in std::iter::once(runtime).chain(interpreters) {
                match provided {
                    Ok(path) => println!("export {variable}='{}'", path.display()),
                    // The servers are there, and most tests need nothing else.
                    Err(error) => eprintln!("warning: {error:#}"),
                }
            }
            Ok(())
        }
        ["services", "down"] => services::down(),
        ["services", "guard", directory] => services::guard_until_abandoned(directory.as_ref()),
        ["docker"] => docker::run(),
        ["docker", "guard", engine] => docker::guard_until_abandoned(engine.as_ref()),
        ["bench", options @ ..] => bench::run(options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => bail!("`{}` is not a command\n\n{USAGE}", unknown.join(" ")),
    }
}
