//! `orchestratum definitions …`

use clap::Subcommand;
use orchestratum_core::saga;

use super::http::Http;
use super::page::{self, Page};
use super::tasks::input;
use crate::output;

const COLUMNS: [&str; 3] = ["name", "version", "created_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a definition: a file of YAML or JSON, or `-` for standard input. Example: orchestratum definitions put order.yaml
    Put { file: String },
    /// Definitions by name, each with its newest version.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// One definition. Without --json, as its author wrote it.
    Show {
        name: String,
        /// The newest, if not given.
        #[arg(long)]
        version: Option<u32>,
    },
    /// The picture of a definition, as Mermaid, or as an SVG image with `--format svg`.
    Diagram {
        name: String,
        /// The newest, if not given.
        #[arg(long)]
        version: Option<u32>,
        /// mermaid or svg.
        #[arg(long, default_value = "mermaid")]
        format: String,
    },
    /// The versions of a definition, newest first.
    Versions {
        name: String,
        #[command(flatten)]
        page: Page,
    },
}

pub(super) async fn run(http: &Http, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Put { file } => put(http, &file).await,
        Command::List { page } => page::list(http, &["saga-definitions"], "definitions", &COLUMNS, [], page).await,
        Command::Show { name, version } => show(http, &name, version).await,
        Command::Diagram { name, version, format } => {
            let version = version.map(|version| ("version".to_owned(), version.to_string()));
            let query: Vec<_> = version.into_iter().chain([("format".to_owned(), format)]).collect();
            let call = http.get(&["saga-definitions", &name, "diagram"]).query(&query);
            output::text(&call.text().await?)
        }
        Command::Versions { name, page } => {
            let path = ["saga-definitions", &name, "versions"];
            page::list(http, &path, "versions", &COLUMNS, [], page).await
        }
    }
}

async fn put(http: &Http, file: &str) -> anyhow::Result<()> {
    let source = input::text_of_file(file)?;
    // Its name is part of the address. What else is wrong with it the api tells.
    let name = saga::read(&source)?.name;
    let call = http.put(&["saga-definitions", name.as_str()]);
    output::json(&call.text_body("application/yaml", source).json().await?)
}

async fn show(http: &Http, name: &str, version: Option<u32>) -> anyhow::Result<()> {
    let version = version.map(|version| version.to_string());
    let mut path = vec!["saga-definitions", name];
    path.extend(version.iter().flat_map(|version| ["versions", version.as_str()]));
    let definition = http.get(&path).json().await?;
    if http.json {
        output::json(&definition)
    } else {
        output::text(definition["source"].as_str().unwrap_or_default())
    }
}
