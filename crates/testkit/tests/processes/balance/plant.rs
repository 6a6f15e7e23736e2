//! A project with a balance to be calculated, and all who take part in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use orchestratum_testkit::{
    Api, CeleryWorker, Cluster, FaultProxy, GitlabProcess, OWNER_TOKEN, PROJECT, Process, RabbitmqNode, Servers,
    VirtualHost, celery_python, eventually_within,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::sleep;

pub(crate) const BALANCE: &str = "/saga/calculate-balance";

/// An interpreter takes a while on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How messages come to those who calculate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Celery,
    Queue,
}

impl Delivery {
    const fn name(self) -> &'static str {
        match self {
            Self::Celery => "celery",
            Self::Queue => "amqp",
        }
    }
}

#[derive(Debug)]
enum Calculators {
    Nobody,
    Celery { fleet: CeleryWorker },
    Queues { process: Process, _folder: TempDir },
}

impl Calculators {
    async fn start(delivery: Delivery, broker: &str, gitlab: &str) -> anyhow::Result<Self> {
        match delivery {
            Delivery::Celery => Ok(Self::Celery {
                fleet: CeleryWorker::start_calculations(broker, gitlab, OWNER_TOKEN).await?,
            }),
            Delivery::Queue => start_queues(broker, gitlab).await,
        }
    }
}

/// The broker of all of them.
#[derive(Debug)]
pub(crate) enum Broker {
    /// A part of the one that the tests share.
    Shared(VirtualHost),
    /// One that may be killed.
    Own(RabbitmqNode),
}

impl Broker {
    async fn shared() -> anyhow::Result<Self> {
        Ok(Self::Shared(VirtualHost::unique(&Servers::from_environment()).await?))
    }

    /// Shared where RabbitMQ is not installed beside the tests.
    async fn own() -> anyhow::Result<Self> {
        match RabbitmqNode::start().await? {
            Some(node) => Ok(Self::Own(node)),
            None => Self::shared().await,
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Shared(host) => host.servers().amqp_url.clone(),
            Self::Own(node) => node.url(),
        }
    }
}

/// Dropped in this order: nobody is left without those whom he calls.
#[derive(Debug)]
pub(crate) struct Plant {
    pub(crate) cluster: Cluster,
    calculators: Calculators,
    pub(crate) gitlab: GitlabProcess,
    /// Between all of them and their broker.
    to_broker: FaultProxy,
    broker: Broker,
    /// As it is reached by the proxy.
    broker_url: String,
    delivery: Delivery,
}

/// The figures of the whole, with the power of its turbine.
pub(crate) fn balance_input(power_kw: u32) -> Value {
    json!({
        "boiler": {"heat_kw": 50_000},
        "turbine": {"power_kw": power_kw, "exhaust": {"flow_kg_s": 10, "enthalpy_kj_kg": 2_300}},
        "cooling_water": {"inlet_c": 15, "outlet_c": 20},
        "condensate": {"enthalpy_kj_kg": 140},
    })
}

/// What the condenser is given of it, and what somebody says of its water.
pub(crate) fn condenser_input(water_outlet_c: u32) -> Value {
    json!({
        "steam_flow_kg_s": 10, "steam_enthalpy_kj_kg": 2_300, "condensate_enthalpy_kj_kg": 140,
        "water_inlet_c": 15, "water_outlet_c": water_outlet_c,
    })
}

/// What the heater is given, with what somebody says of its feed water.
pub(crate) fn heater_input(outlet_c: u32) -> Value {
    json!({
        "feed_water_flow_kg_s": 12, "inlet_c": 40, "outlet_c": outlet_c,
        "bleed_enthalpy_kj_kg": 2_700, "drain_enthalpy_kj_kg": 400,
    })
}

/// What comes of it with the condenser and the heater.
pub(crate) fn balance_output() -> Value {
    json!({
        "supplied_kw": 50_000, "power_kw": 18_000, "rejected_kw": 21_600, "losses_kw": 10_400, "efficiency": 0.36,
        "parts": ["condenser_output.json", "heater_output.json"],
    })
}

/// On its branch then: what was hydrated, what was completed, and an output of each calculation.
pub(crate) const COMMITS: usize = 5;

impl Plant {
    /// The input of the heater is there, that of the condenser is not.
    pub(crate) async fn build(delivery: Delivery) -> anyhow::Result<Self> {
        Self::build_with(delivery, true, Broker::shared().await?).await
    }

    /// With a broker that can be killed, where there can be one.
    pub(crate) async fn build_with_own_broker(delivery: Delivery) -> anyhow::Result<Self> {
        Self::build_with(delivery, true, Broker::own().await?).await
    }

    /// What is to be calculated waits in a queue.
    pub(crate) async fn build_without_calculators() -> anyhow::Result<Self> {
        Self::build_with(Delivery::Celery, false, Broker::shared().await?).await
    }

    async fn build_with(delivery: Delivery, calculates: bool, broker: Broker) -> anyhow::Result<Self> {
        let gitlab = GitlabProcess::start().await?;
        let url = gitlab.control().url().to_owned();
        let (to_broker, broker_url) = FaultProxy::before(&broker.url()).await?;
        let calculators = if calculates {
            Calculators::start(delivery, &broker_url, &url).await?
        } else {
            Calculators::Nobody
        };
        // All share one broker, as most installations do.
        let cluster = Cluster::builder()
            .setting("BROKER__URL", &broker_url)
            .setting("GITLAB__URL", &url)
            .setting("GITLAB__TOKEN", OWNER_TOKEN)
            .setting("WORKER__CELERY__URL", &broker_url)
            .setting("WORKER__AMQP__URL", &broker_url)
            .setting("WORKER__AMQP__QUEUES", "balance.*")
            .start()
            .await?;
        let plant = Self {
            cluster,
            calculators,
            gitlab,
            to_broker,
            broker,
            broker_url,
            delivery,
        };
        plant
            .commit("main", "create", "balance_input.json", &balance_input(18_000))
            .await?;
        plant
            .commit("main", "create", "heater_input.json", &heater_input(90))
            .await?;
        Ok(plant)
    }

    /// What those who calculate have said.
    pub(crate) fn calculators_said(&self) -> String {
        match &self.calculators {
            Calculators::Nobody => String::new(),
            Calculators::Celery { fleet } => fleet.output(),
            Calculators::Queues { process, .. } => process.output(),
        }
    }

    /// Those who calculate go, and what is to be calculated waits in their queue.
    pub(crate) fn dismiss_calculators(&mut self) {
        self.calculators = Calculators::Nobody;
    }

    /// Kills those who calculate with all that they do, and starts others.
    pub(crate) async fn replace_calculators(&mut self) -> anyhow::Result<()> {
        self.calculators = Calculators::Nobody;
        let gitlab = self.gitlab.control().url();
        self.calculators = Calculators::start(self.delivery, &self.broker_url, gitlab).await?;
        Ok(())
    }

    /// The broker is killed and started again after a while. One that others share is cut off, and loses what a killed one does.
    pub(crate) async fn broker_falls(&mut self, away: Duration) -> anyhow::Result<()> {
        match &mut self.broker {
            Broker::Own(node) => {
                node.kill()?;
                sleep(away).await;
                node.start_again().await
            }
            Broker::Shared(host) => {
                self.to_broker.cut();
                host.forget_what_is_not_durable().await?;
                sleep(away).await;
                self.to_broker.heal();
                Ok(())
            }
        }
    }

    pub(crate) fn api(&self) -> &Api {
        &self.cluster.api
    }

    /// What asks for the balance of an issue; it is calculated on the branch `issue/N`.
    pub(crate) fn request(&self, issue: u64, dependencies: &[&str]) -> Value {
        json!({"project": PROJECT, "issue_iid": issue, "dependencies": dependencies, "delivery": self.delivery.name()})
    }

    /// What asks for the condenser alone, whose input is there already on `main`.
    pub(crate) fn condenser(&self) -> Value {
        json!({
            "project": PROJECT, "branch": "main", "name": "balance.condenser", "delivery": self.delivery.name(),
            "input_files": ["condenser_input.json"], "output_file": "condenser_output.json",
        })
    }

    pub(crate) async fn start_balance(&self, issue: u64, dependencies: &[&str]) -> anyhow::Result<String> {
        let path = format!("{BALANCE}?wait_seconds=0");
        let balance = self.post(&path, &self.request(issue, dependencies)).await?;
        Ok(balance["saga_id"].as_str().context("an id")?.to_owned())
    }

    /// The saga as soon as it waits for somebody, or is over.
    pub(crate) async fn until_it_waits(&self, id: &str) -> anyhow::Result<Value> {
        let path = format!("/api/sagas/{id}?wait_seconds=10");
        eventually_within(PATIENCE, "the saga waits for somebody or is over", || async {
            match self.api().json(&path).await {
                Ok(saga) if saga["status"] == "Running" => Err(format!("{saga:#}")),
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
        self.api().json(&path).await
    }

    pub(crate) async fn answer(&self, id: &str, data: &Value) -> anyhow::Result<()> {
        let input = json!({"data": data});
        self.post(&format!("/api/sagas/{id}/input"), &input).await?;
        Ok(())
    }

    /// What was sent over a queue by the calculations of a saga.
    pub(crate) async fn messages(&self, id: &str) -> anyhow::Result<Vec<Value>> {
        let children = self.api().json(&format!("/api/sagas?parent_id={id}")).await?;
        let mut bodies = Vec::new();
        for child in children["items"].as_array().context("a page")? {
            let child = child["id"].as_str().context("an id")?;
            let tasks = self.api().json(&format!("/api/tasks?saga_id={child}")).await?;
            let tasks = tasks["items"].as_array().context("a page")?;
            let sent = tasks.iter().filter(|task| task["name"] == "amqp");
            bodies.extend(sent.map(|task| task["input"]["body"].clone()));
        }
        ensure!(!bodies.is_empty(), "nothing was sent");
        Ok(bodies)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.api().post(path).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// A commit of somebody else.
    pub(crate) async fn commit(
        &self,
        branch: &str,
        action: &str,
        path: &str,
        content: &Value,
    ) -> anyhow::Result<String> {
        self.commit_action(
            branch,
            json!({"action": action, "file_path": path, "content": content.to_string()}),
        )
        .await
    }

    /// A file of somebody else that is no JSON.
    pub(crate) async fn commit_text(&self, branch: &str, path: &str, content: &str) -> anyhow::Result<String> {
        self.commit_action(
            branch,
            json!({"action": "create", "file_path": path, "content": content}),
        )
        .await
    }

    async fn commit_action(&self, branch: &str, action: Value) -> anyhow::Result<String> {
        let path = action["file_path"].as_str().unwrap_or_default();
        let body = json!({"branch": branch, "commit_message": format!("Give {path}"), "actions": [action]});
        let url = format!("{}/api/v4/projects/1/repository/commits", self.gitlab.control().url());
        let request = http()?.post(url).bearer_auth(OWNER_TOKEN).json(&body);
        let made: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(made["id"].as_str().context("a commit")?.to_owned())
    }

    /// All that there are from a branch.
    pub(crate) async fn merge_requests(&self, branch: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/api/v4/projects/1/merge_requests", self.gitlab.control().url());
        let mut url = url::Url::parse(&url)?;
        url.query_pairs_mut().append_pair("source_branch", branch);
        let request = http()?.get(url).bearer_auth(OWNER_TOKEN);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// A file as it stands on a branch.
    pub(crate) async fn file(&self, branch: &str, path: &str) -> anyhow::Result<Value> {
        let text = self.git(&["show", &format!("{branch}:{path}")]).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What was committed on a branch since it was made from `main`, by the steps.
    ///
    /// # Errors
    /// Where a step has more than one commit, and where a commit is of no step.
    pub(crate) async fn commits_of_steps(&self, branch: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let format = "--format=%H %(trailers:key=Orchestratum-Step,valueonly,separator=%x2C)";
        let log = self.git(&["log", format, &format!("main..{branch}")]).await?;
        let mut commits = BTreeMap::new();
        for line in log.lines() {
            let (commit, step) = line.split_once(' ').unwrap_or((line, ""));
            ensure!(!step.trim().is_empty(), "the commit {commit} is of no step:\n{log}");
            let other = commits.insert(step.trim().to_owned(), commit.to_owned());
            ensure!(other.is_none(), "two commits of the step {step}:\n{log}");
        }
        Ok(commits)
    }

    /// Where a branch stands.
    pub(crate) async fn head(&self, branch: &str) -> anyhow::Result<String> {
        Ok(self.git(&["rev-parse", branch]).await?.trim().to_owned())
    }

    /// Somebody has it begin at another commit.
    pub(crate) async fn rewrite(&self, branch: &str, commit: &str) -> anyhow::Result<()> {
        self.git(&["update-ref", &format!("refs/heads/{branch}"), commit])
            .await
            .map(drop)
    }

    /// How many commits there are in a range.
    pub(crate) async fn count(&self, range: &str) -> anyhow::Result<usize> {
        Ok(self.git(&["rev-list", "--count", range]).await?.trim().parse()?)
    }

    async fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let repository = self.gitlab.control().repository().await?;
        let output = Command::new("git")
            .arg("-C")
            .arg(repository)
            .args(arguments)
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn start_queues(broker: &str, gitlab: &str) -> anyhow::Result<Calculators> {
    let folder = tempfile::tempdir()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/balance-worker/queues.py");
    let environment = [
        ("AMQP_URL", broker),
        ("GITLAB_URL", gitlab),
        ("GITLAB_TOKEN", OWNER_TOKEN),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let log = folder.path().join("queues.log");
    let process = Process::start(&celery_python(), &[script], &BTreeMap::from(environment), log)?;
    eventually_within(PATIENCE, "the worker of the queues is ready", || {
        let said = process.output();
        async move { if said.contains("ready") { Ok(()) } else { Err(said) } }
    })
    .await;
    Ok(Calculators::Queues {
        process,
        _folder: folder,
    })
}
