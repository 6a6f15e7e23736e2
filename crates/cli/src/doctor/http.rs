//! What `http` tasks of a worker here could reach.

use orchestratum_engine::HttpSettings;
use orchestratum_worker::machine;

use super::report::Report;

pub(super) fn check(settings: &HttpSettings, report: &mut Report) -> anyhow::Result<()> {
    const PART: &str = "http";
    if !settings.enabled {
        return report.ok(PART, "not offered: worker.http.enabled is false");
    }
    let ports: Vec<String> = settings.ports.iter().map(ToString::to_string).collect();
    let allowed = match settings.allow.len() {
        0 => String::new(),
        several => format!(", and what the {several} of worker.http.allow name"),
    };
    let says = format!("to public addresses, ports {}{allowed}", ports.join(", "));
    match machine::root_certificates() {
        Ok(_) => report.ok(PART, says),
        Err(reason) => report.warning(PART, format!("{says}; none by https: {reason}")),
    }
}
