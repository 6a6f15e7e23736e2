//! The router: the calls, the documents, and what surrounds them.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::get;
use orchestratum_engine::{Engine, telemetry};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::held::{self, Budget};
use crate::observe::observe;
use crate::{pages, routes};

/// A page of tasks shrinks to a tenth; a single one is not worth the time.
const COMPRESSED_FROM_BYTES: u64 = 4_096;

/// The whole interface over an engine.
pub fn router(engine: Engine) -> Router {
    // Before the first request, so that no figure is lost.
    telemetry::metrics();
    let settings = &engine.settings().api;
    let (calls, document) = routes::all(&engine).split_for_parts();
    let swagger = Config::default().persist_authorization(true).try_it_out_enabled(true);
    let swagger = Router::new().merge(
        SwaggerUi::new("/swagger")
            .url("/api-docs/openapi.json", document)
            .config(swagger),
    );
    Router::new()
        .merge(calls)
        .route("/", get(front_page))
        .route("/docs/{name}", get(pages::document))
        .route("/docs/errors/{name}", get(pages::error))
        // The page keeps a key and acts with it: no other page may show it in a frame and guide the clicks.
        .merge(swagger.layer(SetResponseHeaderLayer::overriding(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("frame-ancestors 'none'"),
        )))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(from_fn_with_state(
            (
                Budget::new(settings.answers_max_bytes),
                Duration::from_secs_f64(settings.write_timeout_seconds),
            ),
            held::count_answer,
        ))
        // An event must not wait until there is enough to be compressed.
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_FROM_BYTES).and(NotForContentType::SSE)))
        .layer(from_fn(observe))
        .with_state(engine)
}

/// Whoever opens the bare address wants to see what is here. Not a permanent redirect: browsers keep those for ever, and
/// a page of its own may be here one day.
async fn front_page() -> Redirect {
    Redirect::to("/swagger/")
}
