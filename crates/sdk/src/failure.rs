//! Why a handler has no output.

use std::error::Error as StdError;
use std::io;

use orchestratum_core::task::ErrorCode;
use orchestratum_worker::HandlerError;

/// Why a handler has no output, and what comes of that. By `?` all becomes one that is an error or can be made a
/// `Box<dyn Error + Send + Sync>`: so do `anyhow::Error` and its like, such a box itself, and texts.
///
/// ```
/// use orchestratum_sdk::Failure;
///
/// fn charge(card: &str) -> Result<u64, Failure> {
///     if card.is_empty() {
///         // It would be the same again.
///         return Err(Failure::permanent("there is no card"));
///     }
///     // May go better the next time.
///     Ok(card.parse::<u64>()?)
/// }
///
/// assert_eq!(charge("").unwrap_err().to_string(), "there is no card");
/// assert_eq!(charge("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
///
/// An error that says that something took too long is [`timed_out`](Self::timed_out): a timeout of tokio, of reqwest or of the
/// operating system, also as the cause of another. The outermost error within an `anyhow::Error` cannot be looked at: give it a
/// context, or leave it by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub(crate) HandlerError);

impl Failure {
    /// The attempt failed; it is tried again if there are retries left.
    pub fn new(message: impl Into<String>) -> Self {
        Self(HandlerError::Retryable(message.into()))
    }

    /// The command has failed, whatever retries are left.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self(HandlerError::Permanent(message.into()))
    }

    /// The command is cancelled: nothing is tried again, and what comes after a cancel comes.
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self(HandlerError::Cancelled(message.into()))
    }

    /// What it waited for took too long. Uses a retry like any other.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self(HandlerError::TimedOut(message.into()))
    }

    /// Nobody here can do that. Uses a retry like any other.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self(HandlerError::NotFound(message.into()))
    }

    /// With a short word for a program: a saga sees it as `event.data.code`, a follow-up as `error.code`. Only what is [`new`](Self::new)
    /// or [`permanent`](Self::permanent) has one.
    ///
    /// # Panics
    /// If it does not match `[a-z][a-z0-9_]*`, or has more than 64 characters.
    #[must_use]
    pub fn code(self, code: &'static str) -> Self {
        let code = ErrorCode::new(code).expect("a code is a short word of a-z, 0-9 and _");
        let (message, retryable) = match self.0 {
            HandlerError::Retryable(message) => (message, true),
            HandlerError::Permanent(message) => (message, false),
            HandlerError::Coded { message, retryable, .. } => (message, retryable),
            other @ (HandlerError::TimedOut(_) | HandlerError::NotFound(_) | HandlerError::Cancelled(_)) => {
                return Self(other);
            }
        };
        Self(HandlerError::Coded {
            message,
            retryable,
            code,
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

// It is no error itself: then it could not be made of all others.
impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error: Box<dyn StdError + Send + Sync> = error.into();
        let message = orchestratum_engine::error::chain(&*error);
        if says_that_it_took_too_long(&*error) {
            Self::timed_out(message)
        } else {
            Self::new(message)
        }
    }
}

fn says_that_it_took_too_long(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let is_timeout = error.is::<tokio::time::error::Elapsed>()
            || error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
            || error
                .downcast_ref::<reqwest::Error>()
                .is_some_and(reqwest::Error::is_timeout);
        if is_timeout {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the bank does not answer")]
    struct Bank(#[source] io::Error);

    #[tokio::test]
    async fn match_05_what_took_too_long_is_timed_out_and_all_else_has_failed_with_its_text() {
        let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await;
        let failure = Failure::from(elapsed.expect_err("it waits for ever"));
        assert!(matches!(failure.0, HandlerError::TimedOut(_)), "{failure:?}");

        let failure = Failure::from(Bank(io::Error::new(io::ErrorKind::TimedOut, "no answer")));
        let expected = "the bank does not answer: no answer";
        assert_eq!(failure.0, HandlerError::TimedOut(expected.to_owned()));

        let failure = Failure::from(Bank(io::Error::other("closed")));
        let expected = "the bank does not answer: closed";
        assert_eq!(failure.0, HandlerError::Retryable(expected.to_owned()));
    }

    #[test]
    fn what_has_an_error_inside_is_told_with_all_its_causes() {
        fn inner() -> Result<(), anyhow::Error> {
            use anyhow::Context;

            Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")).context("the bank is away")
        }
        fn of(work: impl FnOnce() -> Result<(), Failure>) -> HandlerError {
            work().expect_err("it failed").0
        }
        let message = "the bank is away: no answer".to_owned();
        assert_eq!(of(|| Ok(inner()?)), HandlerError::TimedOut(message));
        let boxed: Box<dyn StdError + Send + Sync> = Box::new(io::Error::other("closed"));
        assert_eq!(of(|| Err(boxed)?), HandlerError::Retryable("closed".to_owned()));
        assert_eq!(of(|| Err("a word")?), HandlerError::Retryable("a word".to_owned()));
        assert_eq!(
            of(|| Err(Failure::permanent("never"))?),
            HandlerError::Permanent("never".to_owned())
        );
    }

    #[test]
    fn a_code_goes_along_with_what_has_failed() {
        let coded = |failure: Failure| match failure.code("out_of_stock").0 {
            HandlerError::Coded {
                message,
                retryable,
                code,
            } => (message, retryable, code.to_string()),
            other => panic!("{other:?}"),
        };
        let expected = |retryable| ("no".to_owned(), retryable, "out_of_stock".to_owned());
        assert_eq!(coded(Failure::permanent("no")), expected(false));
        assert_eq!(coded(Failure::new("no").code("other")), expected(true));
        assert_eq!(Failure::not_found("no").code("other"), Failure::not_found("no"));
    }
}
