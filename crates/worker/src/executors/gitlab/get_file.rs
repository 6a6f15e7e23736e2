use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestratum_core::JsonText;
use orchestratum_core::gitlab::{CommitId, FilePath};
use orchestratum_core::task::{FileFormat, GetFileInput};
use orchestratum_store::answers;
use serde::Serialize;

use super::drift::Drift;
use super::{Call, Failure};

/// How many faults of a file are told.
const FAULTS_TOLD: usize = 5;

#[derive(Serialize)]
struct Output<'a> {
    path: &'a FilePath,
    content: Content<'a>,
    sha256: &'a str,
    /// Where the branch stood.
    commit: &'a CommitId,
    last_commit: &'a CommitId,
    drift: Option<Drift>,
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
        .await?;
    let output = Output {
        path: &input.path,
        content: content(&input, &file.content)?,
        sha256: &file.content_sha256,
        commit: &file.commit,
        last_commit: &file.last_commit,
        drift: Drift::between(input.expected_commit.as_ref(), &file.commit),
    };
    Ok(JsonText::of(&output)?)
}

/// No part of the file is told where it is not as it should be.
fn content<'a>(input: &GetFileInput, bytes: &'a [u8]) -> Result<Content<'a>, Failure> {
    let wrong = |reason: &str| Failure::Content(format!("the file {} {reason}", input.path));
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
