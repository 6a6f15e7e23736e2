//! `orchestratum definitions …`

use clap::Subcommand;
use orchestratum_core::saga;
use serde_json::Value;

use super::http::{Http, fault};
use super::page::{self, Page};
use super::tasks::input;
use crate::output;

/// How the command line names it.
const STANDARD_INPUT: &str = "-";

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
    // Its name is part of the address. All that is wrong with it the api tells.
    let name = saga::name_in(&source);
    let file = (file != STANDARD_INPUT).then_some(file);
    let call = http
        .put(&["saga-definitions", name.as_str()])
        .text_body("application/yaml", source);
    let call = match file {
        Some(file) => call.of_file(file),
        None => call,
    };
    let defined = call.json().await?;
    if http.json {
        output::json(&defined)
    } else {
        told(&defined, file).iter().try_for_each(|line| output::line(line))
    }
}

/// Which version it is, and what may not be meant.
fn told(defined: &Value, file: Option<&str>) -> Vec<String> {
    let name = defined["name"].as_str().unwrap_or_default();
    let warnings = defined["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let warnings = warnings
        .iter()
        .map(|warning| format!("warning: {}", fault(warning, file)));
    warnings
        .chain([format!("{name} is version {}", defined["version"])])
        .collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_became_of_a_definition_is_told_with_the_place_of_each_warning() {
        let warning = json!({"pointer": "/states/A", "message": "may be stuck", "line": 4, "column": 3});
        let defined = json!({"name": "order", "version": 2, "warnings": [warning]});
        assert_eq!(
            told(&defined, Some("order.yaml")),
            ["warning: order.yaml:4:3: /states/A: may be stuck", "order is version 2"]
        );
    }
}
