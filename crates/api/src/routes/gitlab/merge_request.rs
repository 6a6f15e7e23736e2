//! `POST /api/merge-requests`

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestratum_core::task::CreateMergeRequestInput;
use orchestratum_engine::{Engine, Error};
use orchestratum_gitlab::{MergeRequest, MergeRequestState};
use serde::Serialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use super::for_client;
use crate::changes::Begun;
use crate::extract::Json;
use crate::problem::{Code, Document, Problem, Result};

/// A merge request to be made. Unknown fields are refused.
#[derive(Debug, ToSchema)]
#[schema(as = NewMergeRequest)]
#[expect(dead_code, reason = "describes what the task `gitlab.create_merge_request` takes")]
pub(crate) struct MergeRequestBody {
    /// `group/project`, or the number of a project.
    #[schema(example = "grp/proj")]
    project: String,
    /// Without `refs/`.
    #[schema(example = "issue/42")]
    source_branch: String,
    #[schema(example = "main")]
    target_branch: String,
    /// One line.
    #[schema(min_length = 1, max_length = 255)]
    title: String,
    /// Markdown.
    description: Option<String>,
    /// The issue that is closed with the merge.
    #[schema(minimum = 1)]
    issue_iid: Option<u64>,
    /// What makes it made once, also after it was closed: 1 to 200 letters, digits, `_`, `-`, `.`, `:`, `/`.
    step: Option<String>,
}

/// A merge request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MergeRequest)]
pub(crate) struct MergeRequestDocument {
    /// In its project: the number that people know.
    #[schema(example = 7)]
    iid: u64,
    #[schema(value_type = String, example = "opened")]
    state: MergeRequestState,
    title: String,
    source_branch: String,
    target_branch: String,
    web_url: String,
    /// Whether it was there before, made by somebody else.
    existing: bool,
}

impl MergeRequestDocument {
    fn new(made: MergeRequest, existing: bool) -> Self {
        Self {
            iid: made.iid,
            state: made.state,
            title: made.title,
            source_branch: made.source_branch,
            target_branch: made.target_branch,
            web_url: made.web_url,
            existing,
        }
    }
}

/// Make a merge request
///
/// Or find the open one for the same branches, which is left as it is: the call may be repeated. One that was closed or merged is no
/// hindrance, but for the one of the same `step`.
#[utoipa::path(
    post, path = "/api/merge-requests", tag = "gitlab", operation_id = "make_merge_request",
    request_body(content = MergeRequestBody, example = json!({
        "project": "grp/proj", "source_branch": "issue/42", "target_branch": "main", "title": "Balance of issue 42",
        "description": "Calculated anew.", "issue_iid": 42
    })),
    responses(
        (status = 201, description = "Made", body = MergeRequestDocument, headers(("Location" = String, description = "In GitLab"))),
        (status = 200, description = "There is one for these branches", body = MergeRequestDocument, headers(("Location" = String, description = "In GitLab"))),
        (status = 403, description = "The key has no such scope, or the token of GitLab no right to it", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "GitLab has no such project, or the token may not see it", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else has changed the same in GitLab", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules; or GitLab refuses it, such as for a branch that is not there", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "GitLab does not accept the token, or its answer cannot be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GitLab is not available, or none is named, or too many calls on it go on", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn make_merge_request(
    State(engine): State<Engine>,
    begun: Begun,
    Json { bytes, .. }: Json<IgnoredAny>,
) -> Result<Response> {
    let text = str::from_utf8(&bytes).map_err(|_| Problem::new(Code::MalformedJson, "the body is no text in UTF-8"))?;
    let input = CreateMergeRequestInput::read(text).map_err(Error::Invalid)?;
    // What GitLab was asked to make the same call finds again.
    let Some(made) = for_client(&begun, engine.make_merge_request(input)).await else {
        return Ok(StatusCode::OK.into_response());
    };
    let made = made?;
    let existing = !made.is_ours();
    let status = if existing { StatusCode::OK } else { StatusCode::CREATED };
    let document = MergeRequestDocument::new(made.into_inner(), existing);
    let location = HeaderValue::from_str(&document.web_url).ok();
    let mut response = (status, axum::Json(document)).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
