//! One request and its answer, within their bounds.

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};

use super::{Answer, Request, retry_after};
use crate::{Client, Problem, Said};

/// Of an answer that says why something is not done, no more is read.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

impl Client {
    /// Anything but a 2xx is a problem.
    pub(crate) async fn once(&self, request: &Request, deadline: Instant) -> Result<Answer, Problem> {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.min(self.limits.request_patience);
        let begun = Instant::now();
        let result = match timeout(patience, self.exchange(request)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Problem::TimedOut { after: patience }),
        };
        tracing::debug!(
            http.method = %request.method,
            http.path = request.url(&self.base).path(),
            duration_ms = begun.elapsed().as_secs_f64() * 1_000.0,
            problem = result.as_ref().err().map(tracing::field::display),
            "asked GitLab"
        );
        result
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Problem> {
        let mut outgoing = self
            .http
            .request(request.method.clone(), request.url(&self.base))
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = &request.body {
            outgoing = outgoing.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut response = outgoing.send().await.map_err(|error| {
            let error = error.without_url();
            if error.is_connect() {
                Problem::Unreachable(error)
            } else {
                Problem::BrokenOff(error)
            }
        })?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        if status.is_success() {
            let max_bytes = self.limits.answer_max_bytes;
            return match body(response, max_bytes).await? {
                (body, false) => Ok(Answer { headers, body }),
                (_, true) => Err(Problem::AnswerTooLarge { max_bytes }),
            };
        }
        // What was said helps, and the status says enough without it.
        let body = body(response, REFUSAL_MAX_BYTES)
            .await
            .map_or_else(|_| Bytes::new(), |(body, _)| body);
        let said = Said::new(status, &body, self.token.expose_secret());
        Err(problem(status, &headers, said))
    }
}

/// As much as is allowed, and whether there is more.
async fn body(mut response: Response, max_bytes: usize) -> Result<(Bytes, bool), Problem> {
    let mut read = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Problem::BrokenOff(error.without_url()))?
    {
        if read.len() + chunk.len() > max_bytes {
            read.extend_from_slice(&chunk[..max_bytes - read.len()]);
            return Ok((read.freeze(), true));
        }
        read.extend_from_slice(&chunk);
    }
    Ok((read.freeze(), false))
}

fn problem(status: StatusCode, headers: &HeaderMap, said: Said) -> Problem {
    let retry_after = retry_after::read(headers);
    match status {
        StatusCode::UNAUTHORIZED => Problem::Unauthorized(said),
        StatusCode::FORBIDDEN => Problem::Forbidden(said),
        StatusCode::NOT_FOUND => Problem::NotFound(said),
        StatusCode::TOO_MANY_REQUESTS => Problem::Limited { said, retry_after },
        // A proxy that gave up waiting, for us or for GitLab.
        StatusCode::REQUEST_TIMEOUT => Problem::Unavailable { said, retry_after },
        // With its hour, where GitLab is being maintained.
        _ if status.is_server_error() => Problem::Unavailable { said, retry_after },
        _ if status.is_redirection() => Problem::Moved(said),
        _ => Problem::Refused(said),
    }
}
