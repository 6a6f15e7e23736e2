//! What every request goes through first and last: its id, its log line, its figures, and the body of its problem.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use orchestratum_core::{RequestId, TraceParent};
use orchestratum_engine::{identity, telemetry};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::auth::Authenticated;
use crate::extract::{REQUEST_ID, TRACEPARENT};
use crate::problem::{self, Code, Problem};

/// The outermost middleware.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let trace = traceparent(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id.to_str().unwrap_or_default();
    let span = tracing::info_span!(
        "request",
        request.id = id,
        key.id = Empty,
        task.id = Empty,
        saga.id = Empty
    );

    let response = run(request, next, span.clone()).await;
    let mut response = with_problem_body(response, id);

    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    span.in_scope(|| record(&method, route, &response, started.elapsed()));
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id.clone());
    if let Some(trace) = trace {
        headers.insert(TRACEPARENT, trace);
    }
    response
}

/// A request that nobody waits for any more ends with its client, but for a change that was begun: see
/// [`changes`](crate::changes). A panic becomes an answer, and the process goes on.
async fn run(request: Request, next: Next, span: Span) -> Response {
    let handler = tokio::spawn(next.run(request).instrument(span.clone()));
    AbortOnDropHandle::new(handler).await.unwrap_or_else(|error| {
        span.in_scope(|| tracing::error!(%error, "a request handler panicked"));
        Problem::new(Code::InternalError, "the failure is in the logs under the request id").into_response()
    })
}

/// Writes the body of a problem; an error status that came without one becomes one, so that no client ever has to read
/// two forms of errors.
fn with_problem_body(response: Response, request_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions().get::<Arc<Problem>>().cloned();
    let problem = match problem {
        Some(problem) => problem,
        // An answer that is no fault though its status says so, such as that of /health/ready.
        None if response.headers().contains_key(header::CONTENT_TYPE) && status.is_server_error() => return response,
        None => Arc::new(problem::of_status(status)),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    Response::from_parts(parts, Body::from(problem.to_body(request_id)))
}

fn record(method: &Method, route: &str, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    let code = response
        .extensions()
        .get::<Arc<Problem>>()
        .map(|problem| problem.code().as_str());
    let method = known_method(method);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                http.method = method,
                http.route = route,
                http.status = status,
                code,
                duration_ms = telemetry::milliseconds(took),
                "request answered"
            )
        };
    }
    // Anyone may send requests without a key, as many as they like: the log must not grow with them, the figures do not.
    // What goes wrong here is told of, whoever met it.
    let failed = code.is_some() && response.status().is_server_error();
    if failed || response.extensions().get::<Authenticated>().is_some() {
        line!(info);
    } else {
        line!(debug);
    }
    let route = Arc::<str>::from(route);
    metrics::counter!(
        "orchestratum_http_requests_total",
        "method" => method, "route" => Arc::clone(&route), "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("orchestratum_http_request_duration_seconds", "method" => method, "route" => route)
        .record(took.as_secs_f64());
}

/// Anyone may invent methods, and long ones: neither the figures nor the log must grow with them.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "PUT" => "PUT",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The caller's own id if it is a plain one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(REQUEST_ID)
        .filter(|value| value.to_str().is_ok_and(RequestId::is_valid));
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&identity::new_request_id().to_string()).expect("a UUID is visible ASCII")
    })
}

/// A well-formed `traceparent` (W3C Trace Context) is answered, so that a caller sees that its trace was taken up.
fn traceparent(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(TRACEPARENT)?;
    value.to_str().is_ok_and(TraceParent::is_valid).then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a header value"))])
    }

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_is_replaced() {
        assert_eq!(request_id(&headers(REQUEST_ID, "abc-1")), "abc-1");
        for bad in ["a b", "", &"x".repeat(129)] {
            assert_ne!(request_id(&headers(REQUEST_ID, bad)), bad);
        }
    }

    #[test]
    fn only_a_well_formed_traceparent_is_answered() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&headers(TRACEPARENT, good)).expect("well-formed"), good);
        for bad in [
            "",
            "00-0af7-b7ad6b7169203331-01",
            &good.to_uppercase(),
            &format!("{good}-x"),
            &good.replace('0', "g"),
        ] {
            assert!(traceparent(&headers(TRACEPARENT, bad)).is_none(), "{bad}");
        }
    }
}
