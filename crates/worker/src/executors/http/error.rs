//! Why a request has no answer that is worth anything. No text here repeats a header, a body that is sent, or more of a URL
//! than its host.

use http::StatusCode;
use orchestratum_core::task::{Ending, InvalidUrl};
use orchestratum_engine::error::chain;

use super::REDIRECTS_MAX;
use super::body::RATIO_MAX;
use super::guard::Refused;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the request to `{host}` failed: {reason}")]
    NoAnswer { host: String, reason: String },
    #[error("the body of the answer could not be read: {}", chain(.0))]
    Unreadable(hyper::Error),
    #[error("there was no whole answer within {seconds} s")]
    TooSlow { seconds: f64 },
    #[error("the answer has the status {status}, which is not expected{}", told(.beginning))]
    UnexpectedStatus { status: StatusCode, beginning: String },
    #[error("the request was redirected more than {REDIRECTS_MAX} times")]
    TooManyRedirects,
    #[error("the request was redirected to a URL that {0}")]
    RedirectedAstray(InvalidUrl),
    #[error("the request was redirected to what is no URL")]
    RedirectedNowhere,
    #[error("the request was redirected from https to http, where anyone on the way could read it")]
    RedirectedToPlain,
    #[error("the URL cannot be sent: a character of it belongs to none")]
    Unsendable,
    #[error("the body of the answer is compressed, and not with gzip, which alone was offered")]
    UnknownEncoding,
    #[error("the body of the answer is no whole gzip")]
    Corrupt,
    #[error("the body of the answer is compressed to less than 1/{RATIO_MAX} of its size")]
    Bomb,
    #[error("the body of the answer has more than {most} bytes")]
    TooLarge { most: usize },
    #[error("more than {most} bytes were received, with all redirects, interim answers, headers and framing")]
    TooMuchReceived { most: usize },
    #[error("the answer {0}")]
    NotStorable(orchestratum_core::InvalidJson),
}

fn told(beginning: &str) -> String {
    if beginning.is_empty() {
        String::new()
    } else {
        format!(": {beginning}")
    }
}

impl Error {
    /// With who sent the request to where it failed, where whoever wrote the task would look for that in vain.
    pub(super) fn after(self, redirected_by: Option<String>) -> Self {
        match self {
            Self::Refused(refused) => Self::Refused(Refused {
                redirected_by,
                ..refused
            }),
            other => other,
        }
    }

    /// What it means for the attempt: whether the same request might be answered otherwise.
    pub(super) fn ending(&self) -> Ending {
        let message = self.to_string();
        let retryable = match self {
            Self::NoAnswer { .. }
            | Self::Unreadable(_)
            | Self::TooSlow { .. }
            | Self::UnexpectedStatus { .. }
            | Self::Corrupt => true,
            Self::Refused(_)
            | Self::TooManyRedirects
            | Self::RedirectedAstray(_)
            | Self::RedirectedNowhere
            | Self::RedirectedToPlain
            | Self::Unsendable
            | Self::UnknownEncoding
            | Self::Bomb
            | Self::TooMuchReceived { .. } => false,
            Self::TooLarge { .. } | Self::NotStorable(_) => return Ending::OutputNotStorable { message },
        };
        Ending::Failed {
            message,
            retryable,
            code: None,
        }
    }
}
