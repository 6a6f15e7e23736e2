//! Cloning and pushing: git's protocol over HTTP, answered by `git upload-pack` and `git receive-pack`. The password is a token, as at
//! GitLab: any may clone, and those that may write may push.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, request};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::PROJECT;
use super::users::{self, User};

/// What git asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    fn of(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    fn is_allowed(self, user: User, is_read_only: bool) -> bool {
        self == Self::UploadPack || (user.may_push && !is_read_only)
    }

    /// The first lines of what is advertised: a length, and the service.
    fn greeting(self) -> Vec<u8> {
        let line = format!("# service=git-{}\n", self.command());
        format!("{:04x}{line}0000", line.len() + 4).into_bytes()
    }
}

pub(super) async fn answer(folder: &Path, head: &request::Parts, body: &Bytes) -> Response {
    let path = head.uri.path().trim_start_matches('/');
    let Some(rest) = path.strip_prefix(PROJECT).and_then(|rest| rest.strip_prefix(".git/")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some((user, is_read_only)) = who(&head.headers) else {
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"GitLab\"")]).into_response();
    };
    let asked = match (&head.method, rest, head.uri.query()) {
        (&Method::GET, "info/refs", Some(query)) => query.strip_prefix("service=").and_then(Service::of),
        (&Method::POST, name, _) => Service::of(name),
        _ => None,
    };
    let Some(service) = asked.filter(|service| service.is_allowed(user, is_read_only)) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let command = service.command();
    let served = if head.method == Method::GET {
        let refs = run(folder, service, &["--http-backend-info-refs"], &[]).await;
        let content = refs.map(|refs| [service.greeting(), refs].concat());
        content.map(|content| (format!("application/x-git-{command}-advertisement"), content))
    } else {
        let Ok(asked) = plain(&head.headers, body) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let content = run(folder, service, &[], &asked).await;
        content.map(|content| (format!("application/x-git-{command}-result"), content))
    };
    match served {
        Ok((kind, content)) => ([(CONTENT_TYPE, kind)], content).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn run(folder: &Path, service: Service, arguments: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("git");
    // A worker takes the commit that it was told, also where the branch has moved on.
    command.args(["-c", "uploadpack.allowAnySHA1InWant=true"]);
    command
        .args([service.command(), "--stateless-rpc"])
        .args(arguments)
        .arg(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).await?;
    }
    Ok(child.wait_with_output().await?.stdout)
}

/// Git packs what it asks for when that is long.
fn plain(headers: &HeaderMap, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip") {
        GzDecoder::new(body).read_to_end(&mut plain)?;
    } else {
        plain.extend_from_slice(body);
    }
    Ok(plain)
}

/// Whose token the password is, and whether it is only for reading.
fn who(headers: &HeaderMap) -> Option<(User, bool)> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let basic = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (_, password) = basic.split_once(':')?;
    users::of_token(password)
}
