//! A client, its GitLab, and what the tests say of both.

use std::time::Duration;

use orchestratum_core::gitlab::{BranchName, CommitId, CommitMessage, FilePath, ProjectPath, Reference, StepId};
use orchestratum_gitlab::{Change, Client, Made, NewCommit, Settings, Step};
use orchestratum_testkit::{Fault, FaultKind, GitlabDouble, OWNER_TOKEN, PROJECT};

pub(crate) const COMMITS: &str = "repository/commits";

pub(crate) struct Session {
    pub(crate) double: GitlabDouble,
    pub(crate) client: Client,
    pub(crate) project: ProjectPath,
}

impl Session {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(|settings| settings)
    }

    /// With other settings than those of the tests, which give up sooner than the defaults.
    pub(crate) fn start_with(change: impl Fn(Settings) -> Settings) -> anyhow::Result<Self> {
        let double = GitlabDouble::start()?;
        let client = client(double.url(), OWNER_TOKEN, change)?;
        let project = ProjectPath::new(PROJECT)?;
        Ok(Self {
            double,
            client,
            project,
        })
    }

    /// For a user with another token.
    pub(crate) fn of(&self, token: &str) -> anyhow::Result<Client> {
        client(self.double.url(), token, |settings| settings)
    }

    /// Another client of the owner, with other settings.
    pub(crate) fn with(&self, change: impl Fn(Settings) -> Settings) -> anyhow::Result<Client> {
        client(self.double.url(), OWNER_TOKEN, change)
    }

    pub(crate) async fn fail(&self, method: &str, path: &str, kind: FaultKind) -> anyhow::Result<()> {
        self.double.control().fail(&Fault::on(method, path, kind)).await
    }

    /// Requests of this method whose path ends so.
    pub(crate) async fn count(&self, method: &str, path: &str) -> anyhow::Result<usize> {
        let seen = self.double.control().seen().await?;
        Ok(seen
            .iter()
            .filter(|seen| seen.method == method && seen.path.ends_with(path))
            .count())
    }

    pub(crate) async fn count_all(&self) -> anyhow::Result<usize> {
        Ok(self.double.control().seen().await?.len())
    }

    /// The titles of the commits of `main`, newest first.
    pub(crate) async fn titles(&self) -> anyhow::Result<Vec<String>> {
        let commits = self.client.get_commits(&self.project, &branch("main"), None).await?;
        Ok(commits.items.into_iter().map(|commit| commit.title).collect())
    }

    /// Makes a commit that must be new.
    pub(crate) async fn commit(&self, new: &NewCommit) -> anyhow::Result<CommitId> {
        match self.client.create_commit(&self.project, new).await? {
            Made::New(commit) => Ok(commit.id),
            other => anyhow::bail!("it was there: {other:?}"),
        }
    }

    pub(crate) async fn content(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let file = self
            .client
            .get_file_content(&self.project, &path(name), &main())
            .await?;
        Ok(file.content)
    }
}

fn client(url: &str, token: &str, change: impl Fn(Settings) -> Settings) -> anyhow::Result<Client> {
    let settings = Settings {
        request_patience: Duration::from_secs(10),
        call_patience: Duration::from_secs(20),
        tries: 4,
        ..Settings::new(url, token.to_owned())
    };
    // The shortest pauses that there are.
    Ok(Client::new(change(settings), || 0.999)?)
}

pub(crate) fn branch(name: &str) -> BranchName {
    BranchName::new(name).expect("a branch")
}

pub(crate) fn main() -> Reference {
    Reference::Branch(branch("main"))
}

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::new(text).expect("a path")
}

pub(crate) fn step(id: &str) -> Step {
    Step::first(StepId::new(id).expect("a step"))
}

pub(crate) fn create(name: &str, content: &[u8]) -> Change {
    Change::Create {
        path: path(name),
        content: content.to_vec(),
    }
}

/// On `main`, by a step of this id.
pub(crate) fn commit_of(id: &str, changes: Vec<Change>) -> NewCommit {
    NewCommit {
        branch: branch("main"),
        start_branch: None,
        message: CommitMessage::new(format!("By {id}")).expect("a message"),
        changes,
        step: step(id),
        after: None,
    }
}

/// As an attempt after one whose end is not known.
pub(crate) fn again(commit: &NewCommit) -> NewCommit {
    NewCommit {
        step: Step::again(commit.step.id.clone()),
        ..commit.clone()
    }
}
