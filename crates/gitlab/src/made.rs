/// What came of making something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made<T> {
    /// This call made it.
    New(T),
    /// The same step had made it before, or a request of this call whose answer was lost did.
    Again(T),
    /// It was there and does the same, and it is not known to be ours: nothing may take it away again.
    Existing(T),
}

impl<T> Made<T> {
    pub fn into_inner(self) -> T {
        match self {
            Self::New(thing) | Self::Again(thing) | Self::Existing(thing) => thing,
        }
    }

    pub fn as_inner(&self) -> &T {
        match self {
            Self::New(thing) | Self::Again(thing) | Self::Existing(thing) => thing,
        }
    }

    /// Whether a compensation may take it away.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::New(_) | Self::Again(_) => true,
            Self::Existing(_) => false,
        }
    }
}
