//! Rules over the manifests and the compose file.

use std::path::Path;

use anyhow::Result;

use super::{Findings, Project};

pub(super) fn every_crate_takes_the_lints_of_the_workspace(project: &Project) -> Result<Findings> {
    let mut findings = Vec::new();
    for folder in project
        .metadata
        .members()
        .filter_map(|package| package.folder.as_deref())
    {
        let manifest = Path::new(folder).join("Cargo.toml");
        if !project
            .text(&manifest.to_string_lossy())?
            .contains("[lints]\nworkspace = true")
        {
            findings.push(format!(
                "{} lacks `[lints]` with `workspace = true`",
                manifest.display()
            ));
        }
    }
    Ok(findings)
}

/// The logins in it are known to everybody: whatever it publishes must stay on the machine.
pub(super) fn the_compose_file_publishes_on_loopback_only(project: &Project) -> Result<Findings> {
    let compose = project.text("docker-compose.yml")?;
    let published = published_ports(compose);
    let mut findings: Vec<String> = published
        .iter()
        .filter(|port| !port.starts_with("127.0.0.1:"))
        .map(|port| format!("docker-compose.yml publishes {port} beyond 127.0.0.1"))
        .collect();
    if published.is_empty() {
        findings.push("docker-compose.yml publishes nothing in the form `- \"127.0.0.1:PORT:PORT\"`".to_owned());
    }
    Ok(findings)
}

fn published_ports(compose: &str) -> Vec<&str> {
    let mut ports = Vec::new();
    let mut listed = false;
    for line in compose.lines().map(str::trim) {
        if line.ends_with(':') {
            listed = line == "ports:";
        } else if let Some(port) = line.strip_prefix("- ").filter(|_| listed) {
            ports.push(port.trim_matches('"'));
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_entries_of_a_list_of_ports_are_published() {
        let compose =
            "a:\n  ports:\n    - \"127.0.0.1:1:1\"\n    - \"80:80\"\n  volumes:\n    - data:/data\n  restart: always\n";
        assert_eq!(published_ports(compose), ["127.0.0.1:1:1", "80:80"]);
    }
}
