//! The registry of public errors. A code is stable: clients may branch on it.

use axum::http::StatusCode;

/// Writes the registry: code, status and title in one place, and the page that explains it.
macro_rules! registry {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// What went wrong, as clients know it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant),+
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code),+
                }
            }

            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status),+
                }
            }

            /// A sentence that is the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title),+
                }
            }

            /// The page that `type` points to. A code without a page does not build.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../../../docs/errors/", $code, ".md"))),+
                }
            }
        }
    };
}

registry! {
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not JSON";
    InvalidHeader = "invalid_header", BAD_REQUEST, "A header has a value that is not allowed";
    BadRequest = "bad_request", BAD_REQUEST, "The request is not valid HTTP for this server";
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "A valid API key is needed";
    MissingScope = "missing_scope", FORBIDDEN, "The API key lacks the scope for this";
    ClaimedByAnother = "claimed_by_another", FORBIDDEN, "The attempt was claimed with another API key";
    GitlabForbidden = "gitlab_forbidden", FORBIDDEN, "GitLab does not allow this to the token";
    RouteNotFound = "route_not_found", NOT_FOUND, "There is nothing at this path";
    TaskNotFound = "task_not_found", NOT_FOUND, "There is no such task";
    GroupNotFound = "group_not_found", NOT_FOUND, "There is no such group";
    DefinitionNotFound = "definition_not_found", NOT_FOUND, "There is no such saga definition";
    SagaNotFound = "saga_not_found", NOT_FOUND, "There is no such saga";
    NoSagaForEvent = "no_saga_for_event", NOT_FOUND, "The event reaches no saga, and starts none";
    NothingParked = "nothing_parked", NOT_FOUND, "Nothing of the saga is parked under this id";
    AttemptNotFound = "attempt_not_found", NOT_FOUND, "The task has no such attempt";
    ScheduleNotFound = "schedule_not_found", NOT_FOUND, "There is no such schedule";
    GitlabNotFound = "gitlab_not_found", NOT_FOUND, "GitLab has no such thing";
    KeyNotFound = "key_not_found", NOT_FOUND, "There is no such API key";
    RateNotFound = "rate_not_found", NOT_FOUND, "The target has no rate";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path does not take this method";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    IllegalTransition = "illegal_transition", CONFLICT, "The status of the task does not allow this";
    AttemptOver = "attempt_over", CONFLICT, "The attempt is over";
    TaskExists = "task_exists", CONFLICT, "Another task has this id";
    ScheduleUnmade = "schedule_unmade", CONFLICT, "The schedule cannot make its task";
    IllegalGroupStatus = "illegal_group_status", CONFLICT, "The status of the group does not allow this";
    EventNotTaken = "event_not_taken", CONFLICT, "The saga does not take this event now";
    EventIdReused = "event_id_reused", CONFLICT, "The id belongs to another event";
    IllegalSagaStatus = "illegal_saga_status", CONFLICT, "The status of the saga does not allow this";
    GitlabConflict = "gitlab_conflict", CONFLICT, "Somebody else has changed the same in GitLab";
    SagaWithoutBranch = "saga_without_branch", CONFLICT, "The saga works on no branch of GitLab";
    BalanceBegunOtherwise = "balance_begun_otherwise", CONFLICT, "The balance that goes on was begun otherwise";
    GroupExists = "group_exists", CONFLICT, "Another group has this id";
    GroupGone = "group_gone", GONE, "The group that this key made was deleted";
    SagaGone = "saga_gone", GONE, "The saga that this key made was deleted";
    TaskGone = "task_gone", GONE, "The task that this key made was deleted";
    ScheduleGone = "schedule_gone", GONE, "The schedule that this key made was deleted";
    VersionMismatch = "version_mismatch", PRECONDITION_FAILED, "It has changed since it was read";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has the wrong content type or encoding";
    InvalidBody = "invalid_body", UNPROCESSABLE_ENTITY, "The body breaks rules";
    InvalidDefinition = "invalid_definition", UNPROCESSABLE_ENTITY, "The saga definition breaks rules";
    SagaCannotStart = "saga_cannot_start", UNPROCESSABLE_ENTITY, "The saga cannot start with this input";
    InvalidPath = "invalid_path", UNPROCESSABLE_ENTITY, "A part of the path has a value that is not allowed";
    InvalidQuery = "invalid_query", UNPROCESSABLE_ENTITY, "A query parameter has a value that is not allowed";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request";
    GitlabContent = "gitlab_content", UNPROCESSABLE_ENTITY, "A file in GitLab is not what it should be";
    GitlabRefused = "gitlab_refused", UNPROCESSABLE_ENTITY, "GitLab refuses this";
    NotStorable = "not_storable", UNPROCESSABLE_ENTITY, "The database cannot hold this value";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "Something went wrong on our side";
    GitlabUnauthorized = "gitlab_unauthorized", BAD_GATEWAY, "GitLab does not accept the token of this server";
    GitlabUnreadable = "gitlab_unreadable", BAD_GATEWAY, "The answer of GitLab cannot be read";
    GitlabUnavailable = "gitlab_unavailable", SERVICE_UNAVAILABLE, "GitLab is not available";
    GitlabNotConfigured = "gitlab_not_configured", SERVICE_UNAVAILABLE, "This server knows no GitLab";
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE, "The database is not available";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "More requests are waiting than can be served soon";
    Stopping = "stopping", SERVICE_UNAVAILABLE, "This process is stopping";
}

impl Code {
    /// The code that an answer without a problem document gets, such as one of the router itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::MissingScope,
            StatusCode::NOT_FOUND => Self::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::InvalidBody,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::InternalError,
        }
    }

    /// A failure in GitLab by the word that it has everywhere: in errors of tasks and events of sagas, too.
    pub(crate) fn of_gitlab(word: &str) -> Option<Self> {
        let known = [
            Self::GitlabNotFound,
            Self::GitlabForbidden,
            Self::GitlabConflict,
            Self::GitlabContent,
            Self::GitlabRefused,
            Self::GitlabUnauthorized,
            Self::GitlabUnreadable,
            Self::GitlabUnavailable,
        ];
        known.into_iter().find(|code| code.as_str() == word)
    }

    /// How long a client should wait before it tries the same again; only where that may help.
    pub(crate) const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::DatabaseUnavailable => Some(2),
            Self::Overloaded | Self::Stopping => Some(1),
            Self::GitlabUnavailable => Some(10),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_a_word_of_its_own_with_a_page_that_explains_it() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?} repeats a code");
            assert!(
                code.status().is_client_error() || code.status().is_server_error(),
                "{code:?}"
            );
            let page = code.page();
            let heading = format!("# `{}`", code.as_str());
            assert!(page.starts_with(&heading), "the page of {code:?} begins with {heading}");
            assert!(
                page.contains(&format!("Status {}", code.status().as_u16())),
                "the page of {code:?} names its status"
            );
            assert!(page.len() > 200, "the page of {code:?} explains something");
        }
    }

    #[test]
    fn every_page_belongs_to_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for entry in std::fs::read_dir(folder).expect("the folder of the pages") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            let code = name.strip_suffix(".md").expect("pages end with .md");
            assert!(
                code == "README" || Code::ALL.iter().any(|known| known.as_str() == code),
                "{name} explains no code"
            );
        }
    }
}
