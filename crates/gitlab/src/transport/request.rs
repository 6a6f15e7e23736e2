use bytes::Bytes;
use orchestratum_core::gitlab::ProjectPath;
use reqwest::{Method, Url};
use serde::Serialize;

/// What is sent; its path has only what the types of `names` let through, and our own words.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Each is one segment, whatever is in it.
    segments: Vec<String>,
    query: Vec<(String, String)>,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    pub(crate) fn new(method: Method, segments: &[&str]) -> Self {
        Self {
            method,
            segments: segments.iter().map(|segment| (*segment).to_owned()).collect(),
            query: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// Below a project.
    pub(crate) fn of_project(method: Method, project: &ProjectPath, segments: &[&str]) -> Self {
        let all: Vec<&str> = ["projects", project.as_str()]
            .into_iter()
            .chain(segments.iter().copied())
            .collect();
        Self::new(method, &all)
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Instead of the one that it has.
    pub(crate) fn with_query(self, query: Vec<(String, String)>) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn query_if(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// # Panics
    /// Never: what is given has texts, numbers and lists only.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("texts, numbers and lists have a form in JSON");
        self.body = Some(Bytes::from(body));
        self
    }

    /// The segments are encoded once, a slash in one of them too.
    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(&self.segments);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestratum_core::gitlab::{BranchName, FilePath};

    #[test]
    fn what_a_name_has_stays_in_its_segment() {
        let base: Url = "https://gitlab.example.com/api/v4".parse().expect("a URL");
        let project = ProjectPath::new("grp/sub/proj").expect("a project");
        let path = FilePath::new("a b/100%/ü&=+;@:.json").expect("a path");
        let branch = BranchName::new("issue/42&x=1").expect("a branch");
        let request = Request::of_project(Method::GET, &project, &["repository", "files", path.as_str()]);
        let url = request.query("ref", branch.as_str()).url(&base);
        assert_eq!(
            url.as_str(),
            "https://gitlab.example.com/api/v4/projects/grp%2Fsub%2Fproj/repository/files/\
             a%20b%2F100%25%2F%C3%BC&=+;@:.json?ref=issue%2F42%26x%3D1"
        );
    }
}
