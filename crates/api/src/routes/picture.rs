//! Pictures as answers.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use orchestratum_engine::sagas::DiagramFormat;

use crate::extract::Parameters;
use crate::problem::{Code, Problem, Result};

/// `format`: Mermaid, if it is not given.
pub(super) fn take_format(parameters: &mut Parameters) -> Result<DiagramFormat> {
    match parameters.take::<String>("format", "")?.as_deref() {
        None | Some("mermaid") => Ok(DiagramFormat::Mermaid),
        Some("svg") => Ok(DiagramFormat::Svg),
        Some(other) => {
            let rule = format!("must be mermaid or svg, not {other:?}");
            Err(Problem::broken(Code::InvalidQuery, "/format", rule))
        }
    }
}

/// What a browser shows as a page of this server must not be able to do anything.
pub(super) fn picture(format: DiagramFormat, drawn: String) -> Response {
    let content_type = match format {
        DiagramFormat::Mermaid => "text/vnd.mermaid; charset=utf-8",
        DiagramFormat::Svg => "image/svg+xml",
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        ),
    ];
    (headers, drawn).into_response()
}
