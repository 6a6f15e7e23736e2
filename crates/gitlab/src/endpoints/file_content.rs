use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestratum_core::gitlab::{CommitId, FilePath, ProjectPath, Reference};
use reqwest::Method;
use serde::Deserialize;

use crate::transport::Request;
use crate::{Client, Error, Problem};

/// A file as it is at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    pub path: FilePath,
    pub content: Vec<u8>,
    pub content_sha256: String,
    /// Where the branch was when it was read.
    pub commit: CommitId,
    /// What a change of it begins from.
    pub last_commit: CommitId,
}

#[derive(Debug, Deserialize)]
struct Document {
    encoding: String,
    content: String,
    size: usize,
    content_sha256: String,
    commit_id: CommitId,
    last_commit_id: CommitId,
}

impl Client {
    pub async fn get_file_content(
        &self,
        project: &ProjectPath,
        path: &FilePath,
        reference: &Reference,
    ) -> Result<FileContent, Error> {
        let wanted = || format!("get the file {path} of {project} at {reference}");
        let request = Request::of_project(Method::GET, project, &["repository", "files", path.as_str()]);
        let document: Document = self.get(&request.query("ref", reference.as_str()), wanted).await?;
        let content = decoded(&document).map_err(|problem| Error::new(wanted(), problem))?;
        Ok(FileContent {
            path: path.clone(),
            content,
            content_sha256: document.content_sha256,
            commit: document.commit_id,
            last_commit: document.last_commit_id,
        })
    }
}

fn decoded(document: &Document) -> Result<Vec<u8>, Problem> {
    let unreadable = |reason: &str| Problem::Unreadable(reason.to_owned());
    if document.encoding != "base64" {
        return Err(unreadable("its content is not in base64"));
    }
    let plain: String = document.content.split_ascii_whitespace().collect();
    let content = STANDARD
        .decode(plain)
        .map_err(|_| unreadable("its content is not in base64"))?;
    if content.len() != document.size {
        return Err(unreadable("its content has not the size that it tells"));
    }
    Ok(content)
}
