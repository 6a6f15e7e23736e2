//! The OpenAPI document, but for what stands at each route.

use orchestratum_engine::keys::Scope;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, Ref};

use crate::problem;

const KEY_HEADER: &str = "ApiKey";
const AUTHORIZATION: &str = "Authorization";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Orchestratum",
        description = "Hand over tasks; workers run them under a time-to-live.\n\n\
            Every error is a problem document (RFC 9457) with a stable `code`; `/docs/errors/<code>` explains each.\n\n\
            What the input of a built-in task has, and how tasks end, is at `/docs/tasks.md`; how programs are isolated at \
            `/docs/sandbox.md`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "tasks", description = "Create, watch, change and end tasks"),
        (name = "schedules", description = "Tasks that come by the clock"),
        (name = "groups", description = "Many tasks, and one that comes after them"),
        (name = "sagas", description = "State machines that the server runs, with what undoes each step"),
        (name = "gitlab", description = "Issues, geometries and merge requests of a GitLab: `/docs/gitlab.md`"),
        (name = "workers", description = "Who runs them"),
        (name = "worker", description = "Run them yourself, in any language: `/docs/http-workers.md`"),
        (name = "queues", description = "What waits where"),
        (name = "keys", description = "API keys"),
        (name = "operations", description = "Health and figures"),
    ),
    components(schemas(problem::Document)),
)]
struct Base;

/// Info, tags and how to authenticate.
pub(crate) fn base() -> openapi::OpenApi {
    let mut document = Base::openapi();
    let components = document.components.get_or_insert_default();
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    components.add_security_scheme(KEY_HEADER, header("X-API-Key", "The key alone: `orch_…`"));
    components.add_security_scheme(
        AUTHORIZATION,
        header(
            "Authorization",
            "The word `ApiKey`, a space, and the key: `ApiKey orch_…`",
        ),
    );
    document
}

/// Adds to a route what its scope implies.
/// Any of the scopes opens them; with none they are open.
pub(crate) fn describe(paths: &mut Paths, scopes: &[Scope]) {
    for item in paths.paths.values_mut() {
        for operation in operations(item) {
            describe_operation(operation, scopes);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

fn describe_operation(operation: &mut Operation, scopes: &[Scope]) {
    let problem = |description: &str| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        ResponseBuilder::new()
            .description(description)
            .content(problem::CONTENT_TYPE, content)
            .build()
    };
    if scopes.is_empty() {
        // An empty list overrides a document-wide requirement: tools then know that no key is needed.
        operation.security = Some(Vec::new());
        return;
    }
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    let scopes = scopes.join(" or ");
    let none: [&str; 0] = [];
    operation.security = Some(vec![
        SecurityRequirement::new(KEY_HEADER, none),
        SecurityRequirement::new(AUTHORIZATION, none),
    ]);
    let note = format!("Needs the scope {scopes}.");
    operation.description = Some(match operation.description.take() {
        Some(text) => format!("{text}\n\n{note}"),
        None => note,
    });
    let responses = &mut operation.responses.responses;
    responses.insert("401".to_owned(), problem("No valid API key").into());
    // Where a call has reasons of its own they are told with this one.
    responses
        .entry("403".to_owned())
        .or_insert_with(|| problem(&format!("The API key lacks the scope {scopes}")).into());
    responses.insert("default".to_owned(), problem("Any other fault").into());
}
