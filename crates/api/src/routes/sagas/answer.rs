//! The answers of calls on one saga.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::SagaId;
use orchestratum_engine::sagas::Raised;
use orchestratum_engine::{Engine, Error};
use orchestratum_store::Saga;

use super::document::{SagaDocument, document};
use crate::changes::Begun;
use crate::extract::{IDEMPOTENT_REPLAY, IfMatch, Wait};
use crate::problem::Result;

/// The saga with its version as the `ETag`.
pub(super) async fn answer(engine: &Engine, status: StatusCode, saga: Saga) -> Result<Response> {
    Ok(with_etag(status, document(engine, saga).await?))
}

/// The same, with what is due.
pub(super) async fn answer_in_full(engine: &Engine, saga: Saga) -> Result<Response> {
    let details = engine.saga_in_full(saga).await?;
    Ok(with_etag(StatusCode::OK, details.into()))
}

fn with_etag(status: StatusCode, document: SagaDocument) -> Response {
    let etag = [(header::ETAG, document.etag())];
    (status, etag, Json(document)).into_response()
}

/// The saga after what was brought to it; and after the wait, if its caller wants to.
pub(super) async fn raised(engine: &Engine, raised: Raised, held: Option<(Wait, &Begun)>) -> Result<Response> {
    let (saga, replayed) = match raised {
        Raised::Taken(saga) => (saga, false),
        Raised::Repeated(saga) => (saga, true),
    };
    let saga = match held {
        Some((wait, begun)) => settled(engine, saga, wait, begun).await,
        None => saga,
    };
    let mut response = answer(engine, StatusCode::OK, saga).await?;
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAY, HeaderValue::from_static("true"));
    }
    if let Some((wait, _)) = held {
        wait.note(response.headers_mut());
    }
    Ok(response)
}

/// The saga when it waits for somebody or is over, as far as the caller has patience, and is still there. What was asked for is
/// done: if it cannot be read again, it is as it was then.
pub(super) async fn settled(engine: &Engine, saga: Saga, wait: Wait, begun: &Begun) -> Saga {
    let Some(patience) = wait.patience else { return saga };
    tokio::select! {
        waited = engine.wait_for_saga(saga.id, patience) => waited.unwrap_or(saga),
        () = begun.client_gone() => saga,
    }
}

/// The version of which `If-Match` says that it is the only one to be changed.
pub(super) async fn expected_version(engine: &Engine, saga: SagaId, if_match: &IfMatch) -> Result<Option<u64>> {
    let allowed = match if_match {
        IfMatch::Any => return Ok(None),
        IfMatch::Versions(allowed) => allowed,
    };
    if let [only] = allowed.as_slice() {
        return Ok(Some(*only));
    }
    let current = engine.saga(saga).await?.instance.version;
    if allowed.contains(&current) {
        return Ok(Some(current));
    }
    let expected = allowed.clone();
    Err(Error::SagaVersionMismatch {
        saga,
        expected,
        current,
    }
    .into())
}

impl SagaDocument {
    pub(super) fn etag(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("\"{}\"", self.version())).expect("digits are visible ASCII")
    }
}
