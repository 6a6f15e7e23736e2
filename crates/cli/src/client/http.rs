//! Requests to the api, and its errors as a person wants to read them.

use std::fmt::{self, Write};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::timeout;

use super::Server;
use crate::output::{bounded, one_line};

/// Longer than one request waits for a task.
const TIMEOUT: Duration = Duration::from_secs(90);

/// How long an answer that goes on may be silent, and how long such an answer may be: the api says something every 15 s, and
/// ends it sooner than this.
const SILENCE: Duration = Duration::from_secs(60);
const LONGEST_STREAM: Duration = Duration::from_secs(24 * 60 * 60);

/// What is shown of an answer that is no problem document.
const ANSWER_SHOWN: usize = 500;

pub(super) struct Http {
    client: Client,
    url: Url,
    key: Option<HeaderValue>,
    pub(super) json: bool,
}

impl Http {
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let url = server.url();
        // Without the text itself, in which a password may stand.
        let url: Url = url.parse().context("--url (ORCHESTRATUM_URL) is no URL")?;
        if url.cannot_be_a_base() {
            bail!("--url (ORCHESTRATUM_URL) must begin with http:// or https://");
        }
        let key = server.key().map(|key| {
            let mut value = HeaderValue::try_from(format!("ApiKey {}", key.expose_secret()))
                .map_err(|_| anyhow!("the key has a character that no key has"))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Self {
            client: Client::builder().timeout(TIMEOUT).build()?,
            url,
            key: key.transpose()?,
            json: server.json,
        })
    }

    pub(super) fn get(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(super) fn post(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(super) fn put(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    pub(super) fn patch(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::PATCH, path)
    }

    pub(super) fn delete(&self, path: &[&str]) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// What lies beside `/api`.
    pub(super) fn post_beside(&self, path: &[&str]) -> Call<'_> {
        self.call_at(Method::POST, path)
    }

    /// `path` are the parts below `/api`.
    fn call(&self, method: Method, path: &[&str]) -> Call<'_> {
        self.call_at(method, &[&["api"], path].concat())
    }

    /// Each part is taken as it is: a slash in an id leads nowhere else.
    fn call_at(&self, method: Method, path: &[&str]) -> Call<'_> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .expect("checked when it was given")
            .pop_if_empty()
            .extend(path);
        let mut request = self.client.request(method, url);
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.clone());
        }
        Call {
            http: self,
            request,
            file: None,
        }
    }

    /// The address without what a person may have put into it to log in.
    fn place(&self) -> String {
        let mut url = self.url.clone();
        // Both are possible for whatever can be a base.
        let _ = (url.set_username(""), url.set_password(None));
        url.as_str().trim_end_matches('/').to_owned()
    }
}

/// A request that is not sent yet.
#[must_use = "nothing is sent until the answer is asked for"]
pub(super) struct Call<'a> {
    http: &'a Http,
    request: RequestBuilder,
    /// What is sent, as its author knows it.
    file: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub(super) fn query(mut self, parameters: &[(String, String)]) -> Self {
        self.request = self.request.query(parameters);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.request = self.request.header(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// A body that is no JSON, or is not to be changed.
    pub(super) fn text_body(mut self, content_type: &'static str, body: String) -> Self {
        self.request = self.request.header(CONTENT_TYPE, content_type).body(body);
        self
    }

    /// Places in what is sent are told as places in this file.
    pub(super) fn of_file(mut self, file: &'a str) -> Self {
        self.file = Some(file);
        self
    }

    /// The answer as JSON; `null` if it has no body.
    pub(super) async fn json(self) -> anyhow::Result<Value> {
        let text = self.text().await?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).context("the api did not answer JSON")
    }

    pub(super) async fn text(self) -> anyhow::Result<String> {
        self.answer().await?.text().await.context("the answer broke off")
    }

    /// An answer that goes on.
    pub(super) async fn stream(mut self) -> anyhow::Result<Incoming> {
        self.request = self.request.timeout(LONGEST_STREAM);
        let answer = timeout(TIMEOUT, self.answer()).await;
        let answer = answer.map_err(|_elapsed| anyhow!("the api did not answer within {} s", TIMEOUT.as_secs()))?;
        answer.map(Incoming)
    }

    async fn answer(self) -> anyhow::Result<Response> {
        let Self { http, request, file } = self;
        let response = request.send().await.map_err(|error| {
            let place = http.place();
            let says = if error.is_connect() {
                format!("there is no api at {place}: start one with `orchestratum dev`, or give --url")
            } else if error.is_timeout() {
                format!("the api at {place} did not answer within {} s", TIMEOUT.as_secs())
            } else {
                format!("the api at {place} could not be asked")
            };
            // Its own words repeat the address.
            anyhow::Error::new(error.without_url()).context(says)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_default();
        Err(Refused::of(status, &text, file).into())
    }
}

/// The api answered, and not with what was asked for.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    /// Of a problem document.
    code: Option<String>,
    says: String,
}

impl Refused {
    fn of(status: u16, text: &str, file: Option<&str>) -> Self {
        let problem: Option<Value> = serde_json::from_str(text).ok();
        let code = problem.as_ref().and_then(|problem| problem["code"].as_str());
        Self {
            status,
            code: code.map(str::to_owned),
            says: match &problem {
                Some(problem) => self::problem(status, problem, file),
                None => format!("the api answered {status}: {}", bounded(&one_line(text), ANSWER_SHOWN)),
            },
        }
    }

    /// Whether the api has no such call.
    pub(super) fn has_no_route(&self) -> bool {
        self.code.as_deref() == Some("route_not_found")
    }

    /// Whether the same may be answered a little later.
    pub(super) fn may_pass(&self) -> bool {
        self.status >= 500
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl std::error::Error for Refused {}

/// The pieces of an answer, as they come.
pub(super) struct Incoming(Response);

impl Incoming {
    /// `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<impl AsRef<[u8]> + use<>>> {
        match timeout(SILENCE, self.0.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(anyhow::Error::new(error.without_url()).context("the answer broke off")),
            Err(_elapsed) => bail!("the api said nothing for {} s", SILENCE.as_secs()),
        }
    }
}

/// A problem document (RFC 9457) as lines of text.
fn problem(status: u16, problem: &Value, file: Option<&str>) -> String {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = format!("{} ({status} {}):", field(problem, "title"), field(problem, "code"));
    let detail = field(problem, "detail");
    // It often is the first of them.
    if !errors
        .first()
        .is_some_and(|first| detail.ends_with(&field(first, "message")))
    {
        lines.push(' ');
        lines.push_str(&detail);
    }
    for error in errors {
        lines.push_str("\n  ");
        lines.push_str(&fault(error, file));
    }
    if status == 401 {
        lines.push_str("\n  Give a key with --key or ORCHESTRATUM_KEY.");
    }
    lines
}

fn field(value: &Value, name: &str) -> String {
    one_line(value[name].as_str().unwrap_or_default())
}

/// One thing that is wrong, or doubtful, in what was sent; with its place as editors and terminals find it, if it came from a file.
pub(super) fn fault(error: &Value, file: Option<&str>) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = match (error["line"].as_u64(), error["column"].as_u64(), file) {
        (Some(row), Some(column), Some(file)) => write!(line, "{}:{row}:{column}: ", one_line(file)),
        (Some(row), Some(column), None) => write!(line, "line {row}, column {column}: "),
        _ => Ok(()),
    };
    let pointer = field(error, "pointer");
    let pointer = if pointer.is_empty() { "the body" } else { &pointer };
    let _ = write!(line, "{pointer}: {}", field(error, "message"));
    if let Some(suggestion) = error["suggestion"].as_str() {
        let _ = write!(line, "; did you mean {}?", one_line(suggestion));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, text: &str) -> String {
        Refused::of(status, text, None).to_string()
    }

    #[test]
    fn a_fault_in_a_file_is_told_as_terminals_find_it() {
        let text = r#"{"title":"Invalid","code":"invalid_definition","detail":"2 faults","errors":[
            {"pointer":"/states","message":"is empty","line":3,"column":5},{"pointer":"","message":"must"}]}"#;
        let refused = Refused::of(422, text, Some("order.yaml"));
        assert_eq!(
            refused.to_string(),
            "Invalid (422 invalid_definition): 2 faults\n  order.yaml:3:5: /states: is empty\n  the body: must"
        );
        assert!(!refused.has_no_route());
        assert!(Refused::of(404, r#"{"code":"route_not_found"}"#, None).has_no_route());
    }

    #[test]
    fn a_problem_names_every_broken_rule() {
        let text = r#"{"title":"Invalid","code":"invalid","detail":"2 rules","errors":[{"pointer":"/name","message":"must"}]}"#;
        assert_eq!(told(422, text), "Invalid (422 invalid): 2 rules\n  /name: must");
        let text = r#"{"title":"Invalid","code":"invalid","detail":"1 rule","errors":[
            {"pointer":"/traget","message":"is no field","line":3,"column":5,"suggestion":"target"}]}"#;
        assert_eq!(
            told(422, text),
            "Invalid (422 invalid): 1 rule\n  line 3, column 5: /traget: is no field; did you mean target?"
        );
        let text = r#"{"title":"Invalid","code":"invalid","detail":"/name must","errors":[{"pointer":"/name","message":"must"}]}"#;
        assert_eq!(told(422, text), "Invalid (422 invalid):\n  /name: must");
        let text = r#"{"title":"Gone","code":"task_gone","detail":"it was deleted"}"#;
        assert_eq!(told(410, text), "Gone (410 task_gone): it was deleted");
        assert_eq!(told(502, "<html>\n"), r"the api answered 502: <html>\n");
    }

    #[test]
    fn an_id_is_one_part_of_the_path_and_a_password_is_not_shown() {
        // Another test of the same process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server {
            url: Some("http://user:secret@host:1/under/".to_owned()),
            ..Server::default()
        };
        let http = Http::new(&server).expect("a URL");
        let call = http.get(&["tasks", "a/../b?c"]);
        let request = call.request.build().expect("a request");
        assert_eq!(request.url().path(), "/under/api/tasks/a%2F..%2Fb%3Fc");
        assert_eq!(http.place(), "http://host:1/under");
    }
}
