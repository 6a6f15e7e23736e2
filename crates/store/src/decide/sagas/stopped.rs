//! Child sagas below one that is cancelled, or over: those that have not begun never do.
//!
//! A cancel goes down from parent to child, a look at each. Where children begin others meanwhile it would never come up with them.

use std::collections::{BTreeMap, BTreeSet};

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Instance, Phase};

use super::SagaHead;

/// A saga in the line from children that have not begun up to their root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InLine {
    pub(crate) id: SagaId,
    pub(crate) parent: Option<SagaId>,
    /// It goes back, or is over, or a cancel waits for it: nothing begins below it.
    pub(crate) is_stopped: bool,
}

/// The children that have not begun.
pub(crate) fn unbegun_children(locked: &[(SagaHead, Instance)]) -> Vec<SagaId> {
    let unbegun = locked
        .iter()
        .filter(|(head, instance)| head.parent.is_some() && instance.phase == Phase::Created);
    unbegun.map(|(head, _)| head.id).collect()
}

/// Those of the children in whose line one is stopped.
pub(crate) fn stopped(children: &[SagaId], line: Vec<InLine>) -> BTreeSet<SagaId> {
    let line: BTreeMap<SagaId, InLine> = line.into_iter().map(|saga| (saga.id, saga)).collect();
    let above = |child: SagaId| {
        std::iter::successors(line.get(&child), |saga| {
            saga.parent.and_then(|parent| line.get(&parent))
        })
    };
    let children = children.iter().copied();
    children
        .filter(|child| above(*child).any(|saga| saga.is_stopped))
        .collect()
}
