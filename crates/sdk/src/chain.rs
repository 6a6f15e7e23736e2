//! Chains: what comes after a command, by how it ends.

use orchestratum_core::task::{FOLLOW_UPS_DEPTH_MAX, FOLLOW_UPS_MAX};

use crate::entry::{Ancestors, Entry, List};
use crate::listed::Missing;
use crate::{Command, CommandId, Definition, Envelope};

/// What comes after a command.
///
/// What is pushed to `next` is written in the same transaction as the end of the command: exactly once, however often a report
/// is repeated and whichever process dies. [`on_success`](Self::on_success) is asked by the process that ran the handler, with
/// its output. The others can be due where nobody is left to ask, such as when a worker was lost: they are asked when the
/// command is pushed. An attempt that is tried again has no follow-ups.
///
/// ```
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// struct SendConfirmationCommand {
///     order: u64,
/// }
///
/// #[derive(Command, Serialize, Deserialize)]
/// struct NotifyAdminCommand {
///     command: CommandId,
/// }
///
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(output = u64, chain)]
/// struct ProcessOrderCommand;
///
/// impl Chain for ProcessOrderCommand {
///     fn on_success(&self, order: &u64, next: &mut Next) {
///         next.push(SendConfirmationCommand { order: *order });
///     }
///
///     // Also after a cancel and at the end of the time-to-live, which say nothing else.
///     fn on_failure(&self, next: &mut Next) {
///         next.push(NotifyAdminCommand { command: next.id() });
///     }
/// }
/// ```
///
/// A command that says `chain` has to say what comes next:
///
/// ```compile_fail
/// use orchestratum_sdk::prelude::*;
///
/// #[derive(Command, Serialize, Deserialize)]
/// #[command(chain)]
/// struct ProcessOrderCommand;
///
/// fn push(command: impl Command) {}
/// push(ProcessOrderCommand);
/// ```
pub trait Chain: Definition {
    /// The handler succeeded. A panic leaves the completion as it is: what was pushed before it is written, and that something
    /// is missing is recorded in the tree of the command.
    fn on_success(&self, output: &Self::Output, next: &mut Next) {
        let _ = (output, next);
    }

    /// The last attempt failed.
    fn on_failure(&self, next: &mut Next) {
        let _ = next;
    }

    /// It was cancelled.
    fn on_cancellation(&self, next: &mut Next) {
        next.as_after_failure(|next| self.on_failure(next));
    }

    /// Its time-to-live ended.
    fn on_expire(&self, next: &mut Next) {
        next.as_after_failure(|next| self.on_failure(next));
    }
}

/// Takes what comes after a command.
#[derive(Debug)]
pub struct Next {
    id: CommandId,
    /// The commands before, nearest first, as far as they have no id yet.
    ancestors: Ancestors,
    depth: usize,
    list: List,
    /// How many there may still be of all that is pushed at once.
    left: usize,
    missing: Vec<Missing>,
    /// How many were pushed when there was no room left.
    beyond: usize,
    kind: Kind,
}

/// Which list of a command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What cannot be written is missing, and all else is written.
    Success,
    /// One that cannot be written is refused with the command.
    Failure,
    /// The same, and it may be that of the failure, which is written once.
    LikeFailure,
}

impl Next {
    /// What comes after the success of a command that is there.
    pub(crate) fn after_success(id: CommandId) -> Self {
        Self::new(id, Ancestors::default(), 1, FOLLOW_UPS_MAX, Kind::Success)
    }

    fn new(id: CommandId, ancestors: Ancestors, depth: usize, left: usize, kind: Kind) -> Self {
        Self {
            id,
            ancestors,
            depth,
            list: List::default(),
            left,
            missing: Vec::new(),
            beyond: 0,
            kind,
        }
    }

    /// The command before. Where that one is itself to come after another, this stands for the id it will get.
    pub fn id(&self) -> CommandId {
        self.id
    }

    /// Adds a command.
    pub fn push<C: Command>(&mut self, command: impl Into<Envelope<C>>) {
        match self.kind {
            Kind::Success if self.left == 0 => {
                self.beyond += 1;
                return;
            }
            Kind::Failure | Kind::LikeFailure if !self.missing.is_empty() => return,
            Kind::Success | Kind::Failure | Kind::LikeFailure => {}
        }
        if let Err(reason) = self.add(&command.into()) {
            self.missing.push(Missing {
                name: C::NAME.to_owned(),
                reason,
            });
        }
    }

    /// What comes after a failure comes here as well.
    fn as_after_failure(&mut self, ask: impl FnOnce(&mut Self)) {
        if self.kind == Kind::LikeFailure && self.list.is_empty() {
            self.list.begins_as_after_failure = true;
        } else {
            ask(self);
        }
    }

    fn add<C: Command>(&mut self, envelope: &Envelope<C>) -> Result<(), String> {
        if self.depth > FOLLOW_UPS_DEPTH_MAX {
            return Err(format!(
                "what comes after `{}` by its failure lies deeper than {FOLLOW_UPS_DEPTH_MAX} in each other: a cycle of \
                 failures cannot be written",
                C::NAME
            ));
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Err(format!(
                "more than {FOLLOW_UPS_MAX} commands come after one, with what comes after those"
            ));
        };
        self.left = left;
        let mut entry = Entry::follow_up(envelope, &self.ancestors)?;
        let ancestors = self.ancestors.with(envelope.id);
        self.left = without_success(envelope, &mut entry, &ancestors, self.depth + 1, self.left)?;
        self.list.entries.push(entry);
        Ok(())
    }

    /// What was pushed, also where something could not be; and what that was.
    pub(crate) fn into_parts(mut self) -> (Vec<Entry>, Vec<Missing>) {
        if self.beyond > 0 {
            let reason = format!("the last {} of more than {FOLLOW_UPS_MAX} in all", self.beyond);
            self.missing.push(Missing::unnamed(reason));
        }
        (self.list.entries, self.missing)
    }
}

/// Asks a command that is pushed what comes after it unless it succeeds.
///
/// # Errors
/// Why something of it cannot be written.
pub(crate) fn after_pushed<C: Command>(envelope: &Envelope<C>, entry: &mut Entry) -> Result<(), String> {
    without_success(envelope, entry, &Ancestors::default(), 1, FOLLOW_UPS_MAX).map(drop)
}

/// The same at some depth; answers how many there may still be.
fn without_success<C: Command>(
    envelope: &Envelope<C>,
    entry: &mut Entry,
    ancestors: &Ancestors,
    depth: usize,
    mut left: usize,
) -> Result<usize, String> {
    let mut ask = |kind: Kind, ask: fn(&C, &mut Next)| {
        let mut next = Next::new(envelope.id, ancestors.clone(), depth, left, kind);
        ask(&envelope.command, &mut next);
        left = next.left;
        match next.missing.pop() {
            None => Ok(next.list),
            Some(missing) => Err(missing.reason),
        }
    };
    let after_failure = ask(Kind::Failure, C::on_failure)?;
    let after_cancellation = ask(Kind::LikeFailure, C::on_cancellation)?;
    let after_expiry = ask(Kind::LikeFailure, C::on_expire)?;
    entry.set_lists(after_failure.entries, after_cancellation, after_expiry);
    Ok(left)
}
