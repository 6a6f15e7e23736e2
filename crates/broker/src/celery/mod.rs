//! What Celery's workers say and understand: protocol 2 of their messages, in JSON, and their remote control.
//!
//! ```text
//!   TaskMessage ──► the queue that the workers consume         (default exchange, confirmed)
//!   revoke, ping ──► celery.pidbox, a fanout to every worker   (not durable: gone with a restart of the broker)
//!   Answer ◄── our queue for replies                           (result backend `rpc://`: many, the last one decides)
//!   pong   ◄── reply.celery.pidbox ◄── our queue for replies
//! ```
//!
//! No IO here: messages become bytes and bytes become answers. A worker of theirs ends, and with it every other one that the
//! message is given to next, on a body that has not exactly three elements, on a `timelimit` that has not exactly two, and on
//! a message without a content type. So there is one way to make a message, and it can make none of these.

mod answer;
mod control;
mod task_message;

pub use answer::{Answer, Failure, Unreadable};
pub use control::{Control, pong};
pub use task_message::{TaskMessage, task_id};
