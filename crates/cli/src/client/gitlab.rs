//! `orchestratum gitlab …`

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::Http;
use crate::output;

const ISSUES: [&str; 5] = ["iid", "state", "title", "assignees", "web_url"];
const GEOMETRIES: [&str; 3] = ["id", "name", "file"];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The issues that are assigned to a user.
    Issues {
        /// group/project, or the number of a project; all that the server may see if not given.
        #[arg(long)]
        project: Option<String>,
        /// opened (if not given), closed or all.
        #[arg(long)]
        state: Option<String>,
        /// Whose; those of the user of the server's token if not given.
        #[arg(long)]
        user: Option<String>,
    },
    /// The geometries of a project, by its `geometries_manifest.json`. Example: orchestratum gitlab geometries grp/proj main
    Geometries { project: String, branch: String },
    /// Make a merge request, or find the open one for the same branches.
    MergeRequest {
        project: String,
        source_branch: String,
        target_branch: String,
        #[arg(long)]
        title: String,
        /// Markdown.
        #[arg(long)]
        description: Option<String>,
        /// The issue that is closed with the merge.
        #[arg(long, value_name = "IID")]
        issue: Option<u64>,
    },
    /// Calculate the balance of an issue, or tell how far it is. Example: orchestratum gitlab balance grp/proj 42
    Balance(Balance),
    /// Start a calculation whose request is in a file, as JSON; - reads the standard input.
    Calculation {
        file: PathBuf,
        /// Another key calculates the same anew.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Whether the branch of a saga stands where the saga expects it.
    Consistency {
        /// The id of the saga.
        saga: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Balance {
    project: String,
    /// The number of the issue.
    issue: u64,
    /// Where it is calculated; issue/ and the number of the issue if not given.
    #[arg(long)]
    branch: Option<String>,
    /// Where the branch is merged to; the default branch of the project if not given.
    #[arg(long, value_name = "BRANCH")]
    target_branch: Option<String>,
    /// What is calculated before; may be repeated. The condenser if not given.
    #[arg(long = "dependency", value_name = "NAME")]
    dependencies: Vec<String>,
    /// celery (if not given) or amqp.
    #[arg(long)]
    delivery: Option<String>,
    /// When somebody else has been on the branch: `rebase_inputs` (if not given) or `stop`.
    #[arg(long)]
    on_drift: Option<String>,
    /// How long the answer is held while it runs; 10 if not given.
    #[arg(long, alias = "wait-seconds", value_name = "SECONDS")]
    wait: Option<f64>,
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Issues { project, state, user } => {
            let query = given([("project", project), ("state", state)]);
            let call = http.get(&["issues"]).query(&query);
            let issues = call.header("x-gitlab-user", user.as_deref()).json().await?;
            listed(http, &issues, "issues", &ISSUES)
        }
        Command::Geometries { project, branch } => {
            let query = given([("project", Some(project)), ("branch", Some(branch))]);
            let geometries = http.get(&["geometries"]).query(&query).json().await?;
            listed(http, &geometries, "geometries", &GEOMETRIES)
        }
        Command::MergeRequest {
            project,
            source_branch,
            target_branch,
            title,
            description,
            issue,
        } => {
            let body = fields([
                ("project", Some(json!(project))),
                ("source_branch", Some(json!(source_branch))),
                ("target_branch", Some(json!(target_branch))),
                ("title", Some(json!(title))),
                ("description", description.map(Value::from)),
                ("issue_iid", issue.map(Value::from)),
            ]);
            let call = http.post(&["merge-requests"]).body(&body);
            output::json(&call.json().await?)
        }
        Command::Balance(balance) => balance.run(http).await,
        Command::Calculation { file, idempotency_key } => {
            let text = read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let call = http.post(&["calculations"]);
            let call = call.header("idempotency-key", idempotency_key.as_deref());
            output::json(&call.text_body("application/json", text).json().await?)
        }
        Command::Consistency { saga } => output::json(&http.get(&["sagas", &saga, "consistency"]).json().await?),
    }
}

impl Balance {
    async fn run(self, http: &Http) -> anyhow::Result<()> {
        let dependencies = (!self.dependencies.is_empty()).then(|| json!(self.dependencies));
        let body = fields([
            ("project", Some(json!(self.project))),
            ("issue_iid", Some(json!(self.issue))),
            ("branch", self.branch.map(Value::from)),
            ("target_branch", self.target_branch.map(Value::from)),
            ("dependencies", dependencies),
            ("delivery", self.delivery.map(Value::from)),
            ("on_drift", self.on_drift.map(Value::from)),
        ]);
        let query = given([("wait_seconds", self.wait.map(|seconds| seconds.to_string()))]);
        let call = http.post_beside(&["saga", "calculate-balance"]).query(&query);
        output::json(&call.body(&body).json().await?)
    }
}

/// Those that are given.
fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let given = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

fn read(file: &Path) -> io::Result<String> {
    if file == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        std::fs::read_to_string(file)
    }
}

fn given<const N: usize>(fields: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    let given = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

fn listed(http: &Http, list: &Value, items: &str, columns: &[&str]) -> anyhow::Result<()> {
    if http.json {
        output::json(list)
    } else {
        output::table(list, items, columns)
    }
}
