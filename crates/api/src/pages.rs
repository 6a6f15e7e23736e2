//! The documents that answers and errors of tasks refer to: whoever has only the API can read them here.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::problem::{self, Code};

const ERRORS: &str = include_str!("../../../docs/errors/README.md");
const TASKS: &str = include_str!("../../../docs/tasks.md");
const GITLAB: &str = include_str!("../../../docs/gitlab.md");
const HTTP_WORKERS: &str = include_str!("../../../docs/http-workers.md");
const SANDBOX: &str = include_str!("../../../docs/sandbox.md");

/// `/docs/tasks` as well as `/docs/tasks.md`, which links between the pages lead to.
pub(crate) async fn document(Path(name): Path<String>) -> Response {
    match without_ending(&name) {
        "tasks" => page(TASKS),
        "sandbox" => page(SANDBOX),
        "gitlab" => page(GITLAB),
        "http-workers" => page(HTTP_WORKERS),
        "errors" => Redirect::to("/docs/errors/README.md").into_response(),
        _ => problem::of_status(StatusCode::NOT_FOUND).into_response(),
    }
}

/// The page that the `type` of a problem points to.
pub(crate) async fn error(Path(name): Path<String>) -> Response {
    let code = without_ending(&name);
    if code == "README" {
        return page(ERRORS);
    }
    match Code::ALL.iter().find(|known| known.as_str() == code) {
        Some(code) => page(code.page()),
        None => problem::of_status(StatusCode::NOT_FOUND).into_response(),
    }
}

fn without_ending(name: &str) -> &str {
    name.strip_suffix(".md").unwrap_or(name)
}

fn page(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response()
}
