use orchestratum_core::JsonText;
use orchestratum_core::task::CreateMergeRequestInput;
use orchestratum_gitlab::{MergeRequestState, NewMergeRequest};
use serde::Serialize;

use super::{Call, Failure};

#[derive(Serialize)]
struct Output<'a> {
    iid: u64,
    web_url: &'a str,
    state: MergeRequestState,
    /// Somebody else has made it: nothing closes it again.
    existing: bool,
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = CreateMergeRequestInput::read(call.input())?;
    let step = call.step(input.step.as_ref())?;
    let description = input.whole_description();
    let new = NewMergeRequest {
        source: input.source_branch,
        target: input.target_branch,
        title: input.title,
        description,
        step,
    };
    let made = call.changing().create_merge_request(&input.project, &new).await?;
    let there = made.as_inner();
    let output = Output {
        iid: there.iid,
        web_url: &there.web_url,
        state: there.state,
        existing: !made.is_ours(),
    };
    Ok(JsonText::of(&output)?)
}
