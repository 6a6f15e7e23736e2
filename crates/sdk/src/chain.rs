//! Chains: what comes after a command, by how it ends.

use orchestratum_core::task::{FOLLOW_UPS_DEPTH_MAX, FOLLOW_UPS_MAX};

use crate::entry::{Ancestors, Entry};
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
        self.on_failure(next);
    }

    /// Its time-to-live ended.
    fn on_expire(&self, next: &mut Next) {
        self.on_failure(next);
    }
}

/// Takes what comes after a command.
#[derive(Debug)]
pub struct Next {
    id: CommandId,
    /// The commands before, nearest first, as far as they have no id yet.
    ancestors: Ancestors,
    depth: usize,
    entries: Vec<Entry>,
    /// How many there may still be of all that is pushed at once.
    left: usize,
    fault: Option<String>,
}

impl Next {
    /// What comes after a command that is there, or will be under this very id.
    pub(crate) fn after(id: CommandId) -> Self {
        Self {
            id,
            ancestors: Ancestors::default(),
            depth: 1,
            entries: Vec::new(),
            left: FOLLOW_UPS_MAX,
            fault: None,
        }
    }

    /// The command before. Where that one is itself to come after another, this stands for the id it will get.
    pub fn id(&self) -> CommandId {
        self.id
    }

    /// Adds a command.
    pub fn push<C: Command>(&mut self, command: impl Into<Envelope<C>>) {
        if self.fault.is_some() {
            return;
        }
        if let Err(fault) = self.add(&command.into()) {
            self.fault = Some(fault);
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
        for (list, ask) in entry.lists_without_success().into_iter().zip(failures::<C>()) {
            let mut next = Self {
                id: envelope.id,
                ancestors: ancestors.clone(),
                depth: self.depth + 1,
                entries: Vec::new(),
                left: self.left,
                fault: None,
            };
            ask(&envelope.command, &mut next);
            self.left = next.left;
            *list = next.into_entries()?;
        }
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn into_entries(self) -> Result<Vec<Entry>, String> {
        match self.fault {
            None => Ok(self.entries),
            Some(fault) => Err(fault),
        }
    }

    /// What was pushed, also where something could not be; and what that was.
    pub(crate) fn into_parts(self) -> (Vec<Entry>, Option<String>) {
        (self.entries, self.fault)
    }
}

/// What a command is asked when it is pushed, in the order of [`Entry::lists_without_success`].
pub(crate) fn failures<C: Chain>() -> [fn(&C, &mut Next); 3] {
    [C::on_failure, C::on_cancellation, C::on_expire]
}
