//! Following changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep_until, timeout};

use super::filter::ChangeFilter;
use super::hub::{Changes, Listener};
use super::ring::{Change, ChangeId, From};
use crate::following::Following;
use crate::keys::Identity;
use crate::{Engine, Error};

/// Whoever begins to follow does not wait for longer than that.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many changes are looked through at once.
const LOOKED_AT_ONCE: usize = 500;

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowedChanges {
    /// From here on nothing is missed. It comes first, unless a place was given that is kept.
    Ready(ChangeId),
    /// In their order; never none.
    Changed(Vec<Arc<Change>>),
    /// Changes were missed; from here on none is.
    Reset(ChangeId),
}

/// Somebody who follows changes, until this is dropped.
#[derive(Debug)]
pub struct ChangeFollower {
    following: Following,
    listener: Listener,
    filter: ChangeFilter,
    /// Told up to here.
    place: ChangeId,
    first: Option<FollowedChanges>,
}

impl Engine {
    /// Begins to follow changes, for the time that the settings allow, or for as long as the caller's key is valid; from behind a
    /// place, if it is still kept.
    ///
    /// # Errors
    /// [`Error::TooManyFollowers`], [`Error::TooManyFollowersOfOneKey`], [`Error::Stopping`].
    pub fn follow_changes(
        &self,
        caller: Arc<Identity>,
        filter: ChangeFilter,
        behind: Option<ChangeId>,
    ) -> Result<ChangeFollower, Error> {
        let following = self.begin_following(caller)?;
        let changes = &self.parts.live_changes;
        let listener = changes.listen();
        let newest = changes.newest();
        let (place, first) = match behind {
            None => (newest, Some(FollowedChanges::Ready(newest))),
            Some(place) => match changes.behind(place, 0) {
                From::Kept { .. } => (place, None),
                From::Lost => (newest, Some(FollowedChanges::Reset(newest))),
            },
        };
        Ok(ChangeFollower {
            following,
            listener,
            filter,
            place,
            first,
        })
    }
}

impl ChangeFollower {
    /// Waits for what comes next; `None` when the process stops, the time has passed, or the caller's key is no longer what it was.
    pub async fn next(&mut self) -> Option<FollowedChanges> {
        let Self {
            following,
            listener,
            filter,
            place,
            first,
        } = self;
        let parts = &following.engine().parts;
        let asking = async {
            if first.is_some() {
                // Before that something of another process may pass unnoticed.
                let _ = timeout(PATIENCE, others_tell(listener, &parts.live_changes)).await;
                return first.take();
            }
            loop {
                // Marked before the look, so that nothing between the look and the wait is missed.
                listener.told.borrow_and_update();
                match parts.live_changes.behind(*place, LOOKED_AT_ONCE) {
                    From::Lost => {
                        *place = parts.live_changes.newest();
                        return Some(FollowedChanges::Reset(*place));
                    }
                    From::Kept { changes, next } => {
                        let looked = changes.len();
                        place.sequence = next;
                        let wanted: Vec<_> = changes
                            .into_iter()
                            .filter(|change| filter.admits(&change.what))
                            .collect();
                        if !wanted.is_empty() {
                            return Some(FollowedChanges::Changed(wanted));
                        }
                        if looked == LOOKED_AT_ONCE {
                            continue;
                        }
                    }
                }
                tokio::select! {
                    told = listener.told.changed() => told.ok()?,
                    () = parts.follows.giving_up() => return None,
                }
            }
        };
        following.news(asking).await
    }
}

/// Waits until the other processes tell what changes there.
async fn others_tell(listener: &mut Listener, changes: &Changes) {
    loop {
        listener.told.borrow_and_update();
        if let Some(heard_at) = changes.heard_at() {
            return sleep_until(heard_at).await;
        }
        if listener.told.changed().await.is_err() {
            return;
        }
    }
}
