//! What can go wrong between us and a broker. Nothing of it loses a task.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection at the moment; the supervisor is bringing it back.
    #[error("the broker is not connected")]
    Disconnected,
    /// Nobody answers there, or no broker does.
    #[error("no connection to {place}")]
    Unreached {
        place: String,
        #[source]
        cause: lapin::Error,
    },
    #[error("no connection to {place} within {seconds} s")]
    UnreachedInTime { place: String, seconds: u64 },
    #[error("{place} refuses the user or the password of its URL")]
    Denied { place: String },
    /// The broker is short of memory or disk and takes no messages until it has recovered.
    #[error("the broker has blocked its publishers")]
    Blocked,
    #[error("the broker did not answer within {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the broker refused the operation")]
    Refused(#[source] lapin::Error),
    /// The message came back: no queue takes it.
    #[error("no queue takes the message: {0}")]
    Unroutable(String),
    /// As a queue does that is full and is told to refuse.
    #[error("the broker did not take the message")]
    NotTaken,
    #[error("a name in the message has more than 255 bytes")]
    NameTooLong,
    /// The broker ended a consumption by itself, as it does when the queue is deleted.
    #[error("the broker cancelled the consumption of {queue}")]
    Cancelled { queue: String },
    #[error("the URL in `broker.url` is not usable: {0}")]
    Url(String),
    #[error("the database that stands in for a broker failed")]
    Database(#[source] orchestratum_store::Error),
}
