//! What types must say of themselves to be used in a saga. The derive macros of the SDK write all of it.

use super::term::{Place, Term};

/// A struct whose fields can be spoken of before there is a value of it: a context, the data of an event, the input of a task.
pub trait Fields {
    /// A term for each field. As a value it says what each becomes.
    type Terms;

    /// As they are called in JSON.
    const NAMES: &'static [&'static str];

    /// Those of a value that is at some place.
    fn terms(place: &Place) -> Self::Terms;
}

/// A term for each field of a struct, which together are the struct.
pub trait Terms {
    type Of;

    fn whole(self) -> Term<Self::Of>;
}

/// Nothing is known of what is there.
impl Fields for () {
    type Terms = ();

    const NAMES: &'static [&'static str] = &[];

    fn terms(_: &Place) {}
}

/// Something that moves a saga: its name, and its data in the fields.
pub trait Event: Fields {
    const NAME: &'static str;
}

/// An event that the failure of a task raises: its data are those of the failure.
pub trait FailureEvent: Event<Terms = FailureTerms> {}

impl<E: Event<Terms = FailureTerms>> FailureEvent for E {}

/// What a task tells of its failure.
#[derive(Debug, Clone)]
pub struct FailureTerms {
    /// Such as `Failed` or `TimedOut`.
    pub kind: Term<String>,
    pub message: Term<String>,
    /// A short word for a program, where whoever failed gave one.
    pub code: Term<Option<String>>,
}

impl FailureTerms {
    pub const NAMES: &'static [&'static str] = &["kind", "message", "code"];

    pub fn at(place: &Place) -> Self {
        Self {
            kind: place.field("kind"),
            message: place.field("message"),
            code: place.field("code"),
        }
    }
}

/// An event that is raised when many tasks have ended, each of which answers an `O`.
pub trait JoinedEvent<O>: Event<Terms = JoinedTerms<O>> {}

impl<O, E: Event<Terms = JoinedTerms<O>>> JoinedEvent<O> for E {}

/// What many tasks come to.
#[derive(Debug, Clone)]
pub struct JoinedTerms<O> {
    /// In the order of the list; nothing for those that did not succeed.
    pub outputs: Term<Vec<Option<O>>>,
    /// The message of the first that failed.
    pub message: Term<Option<String>>,
}

impl<O> JoinedTerms<O> {
    pub const NAMES: &'static [&'static str] = &["outputs", "errors", "message"];

    pub fn at(place: &Place) -> Self {
        Self {
            outputs: place.field("outputs"),
            message: place.field("message"),
        }
    }
}

/// The states of a saga: an enum.
pub trait States: Sized + 'static {
    /// All of them. A saga begins in the first.
    const ALL: &'static [Self];

    fn name(&self) -> &'static str;
}

/// A kind of task: what it answers, and its name.
pub trait TaskKind {
    type Answer;

    const TASK: &'static str;
}
