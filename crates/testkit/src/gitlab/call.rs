//! One request to the API.

use axum::http::Method;

use super::parameters::Parameters;
use super::users::User;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// As it came.
    pub(super) raw_path: String,
    pub(super) query: String,
    /// What lies between the slashes of the path behind `/api/v4`, each decoded: a slash that was encoded is no border.
    pub(super) segments: Vec<String>,
    pub(super) parameters: Parameters,
    pub(super) user: User,
    /// Where this GitLab is, such as `http://127.0.0.1:8080`.
    pub(super) base: String,
}
