//! The deliberate bugs of the transactions: the proof that the checks of the simulation bite.

/// A deliberate bug in what is written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsMutant {
    /// That the inputs of a look were taken is written in a transaction of its own, after that of the saga.
    TakenIsWrittenAfterwards,
    /// The end of a task reaches its saga in a transaction of its own, after that of the task.
    EndIsWrittenAfterwards,
    /// A parent is told of the end of its child in a transaction of its own, after that of the child.
    ParentIsToldAfterwards,
    /// The tasks of a look are made in a transaction of their own, after that of the saga.
    TasksAreMadeAfterwards,
    /// Nobody looks whether an event with the id was taken before.
    EventIdsAreForgotten,
    /// A timer that has fired stays.
    TimersFireAgain,
    /// The timers of a saga that is over stay.
    TimersOutliveTheirSaga,
}
