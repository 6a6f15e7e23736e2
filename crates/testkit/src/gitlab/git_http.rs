//! Cloning: git's protocol over HTTP, answered by `git upload-pack`. Whoever has a token may; it is the password, as at GitLab.

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

use super::{PROJECT, users};

pub(super) async fn answer(folder: &Path, head: &request::Parts, body: &Bytes) -> Response {
    let path = head.uri.path().trim_start_matches('/');
    let Some(rest) = path.strip_prefix(PROJECT).and_then(|rest| rest.strip_prefix(".git/")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !may_read(&head.headers) {
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"GitLab\"")]).into_response();
    }
    let served = match (&head.method, rest, head.uri.query()) {
        (&Method::GET, "info/refs", Some("service=git-upload-pack")) => advertise(folder).await,
        (&Method::POST, "git-upload-pack", _) => {
            let kind = "application/x-git-upload-pack-result";
            match plain(&head.headers, body) {
                Ok(asked) => upload_pack(folder, &[], &asked).await.map(|pack| (kind, pack)),
                Err(_) => return StatusCode::BAD_REQUEST.into_response(),
            }
        }
        _ => return StatusCode::FORBIDDEN.into_response(),
    };
    match served {
        Ok((kind, content)) => ([(CONTENT_TYPE, kind)], content).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn advertise(folder: &Path) -> anyhow::Result<(&'static str, Vec<u8>)> {
    let mut content = b"001e# service=git-upload-pack\n0000".to_vec();
    content.extend(upload_pack(folder, &["--http-backend-info-refs"], &[]).await?);
    Ok(("application/x-git-upload-pack-advertisement", content))
}

async fn upload_pack(folder: &Path, arguments: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("git");
    // A worker takes the commit that it was told, also where the branch has moved on.
    command.args([
        "-c",
        "uploadpack.allowAnySHA1InWant=true",
        "upload-pack",
        "--stateless-rpc",
    ]);
    command.args(arguments).arg(folder);
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

fn may_read(headers: &HeaderMap) -> bool {
    let basic = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok());
    let Some(basic) = basic else { return false };
    let text = String::from_utf8_lossy(&basic).into_owned();
    text.split_once(':')
        .is_some_and(|(_, password)| users::of_token(password).is_some())
}
