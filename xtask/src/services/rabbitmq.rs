//! A private RabbitMQ with its management interface.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::locate;
use super::ports::Ports;
use super::record::{Record, StopBy};
use crate::http;
use crate::stopwatch::wait_until;

const START_LIMIT: Duration = Duration::from_secs(90);
/// `guest:guest`, RabbitMQ's own default on loopback.
const AUTHORIZATION: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

/// Returns the URLs of the broker and of its management interface, both answering.
pub(super) fn start(record: &Record, ports: &Ports) -> Result<(String, String)> {
    let program = locate::rabbitmq().context("RabbitMQ is not installed")?;
    let account = Account::of_server("rabbitmq")?;
    let home = record.directory().join("rabbitmq");
    for directory in [
        home.clone(),
        home.join("log"),
        home.join("data"),
        home.join("generated"),
    ] {
        fs::create_dir_all(&directory)?;
        account.own(&directory)?;
    }
    configure(&home, ports)?;

    let log = home.join("output");
    let output = File::create(&log)?;
    let mut server = account
        .apply(Command::new(program).envs(environment(&home, ports)))
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // The script and the virtual machine it starts are ended as one group.
        .process_group(0)
        .spawn()
        .context("cannot start RabbitMQ")?;
    record.started(&server, StopBy::KillGroup)?;
    record.started_port_mapper(ports.port_mapper)?;

    let authority = format!("127.0.0.1:{}", ports.management);
    let path = format!("/api/health/checks/port-listener/{}", ports.amqp);
    let question = http::Request {
        method: "GET",
        authority: &authority,
        path: &path,
        authorization: AUTHORIZATION,
        body: None,
    };
    wait_until("RabbitMQ accepts connections", START_LIMIT, || {
        if let Some(status) = server.try_wait()? {
            bail!(
                "RabbitMQ ended with {status}:\n{}",
                fs::read_to_string(&log).unwrap_or_default()
            );
        }
        // Not listening yet, or not ready yet: both are what is being waited out.
        Ok(http::send(&question).is_ok_and(|answer| answer.status == 200))
    })?;
    Ok((
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", ports.amqp),
        format!("http://guest:guest@{authority}"),
    ))
}

fn configure(home: &Path, ports: &Ports) -> Result<()> {
    fs::write(home.join("plugins"), "[rabbitmq_management].\n")?;
    let Ports { amqp, management, .. } = ports;
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         log.console = false\n\
         log.file.level = warning\n\
         vm_memory_high_watermark.absolute = 1GB\n\
         disk_free_limit.absolute = 200MB\n\
         cluster_formation.peer_discovery_backend = classic_config\n"
    );
    fs::write(home.join("rabbitmq.conf"), configuration).context("cannot write RabbitMQ's configuration")
}

/// Every path and port of its own: nothing that the machine's installation has configured is read.
fn environment(home: &Path, ports: &Ports) -> Vec<(&'static str, String)> {
    let path = |name: &str| home.join(name).display().to_string();
    vec![
        ("HOME", home.display().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", ports.port_mapper.to_string()),
        ("RABBITMQ_NODENAME", format!("test{}@localhost", ports.amqp)),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODE_PORT", ports.amqp.to_string()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("RABBITMQ_MNESIA_BASE", path("data")),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", path("none")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
        ("RABBITMQ_PID_FILE", path("pid")),
        // No busy waiting: on two cores it takes the time of the tests.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ),
        ("RABBITMQ_CTL_ERL_ARGS", "-proto_dist inet_tcp".to_owned()),
    ]
}
