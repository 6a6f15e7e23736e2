use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestratum_core::JsonText;
use orchestratum_core::gitlab::{CommitId, FilePath};
use orchestratum_core::task::{FileFormat, GetFileInput, OnFault};
use orchestratum_gitlab::{Error, FileContent, Problem};
use orchestratum_store::answers;
use serde::Serialize;

use super::drift::Drift;
use super::{Call, Failure};

/// How many faults of a file are told.
const FAULTS_TOLD: usize = 5;

#[derive(Serialize)]
struct Output<'a> {
    path: &'a FilePath,
    content: Option<Content<'a>>,
    sha256: Option<&'a str>,
    /// Where the branch stood.
    commit: &'a CommitId,
    last_commit: Option<&'a CommitId>,
    drift: Option<Drift>,
    /// Where it was to be told.
    #[serde(flatten)]
    fault: Option<Fault>,
}

#[derive(Serialize)]
struct Fault {
    /// What is wrong with the file; `None`: nothing.
    fault: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Json(JsonText),
    Base64(String),
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = GetFileInput::read(call.input())?;
    let file = call
        .client
        .get_file_content(&input.project, &input.path, &input.reference)
        .await;
    match file {
        Ok(file) => there(&input, &file),
        Err(error) => missing(call, &input, error).await,
    }
}

fn there(input: &GetFileInput, file: &FileContent) -> Result<JsonText, Failure> {
    let (content, fault) = match (content(input, &file.content), input.on_fault) {
        (Ok(content), OnFault::Fail) => (Some(content), None),
        (Ok(content), OnFault::Tell) => (Some(content), Some(Fault { fault: None })),
        (Err(fault), OnFault::Tell) => (None, Some(Fault { fault: Some(fault) })),
        (Err(fault), OnFault::Fail) => return Err(Failure::Content(fault)),
    };
    let output = Output {
        path: &input.path,
        content,
        sha256: Some(&file.content_sha256),
        commit: &file.commit,
        last_commit: Some(&file.last_commit),
        drift: Drift::between(input.expected_commit.as_ref(), &file.commit),
        fault,
    };
    Ok(JsonText::of(&output)?)
}

/// A file that is not there is a fault of it only where the branch is there.
async fn missing(call: &Call<'_>, input: &GetFileInput, error: Error) -> Result<JsonText, Failure> {
    let is_told = input.on_fault == OnFault::Tell && matches!(error.problem(), Problem::NotFound(_));
    if !is_told {
        return Err(error.into());
    }
    let commit = call.client.get_head(&input.project, &input.reference).await?;
    let fault = Some(format!("there is no file {}", input.path));
    let output = Output {
        path: &input.path,
        content: None,
        sha256: None,
        commit: &commit,
        last_commit: None,
        drift: Drift::between(input.expected_commit.as_ref(), &commit),
        fault: Some(Fault { fault }),
    };
    Ok(JsonText::of(&output)?)
}

/// Or what is wrong with it. No part of the file is told then.
fn content<'a>(input: &GetFileInput, bytes: &'a [u8]) -> Result<Content<'a>, String> {
    let wrong = |reason: &str| format!("the file {} {reason}", input.path);
    let text = || std::str::from_utf8(bytes).map_err(|_| wrong("is no text in UTF-8"));
    match input.format {
        FileFormat::Base64 => Ok(Content::Base64(STANDARD.encode(bytes))),
        FileFormat::Text => Ok(Content::Text(text()?)),
        FileFormat::Json => {
            let text = text()?;
            // Some editors begin a file so.
            let json = text.strip_prefix('\u{feff}').unwrap_or(text);
            let json =
                JsonText::new(json).map_err(|invalid| wrong(&format!("cannot be read as JSON: it {invalid}")))?;
            let broken = match &input.schema {
                Some(schema) => answers::check_file(schema, &json).err(),
                None => None,
            };
            match broken {
                None => Ok(Content::Json(json)),
                Some(broken) => {
                    let faults = broken.0.iter().take(FAULTS_TOLD).map(|fault| {
                        // Their pointers are those of an answer.
                        let place = fault.pointer.strip_prefix("/data").unwrap_or(&fault.pointer);
                        format!("{place} {}", fault.message).trim_start().to_owned()
                    });
                    let faults: Vec<String> = faults.collect();
                    Err(wrong(&format!("does not meet the schema: {}", faults.join("; "))))
                }
            }
        }
    }
}
