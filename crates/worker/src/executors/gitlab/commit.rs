use std::fmt::Write;

use futures::{StreamExt, TryStreamExt, stream};
use orchestratum_core::JsonText;
use orchestratum_core::gitlab::{BranchName, CommitId, FilePath, ProjectPath, Reference};
use orchestratum_core::task::{CommitInput, FileText};
use orchestratum_gitlab::{
    Change, Client, Commit, Conflict, FileLook, FileState, Made, NewBranch, NewCommit, Problem, Step, StepSearch,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::drift::Drift;
use super::{Call, Failure};

/// How large one file may be.
const FILE_MAX_BYTES: usize = 8 << 20;

/// How many files are looked at at a time.
const LOOKS: usize = 8;

/// How often it is tried while others change the same files between our look and our commit.
const ROUNDS: usize = 5;

#[derive(Serialize)]
struct Output<'a> {
    /// Where the branch stands, or ours.
    commit: &'a CommitId,
    parents: &'a [CommitId],
    /// This attempt has made it.
    is_new: bool,
    /// Nothing was committed, as all files were as they should be or the branch is not where it was expected: there is nothing to undo.
    existing: bool,
    /// Those that are changed by it; of one that was found, all of the task.
    files: Vec<&'a FilePath>,
    drift: Option<Drift>,
    web_url: Option<&'a str>,
}

/// Where a commit begins.
struct Base {
    branch: BranchName,
    /// The branch of the task is not there yet, and begins at that one.
    is_start: bool,
    /// What has been found of the step, where it was looked for.
    search: Option<StepSearch>,
}

/// A file that is to be changed.
struct Differing<'a> {
    path: &'a FilePath,
    change: Change,
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = CommitInput::read(call.input())?;
    let step = call.step(input.step.as_ref())?;
    let mut rounds = 1;
    loop {
        match round(call, &input, &step).await {
            // Somebody was there between our look and our commit: what they made is looked at in turn.
            Err(failure) if rounds < ROUNDS && is_overtaken(&failure, &input) => rounds += 1,
            result => return result,
        }
    }
}

fn is_overtaken(failure: &Failure, input: &CommitInput) -> bool {
    let error = match failure {
        Failure::Gitlab(error) => error,
        other => return matches!(other, Failure::Moved),
    };
    match error.problem() {
        Problem::Conflict(Conflict::File { .. }) => true,
        // That the branch is there by now is told in prose alone.
        Problem::Refused(_) => input.start_branch.is_some() && !error.may_be_done(),
        _ => false,
    }
}

async fn round(call: &Call<'_>, input: &CommitInput, step: &Step) -> Result<JsonText, Failure> {
    let base = base(call, input, step).await?;
    let expected = input.expected_commit.as_ref();
    if let Some(StepSearch { made, newest_other }) = &base.search {
        let drift = newest_other
            .as_ref()
            .and_then(|newest| Drift::between(expected, newest));
        match (made, newest_other) {
            (Some(made), _) => return output(made, false, input.files.keys().collect(), drift),
            (None, Some(newest)) if drift.is_some() => return untouched(newest, drift),
            (None, _) => {}
        }
    }
    let looks = looks(call, input, &base.branch).await?;
    // Those that are there were looked at later than the first of them, and where the branch stands was asked last.
    let head = looks.first().map(|(_, _, look)| look.commit().clone());
    let Some(head) = head else {
        return Err(Failure::Content("there is no file to commit".to_owned()));
    };
    // What was entered for what stood there before is not to be mixed with what stands there now: that is for the caller to decide.
    if let Some(drift) = Drift::between(expected, &head) {
        return untouched(&head, Some(drift));
    }
    let is_one_head = looks.iter().all(|(_, _, look)| *look.commit() == head);
    let differing = differing(looks)?;
    if differing.is_empty() && !is_one_head {
        return Err(Failure::Moved);
    }
    if differing.is_empty() {
        return nothing_to_do(call, input, &base, head).await;
    }
    let (files, changes): (Vec<_>, Vec<_>) = differing.into_iter().map(|file| (file.path, file.change)).unzip();
    let new = NewCommit {
        branch: input.branch.clone(),
        start_branch: base.is_start.then(|| base.branch.clone()),
        message: input.message.clone(),
        changes,
        // What an earlier attempt has made has been looked for.
        step: Step::first(step.id.clone()),
        after: Some(head),
    };
    let made = call.changing().create_commit(&input.project, &new).await?;
    let is_new = matches!(made, Made::New(_));
    let made = made.into_inner();
    let parent = made.parent_ids.first();
    let drift = parent.and_then(|parent| Drift::between(expected, parent));
    output(&made, is_new, files, drift)
}

fn output(made: &Commit, is_new: bool, files: Vec<&FilePath>, drift: Option<Drift>) -> Result<JsonText, Failure> {
    let output = Output {
        commit: &made.id,
        parents: &made.parent_ids,
        is_new,
        existing: false,
        files,
        drift,
        web_url: Some(&made.web_url),
    };
    Ok(JsonText::of(&output)?)
}

/// One list of what came since the expected commit tells of drift and of the step at once. Without one the step is looked for only
/// where somebody may have begun it.
async fn base(call: &Call<'_>, input: &CommitInput, step: &Step) -> Result<Base, Failure> {
    let CommitInput {
        project,
        branch,
        expected_commit,
        ..
    } = input;
    let of = |branch: &BranchName, is_start: bool, search: Option<StepSearch>| Base {
        branch: branch.clone(),
        is_start,
        search,
    };
    let found = if expected_commit.is_some() || step.begun_before {
        let search = call
            .client
            .search_step(project, branch, &step.id, expected_commit.as_ref())
            .await?;
        search.map(|search| of(branch, false, Some(search)))
    } else if input.start_branch.is_some() {
        match call.client.get_branch(project, branch).await {
            Ok(_) => Some(of(branch, false, None)),
            Err(error) if matches!(error.problem(), Problem::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        }
    } else {
        Some(of(branch, false, None))
    };
    Ok(match (found, &input.start_branch) {
        (Some(base), _) => base,
        (None, Some(start)) => of(start, true, None),
        // What is not there is told by the first look.
        (None, None) => of(branch, false, None),
    })
}

type Look<'a> = (&'a FilePath, &'a FileText, FileLook);

async fn looks<'a>(call: &Call<'_>, input: &'a CommitInput, branch: &BranchName) -> Result<Vec<Look<'a>>, Failure> {
    let reference = Reference::Branch(branch.clone());
    let paths = input.files.keys();
    let looks: Vec<_> = paths
        .map(|path| {
            look(
                call.client.clone(),
                input.project.clone(),
                path.clone(),
                reference.clone(),
            )
        })
        .collect();
    let states: Vec<Option<FileState>> = stream::iter(looks).buffered(LOOKS).try_collect().await?;
    // Of a file that is not there GitLab does not say where the branch stands. Once is enough for all of them.
    let head = if states.contains(&None) {
        Some(call.client.get_head(&input.project, &reference).await?)
    } else {
        None
    };
    let looked_at = input.files.iter().zip(states);
    let looks = looked_at.filter_map(|((path, text), state)| {
        let look = match (state, &head) {
            (Some(state), _) => FileLook::There(state),
            (None, head) => FileLook::Absent { commit: head.clone()? },
        };
        Some((path, text, look))
    });
    Ok(looks.collect())
}

/// Owns what it needs: several go on at a time.
async fn look(
    client: Client,
    project: ProjectPath,
    path: FilePath,
    reference: Reference,
) -> Result<Option<FileState>, Failure> {
    Ok(client.find_file_state(&project, &path, &reference).await?)
}

fn differing(looks: Vec<Look<'_>>) -> Result<Vec<Differing<'_>>, Failure> {
    let mut differing = Vec::new();
    for (path, text, look) in looks {
        let Some(content) = text.bytes(FILE_MAX_BYTES) else {
            let message = format!("the file {path} would have more than {FILE_MAX_BYTES} bytes");
            return Err(Failure::TooLarge(message));
        };
        let there = look.into_state();
        if there
            .as_ref()
            .is_some_and(|there| there.content_sha256 == sha256(&content))
        {
            continue;
        }
        let change = match there {
            Some(there) => Change::Update {
                path: path.clone(),
                content,
                last_commit: there.last_commit,
            },
            None => Change::Create {
                path: path.clone(),
                content,
            },
        };
        differing.push(Differing { path, change });
    }
    Ok(differing)
}

fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().fold(String::with_capacity(64), |mut hash, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// All files are as they should be. A branch that is to begin there is made nevertheless.
async fn nothing_to_do(call: &Call<'_>, input: &CommitInput, base: &Base, head: CommitId) -> Result<JsonText, Failure> {
    if !base.is_start {
        return untouched(&head, None);
    }
    let new = NewBranch {
        name: input.branch.clone(),
        from: Reference::Branch(base.branch.clone()),
        is_own_name: false,
        begun_before: true,
    };
    let made = call.changing().create_branch(&input.project, &new).await?;
    let commit = made.into_inner().commit.id;
    let drift = Drift::between(input.expected_commit.as_ref(), &commit);
    untouched(&commit, drift)
}

/// Nothing was committed.
fn untouched(head: &CommitId, drift: Option<Drift>) -> Result<JsonText, Failure> {
    let output = Output {
        commit: head,
        parents: &[],
        is_new: false,
        existing: true,
        files: Vec::new(),
        drift,
        web_url: None,
    };
    Ok(JsonText::of(&output)?)
}
