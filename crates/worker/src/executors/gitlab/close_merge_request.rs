use orchestratum_core::JsonText;
use orchestratum_core::task::CloseMergeRequestInput;
use orchestratum_gitlab::MergeRequestState;
use serde::Serialize;

use super::{Call, Failure};

#[derive(Serialize)]
struct Output {
    closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<MergeRequestState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = CloseMergeRequestInput::read(call.input())?;
    let output = if input.existing {
        Output {
            closed: false,
            state: None,
            reason: Some("it was there before"),
        }
    } else {
        let there = call.changing().close_merge_request(&input.project, input.iid).await?;
        let closed = there.state == MergeRequestState::Closed;
        Output {
            closed,
            state: Some(there.state),
            reason: (!closed).then_some("it is merged, or about to be"),
        }
    };
    Ok(JsonText::of(&output)?)
}
