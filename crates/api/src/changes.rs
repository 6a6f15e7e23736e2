//! Requests that change something: what was begun runs to its end, even if the client hangs up, so that nothing is cut
//! off in the middle with the database.
//!
//! Nobody may pile up such work by hanging up. So it begins only for a caller whose key was accepted and whose body has
//! arrived, it is no more at a time than there may be connections, and it does not wait for anything on behalf of a
//! client that has gone. Until it begins, a request ends with its client, as every read does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use orchestratum_engine::ApiSettings;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::held::{Budget, Share};
use crate::problem::{Code, Problem, Result};

/// The most that the body of a call may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit {
    pub(crate) bytes: usize,
    /// What else there is for those who need more.
    pub(crate) remedy: Option<&'static str>,
}

impl From<usize> for BodyLimit {
    fn from(bytes: usize) -> Self {
        Self { bytes, remedy: None }
    }
}

/// What all of them share.
#[derive(Debug, Clone)]
pub(crate) struct Changes {
    places: Arc<Semaphore>,
    bodies: Budget,
    body_timeout: Duration,
}

impl Changes {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        let places = settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            bodies: Budget::new(settings.bodies_max_bytes),
            body_timeout: Duration::from_secs_f64(settings.body_timeout_seconds),
        }
    }
}

/// The whole body of a request that changes something.
#[derive(Debug, Clone)]
pub(crate) struct Content(pub(crate) Bytes);

/// What a change knows of itself and of its client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Begun {
    gone: CancellationToken,
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Begun {
    /// Completes when the client has hung up. Whoever waits on its behalf does not go on without it, and so needs no place.
    pub(crate) async fn client_gone(&self) {
        self.place.lock().take();
        self.gone.cancelled().await;
    }
}

impl<S: Sync> FromRequestParts<S> for Begun {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // A read ends with its client: nobody need tell it.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Stands behind the authentication of every route. A request that only reads passes as it is.
pub(crate) async fn complete(
    State((changes, limit)): State<(Changes, BodyLimit)>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    if let Err(problem) = check_encoding(&parts.headers) {
        return problem.into_response();
    }
    let content = match read(&parts.headers, body, limit, &changes).await {
        Ok(content) => content,
        Err(problem) => return problem.into_response(),
    };
    let Ok(place) = Arc::clone(&changes.places).try_acquire_owned() else {
        return Problem::new(
            Code::Overloaded,
            "too many requests that change something are under way",
        )
        .into_response();
    };
    let begun = Begun {
        gone: CancellationToken::new(),
        place: Arc::new(Mutex::new(Some(place))),
    };
    parts.extensions.insert(Content(content));
    parts.extensions.insert(begun.clone());
    let _tells = begun.gone.clone().drop_guard();
    let answering = next.run(Request::from_parts(parts, Body::empty()));
    let change = async move {
        let _place = begun.place;
        answering.await
    };
    let change = tokio::spawn(change.in_current_span());
    match change.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(response) => response,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_cancelled)) => Problem::new(Code::Stopping, "the process is stopping").into_response(),
    }
}

/// What a body unpacks to has no bound that is known before.
fn check_encoding(headers: &HeaderMap) -> Result<()> {
    const IDENTITY: &str = "identity";
    let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
    let is_identity = |value: &&HeaderValue| value.as_bytes().eq_ignore_ascii_case(IDENTITY.as_bytes());
    match given.find(|value| !is_identity(value)) {
        None => Ok(()),
        Some(other) => {
            let detail = format!(
                "the body must not be compressed: its content encoding must be {IDENTITY}, not {}",
                String::from_utf8_lossy(other.as_bytes())
            );
            Err(Problem::new(Code::UnsupportedMediaType, detail)
                .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY)))
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: BodyLimit, changes: &Changes) -> Result<Bytes> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit.bytes) {
        return Err(too_large(limit));
    }
    let patience = changes.body_timeout;
    let collected = collect(body, announced.unwrap_or(0), limit, changes.bodies.share());
    timeout(patience, collected).await.unwrap_or_else(|_elapsed| {
        Err(Problem::new(
            Code::RequestTimeout,
            format!("the body must arrive within {} s", patience.as_secs_f64()),
        ))
    })
}

/// Counted as it comes, and not as it is announced: who announces much and sends nothing takes nothing from others.
async fn collect(mut body: Body, announced: usize, limit: BodyLimit, mut share: Share) -> Result<Bytes> {
    // Memory that nothing was written to yet is only promised.
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::BadRequest, "the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else {
            // Trailers say nothing that is read here.
            continue;
        };
        if whole.len() + data.len() > limit.bytes {
            return Err(too_large(limit));
        }
        share.grow(data.len()).await?;
        // A copy, because a small frame would keep the whole buffer of its connection.
        whole.extend_from_slice(&data);
    }
    Ok(share.count(whole.freeze()))
}

fn too_large(limit: BodyLimit) -> Problem {
    let rule = format!("the body must not be larger than {} bytes", limit.bytes);
    let detail = match limit.remedy {
        Some(remedy) => format!("{rule}; {remedy}"),
        None => rule,
    };
    Problem::new(Code::BodyTooLarge, detail)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{Method, StatusCode};
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    #[derive(Default)]
    struct Work {
        begun: Notify,
        let_go: Notify,
    }

    /// Works until it is let go, and then waits for its client.
    async fn work(State(work): State<Arc<Work>>, begun: Begun) -> StatusCode {
        work.begun.notify_one();
        work.let_go.notified().await;
        begun.client_gone().await;
        StatusCode::OK
    }

    #[tokio::test]
    async fn a_change_has_a_place_until_it_only_waits_for_its_client() {
        let changes = Changes {
            places: Arc::new(Semaphore::new(1)),
            bodies: Budget::new(1_000),
            body_timeout: Duration::from_secs(10),
        };
        let shared = Arc::new(Work::default());
        let router = Router::new()
            .route("/", post(work))
            .layer(from_fn_with_state((changes.clone(), BodyLimit::from(1_000)), complete))
            .with_state(Arc::clone(&shared));
        let change = || {
            let request = Request::builder().method(Method::POST).uri("/").body(Body::empty());
            router.clone().oneshot(request.expect("a request"))
        };
        let first = tokio::spawn(change());
        shared.begun.notified().await;
        let refused = change().await.expect("a router always answers");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        shared.let_go.notify_one();
        while changes.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!first.is_finished(), "it waits");
        first.abort();
    }
}
