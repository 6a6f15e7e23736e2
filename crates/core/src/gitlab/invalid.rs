/// Why a text is no name. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {rule}")]
pub struct InvalidName {
    pub what: &'static str,
    /// Such as "must not have a `..`".
    pub rule: &'static str,
}
