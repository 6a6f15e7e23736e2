//! Following what a task writes to its end, over as many connections as that takes.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::http::{Http, Refused};
use super::events::{Event, Events};
use super::wait::UNSUCCESSFUL;
use crate::output;

pub(super) const EXIT_STATUS: &str = "Exit status with --follow: 0 if the attempt that came last, or that of --attempt, \
    was a Success; 3 if it ended in another way. Always: 1 for any other failure, 2 for a wrong command line.";

/// How long the api may be away.
const PATIENCE: Duration = Duration::from_secs(60);

const COME_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn to_the_end(http: &Http, id: &str, query: &[(String, String)]) -> anyhow::Result<ExitCode> {
    // Nobody was there yet: what is wrong then is wrong with the command.
    let path = ["tasks", id, "logs"];
    let mut events = connect(http, &path, query, None).await?;
    let mut reader = Reader::new(http.json);
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                if let Some(status) = reader.take(event)? {
                    return Ok(status);
                }
            }
            // The api ends every stream one day, and when it stops; or the connection broke.
            Ok(None) | Err(_) => events = connect_again(http, &path, query, reader.last_id.as_deref()).await?,
        }
    }
}

pub(in crate::client) async fn connect(
    http: &Http,
    path: &[&str],
    query: &[(String, String)],
    last_id: Option<&str>,
) -> anyhow::Result<Events> {
    let call = http.get(path).query(query);
    let call = call.header("accept", Some("text/event-stream"));
    let incoming = call.header("last-event-id", last_id).stream().await?;
    Ok(Events::new(incoming))
}

/// The same, after the api ended the answer, or was away.
pub(in crate::client) async fn connect_again(
    http: &Http,
    path: &[&str],
    query: &[(String, String)],
    last_id: Option<&str>,
) -> anyhow::Result<Events> {
    let since = Instant::now();
    loop {
        sleep(COME_AGAIN_AFTER).await;
        match connect(http, path, query, last_id).await {
            Ok(events) => return Ok(events),
            Err(error) => {
                let for_good = error
                    .downcast_ref::<Refused>()
                    .is_some_and(|refused| !refused.may_pass());
                if for_good || since.elapsed() >= PATIENCE {
                    return Err(error);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Reader {
    /// Shows the data of each event, on a line of its own.
    json: bool,
    /// Of the last event that was shown.
    last_id: Option<String>,
    /// Likewise.
    attempt: Option<u64>,
    within_a_line: bool,
}

impl Reader {
    fn new(json: bool) -> Self {
        Self {
            json,
            ..Self::default()
        }
    }

    /// The attempt that a part is of, where what was shown before is of another one.
    fn next_attempt(&mut self, data: &Value) -> Option<u64> {
        let attempt = data["attempt"].as_u64()?;
        let before = self.attempt.replace(attempt)?;
        (before != attempt).then_some(attempt)
    }

    /// Shows an event. The exit status, if it was the last.
    fn take(&mut self, event: Event) -> anyhow::Result<Option<ExitCode>> {
        let data: Value = serde_json::from_str(&event.data).context("the api sent an event that is not JSON")?;
        match event.name.as_str() {
            "log" => {
                if !self.show(&data)? {
                    return Ok(Some(ExitCode::SUCCESS));
                }
                self.last_id = event.id.or(self.last_id.take());
                Ok(None)
            }
            "end" => {
                if self.json {
                    output::line(&data.to_string())?;
                }
                output::end(self.within_a_line)?;
                let went_well = data["outcome"] == "Success";
                Ok(Some(ExitCode::from(if went_well { 0 } else { UNSUCCESSFUL })))
            }
            // Of a newer api.
            _ => Ok(None),
        }
    }

    /// Shows a part of a log; `false` if nobody reads any more.
    fn show(&mut self, data: &Value) -> anyhow::Result<bool> {
        if self.json {
            return output::part(&format!("{data}\n"));
        }
        if let Some(attempt) = self.next_attempt(data) {
            output::end(self.within_a_line)?;
            // Not among what the task wrote: it would be a line of that to whoever reads it.
            let _ = writeln!(io::stderr(), "--- attempt {attempt} ---");
        }
        let text = data["text"].as_str().unwrap_or_default();
        self.within_a_line = !text.ends_with('\n');
        output::part(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attempt_is_told_where_it_comes_after_another_one() {
        let mut reader = Reader::default();
        let told = [3, 3, 4, 4, 6].map(|attempt| reader.next_attempt(&json!({"attempt": attempt})));
        assert_eq!(told, [None, None, Some(4), None, Some(6)]);
        assert_eq!(reader.next_attempt(&json!({"text": "of a newer api"})), None);
    }
}
