/// What a list had, up to the bound of [`Settings`](crate::Settings).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// Whether there is more than that.
    pub has_more: bool,
}
