//! A private PostgreSQL.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::locate;
use super::ports::Ports;
use super::record::{Record, StopBy};
use crate::process;
use crate::stopwatch::wait_until;

const START_LIMIT: Duration = Duration::from_secs(60);

/// Returns the URL of a server that answers.
pub(super) fn start(record: &Record, ports: &Ports) -> Result<String> {
    let programs = locate::postgres().context("PostgreSQL is not installed")?;
    let account = Account::of_server("postgres")?;
    let home = record.directory().join("postgres");
    fs::create_dir_all(&home)?;
    account.own(&home)?;
    create_cluster(&programs, account, &home, ports.postgres)?;

    let log = home.join("log");
    let output = File::create(&log)?;
    let mut server = account
        .apply(Command::new(programs.join("postgres")).arg("-D").arg(home.join("data")))
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Ctrl-C is for us; the server is stopped in its own way.
        .process_group(0)
        .spawn()
        .context("cannot start PostgreSQL")?;
    record.started(&server, StopBy::Quit)?;

    let port = ports.postgres.to_string();
    wait_until("PostgreSQL accepts connections", START_LIMIT, || {
        if let Some(status) = server.try_wait()? {
            bail!(
                "PostgreSQL ended with {status}:\n{}",
                fs::read_to_string(&log).unwrap_or_default()
            );
        }
        Ok(process::succeeds(Command::new(programs.join("pg_isready")).args([
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
        ])))
    })?;
    Ok(format!("postgres://postgres@127.0.0.1:{port}/postgres"))
}

fn create_cluster(programs: &Path, account: Account, home: &Path, port: u16) -> Result<()> {
    let data = home.join("data");
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .arg("-D")
        .arg(&data)
        .args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ])
        .current_dir(home);
    process::read(account.apply(&mut initdb))?;
    let mut configuration = OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
    // Durability stays as PostgreSQL ships it: what the tests and the benchmark see is what users get.
    write!(
        configuration,
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = 200\n",
        home.display()
    )?;
    Ok(())
}
