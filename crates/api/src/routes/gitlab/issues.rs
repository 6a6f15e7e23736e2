//! `GET /api/issues`

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderName;
use axum::http::request::Parts;
use orchestratum_core::gitlab::{Assignee, IssueState, Username};
use orchestratum_engine::Engine;
use orchestratum_gitlab::{Issue, IssueFilter};
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::Parameters;
use crate::problem::{Code, Document, Problem, Result};

const USER: HeaderName = HeaderName::from_static("x-gitlab-user");

const STATE_RULE: &str = "must be opened, closed or all";

/// An issue, without its description.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Issue)]
pub(crate) struct IssueDocument {
    /// In its project: the number that people know.
    #[schema(example = 42)]
    iid: u64,
    project_id: u64,
    #[schema(example = "Balance of the second unit")]
    title: String,
    /// `opened` or `closed`.
    #[schema(value_type = String, example = "opened")]
    state: IssueState,
    labels: Vec<String>,
    /// Names of users.
    assignees: Vec<String>,
    web_url: String,
    #[schema(example = "2026-11-02T09:30:00.000Z")]
    created_at: String,
    updated_at: String,
}

impl From<Issue> for IssueDocument {
    fn from(issue: Issue) -> Self {
        Self {
            iid: issue.iid,
            project_id: issue.project_id,
            title: issue.title,
            state: issue.state,
            labels: issue.labels,
            assignees: issue.assignees.into_iter().map(|user| user.username).collect(),
            web_url: issue.web_url,
            created_at: issue.created_at,
            updated_at: issue.updated_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Issues)]
pub(crate) struct IssueList {
    /// Newest first, 1,000 at most.
    items: Vec<IssueDocument>,
    /// Whether there are more than that: ask for one project, or one state.
    has_more: bool,
    /// Always `null`: there are no further pages.
    next_cursor: Option<String>,
}

/// `X-GitLab-User`: whose issues.
#[derive(Debug)]
pub(crate) struct User(Option<Username>);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let mut values = parts.headers.get_all(USER).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let refused = |reason: &str| Problem::new(Code::InvalidHeader, format!("X-GitLab-User {reason}"));
        if values.next().is_some() {
            return Err(refused("must be given once"));
        }
        let name = Username::new(value.to_str().unwrap_or_default());
        name.map(|name| Self(Some(name)))
            .map_err(|invalid| refused(invalid.rule))
    }
}

/// List the issues that are assigned to a user
///
/// To the user of `X-GitLab-User`; without that header to the user whose token this server has. What the token may not see is not
/// listed.
#[utoipa::path(
    get, path = "/api/issues", tag = "gitlab", operation_id = "list_issues",
    params(
        ("project" = Option<String>, Query, description = "`group/project`, or the number of a project; if not given, all that the token may see", example = "grp/proj"),
        ("state" = Option<String>, Query, description = "`opened` (if not given), `closed` or `all`", example = "opened"),
        ("X-GitLab-User" = Option<String>, Header, description = "The name of a user, without `@`", example = "alice"),
    ),
    responses(
        (status = 200, description = "The issues", body = IssueList),
        (status = 404, description = "GitLab has no such project, or the token may not see it", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GitLab is not available, or none is named", body = Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issues(
    State(engine): State<Engine>,
    User(user): User,
    mut parameters: Parameters,
) -> Result<Json<IssueList>> {
    let project = parameters.take_strict("project")?;
    let state = parameters.take::<String>("state", STATE_RULE)?;
    parameters.finish(&["project", "state"])?;
    let filter = IssueFilter {
        project,
        assignee: user.map_or(Assignee::TokenUser, Assignee::User),
        state: read_state(state.as_deref())?,
    };
    let listed = engine.gitlab_issues(&filter).await?;
    Ok(Json(IssueList {
        items: listed.items.into_iter().map(IssueDocument::from).collect(),
        has_more: listed.has_more,
        next_cursor: None,
    }))
}

fn read_state(text: Option<&str>) -> Result<Option<IssueState>> {
    match text {
        None | Some("opened") => Ok(Some(IssueState::Opened)),
        Some("closed") => Ok(Some(IssueState::Closed)),
        Some("all") => Ok(None),
        Some(text) => {
            let message = format!("{STATE_RULE}, not {text:?}");
            Err(Problem::broken(Code::InvalidQuery, "/state", message))
        }
    }
}
