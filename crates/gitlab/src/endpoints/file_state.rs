use orchestratum_core::gitlab::{CommitId, FilePath, ProjectPath, Reference};
use reqwest::Method;
use reqwest::header::HeaderName;
use tokio::time::Instant;

use super::read::found;
use crate::transport::{Answer, Request};
use crate::{Client, Error, Problem};

/// What is known of a file without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    pub content_sha256: String,
    pub size: u64,
    /// Where the branch was when it was looked at.
    pub commit: CommitId,
    /// What a change of it begins from.
    pub last_commit: CommitId,
}

/// What is found where a file may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileLook {
    There(FileState),
    /// The branch, or the commit, is there and has no such file.
    Absent {
        /// Where the branch was when it was looked at.
        commit: CommitId,
    },
}

impl FileLook {
    /// Where the branch was when it was looked at.
    pub fn commit(&self) -> &CommitId {
        match self {
            Self::There(state) => &state.commit,
            Self::Absent { commit } => commit,
        }
    }

    pub fn into_state(self) -> Option<FileState> {
        match self {
            Self::There(state) => Some(state),
            Self::Absent { .. } => None,
        }
    }
}

impl Client {
    /// # Errors
    /// A missing branch, commit or project is one, and a missing file is none.
    pub async fn get_file_state(
        &self,
        project: &ProjectPath,
        path: &FilePath,
        reference: &Reference,
    ) -> Result<FileLook, Error> {
        let deadline = self.deadline();
        let look = match self.file_state(project, path, reference, deadline).await {
            Ok(Some(state)) => Ok(FileLook::There(state)),
            // It comes without a word: it may also be the project that is not there, or the right to see it.
            Ok(None) => {
                let commit = self.commit_of(project, reference, deadline).await;
                commit.map(|commit| FileLook::Absent { commit })
            }
            Err(problem) => Err(problem),
        };
        look.map_err(|problem| Error::new(format!("look at the file {path} of {project} at {reference}"), problem))
    }

    /// `None` where it is not there, which may also be the branch, the commit or the project: [`get_head`](Self::get_head) tells. Of
    /// several files that is asked once.
    pub async fn find_file_state(
        &self,
        project: &ProjectPath,
        path: &FilePath,
        reference: &Reference,
    ) -> Result<Option<FileState>, Error> {
        let state = self.file_state(project, path, reference, self.deadline()).await;
        state.map_err(|problem| Error::new(format!("look at the file {path} of {project} at {reference}"), problem))
    }

    /// Where a branch stands.
    pub async fn get_head(&self, project: &ProjectPath, reference: &Reference) -> Result<CommitId, Error> {
        let commit = self.commit_of(project, reference, self.deadline()).await;
        commit.map_err(|problem| Error::new(format!("look where {reference} of {project} is"), problem))
    }

    pub(super) async fn file_state(
        &self,
        project: &ProjectPath,
        path: &FilePath,
        reference: &Reference,
        deadline: Instant,
    ) -> Result<Option<FileState>, Problem> {
        let request = Request::of_project(Method::HEAD, project, &["repository", "files", path.as_str()]);
        let answer = self.repeat(&request.query("ref", reference.as_str()), deadline).await;
        found(answer.and_then(|answer| read(&answer)))
    }

    /// Fails where it is not there.
    async fn commit_of(
        &self,
        project: &ProjectPath,
        reference: &Reference,
        deadline: Instant,
    ) -> Result<CommitId, Problem> {
        match reference {
            Reference::Branch(branch) => Ok(self.branch(project, branch, deadline).await?.commit.id),
            Reference::Commit(commit) => Ok(self.commit(project, commit, deadline).await?.id),
        }
    }
}

fn read(answer: &Answer) -> Result<FileState, Problem> {
    let header = |name: &'static str| {
        let value = answer.header(&HeaderName::from_static(name));
        value.ok_or_else(|| Problem::Unreadable(format!("it has no header {name}")))
    };
    let unreadable = |name: &str| Problem::Unreadable(format!("its header {name} is wrong"));
    let commit = |name| CommitId::new(header(name)?).map_err(|_| unreadable(name));
    let size = "x-gitlab-size";
    Ok(FileState {
        content_sha256: header("x-gitlab-content-sha256")?.to_owned(),
        size: header(size)?.parse().map_err(|_| unreadable(size))?,
        commit: commit("x-gitlab-commit-id")?,
        last_commit: commit("x-gitlab-last-commit-id")?,
    })
}
