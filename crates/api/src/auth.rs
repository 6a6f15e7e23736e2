//! Who may call what.
//!
//! A route is reachable only through [`Routes`](crate::routes::Routes), which puts [`require`] with the route's scope in
//! front of it: there is no way for a handler to leave it out.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use orchestratum_engine::Engine;
use orchestratum_engine::keys::{AuthenticationError, Identity, Scope};
use tracing::Span;

use crate::problem::{Code, Problem, Result};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets a request pass if its key has one of the scopes.
pub(crate) async fn require(
    State((engine, scopes)): State<(Engine, Arc<[Scope]>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let identity = match authenticate(&engine, request.headers()).await {
        Ok(identity) => identity,
        Err(problem) => return problem.into_response(),
    };
    Span::current().record("key.id", identity.key_id.as_str());
    let mut response = if scopes.iter().any(|scope| identity.may(*scope)) {
        request.extensions_mut().insert(Arc::new(identity));
        next.run(request).await
    } else {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let detail = format!("this call needs the scope {}", scopes.join(" or "));
        Problem::new(Code::MissingScope, detail).into_response()
    };
    // What a key opened must not be kept on the way for others: caches know of Authorization, not of X-API-Key.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Authenticated);
    response
}

/// Marks the answer to a caller whose key was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authenticated;

async fn authenticate(engine: &Engine, headers: &HeaderMap) -> Result<Identity> {
    let key = key_of(headers).ok_or_else(|| {
        unauthenticated(if headers.contains_key(header::AUTHORIZATION) {
            "the header Authorization has no key in the scheme ApiKey"
        } else {
            "the request has no API key"
        })
    })?;
    engine.authenticate(key).await.map_err(|error| match error {
        AuthenticationError::Refused => unauthenticated("the API key is wrong, expired or revoked"),
        AuthenticationError::Unavailable(error) => Problem::from(error),
    })
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(
        Code::Unauthenticated,
        format!("{detail}: send Authorization: ApiKey <key>, or X-API-Key: <key>"),
    )
    .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"))
}

fn key_of(headers: &HeaderMap) -> Option<&str> {
    let from_scheme = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("ApiKey"))
        .map(|(_, key)| key.trim());
    from_scheme.or_else(|| headers.get(X_API_KEY).and_then(|value| value.to_str().ok()))
}

/// The caller of a protected route.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Identity>);

impl Caller {
    /// Whom the audit names.
    pub(crate) fn actor(&self) -> String {
        self.0.key_id.clone()
    }

    /// For what goes on after the request.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let identity = parts.extensions.get::<Arc<Identity>>().cloned();
        // Only a route that was registered as open lacks it, and such a route has no business with a caller.
        identity
            .map(Self)
            .ok_or_else(|| unauthenticated("this call needs an API key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_either_header() {
        let with =
            |name: HeaderName, value: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        assert_eq!(key_of(&with(header::AUTHORIZATION, "apikey  secret")), Some("secret"));
        assert_eq!(key_of(&with(X_API_KEY, "secret")), Some("secret"));
        assert_eq!(key_of(&with(header::AUTHORIZATION, "Basic c2VjcmV0")), None);
        let mut both = with(header::AUTHORIZATION, "Basic c2VjcmV0");
        both.insert(X_API_KEY, HeaderValue::from_static("secret"));
        assert_eq!(key_of(&both), Some("secret"));
    }
}
