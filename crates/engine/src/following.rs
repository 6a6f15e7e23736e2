//! What all who follow something have in common: a place, an end, and a key that stays valid.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::keys::Identity;
use crate::places::Place;
use crate::{Engine, Error, error};

/// How often is asked whether a caller may still follow who is told nothing.
const CALLER_CHECKED_EVERY: Duration = Duration::from_secs(5);

/// Somebody who follows, until this is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    engine: Engine,
    caller: Arc<Identity>,
    until: Instant,
    _place: Place,
}

impl Engine {
    /// Begins to follow, for the time that the settings allow, or for as long as the caller's key is valid.
    pub(crate) fn begin_following(&self, caller: Arc<Identity>) -> Result<Following, Error> {
        let place = self.parts.follows.begin(&caller.key_id)?;
        Ok(Following {
            engine: self.clone(),
            caller,
            until: Instant::now() + Duration::from_secs_f64(self.parts.settings.api.max_follow_seconds),
            _place: place,
        })
    }
}

impl Following {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is asked for; `None` where that is `None`, and when the time has passed, or the caller's key is no longer what it was.
    pub(crate) async fn news<News>(&self, asking: impl Future<Output = Option<News>>) -> Option<News> {
        timeout_at(self.until, self.news_for_the_caller(asking))
            .await
            .ok()
            .flatten()
    }

    /// The key was checked when the following began: it may have been revoked since, or have expired.
    async fn news_for_the_caller<News>(&self, asking: impl Future<Output = Option<News>>) -> Option<News> {
        tokio::pin!(asking);
        let news = loop {
            if let Ok(news) = timeout(CALLER_CHECKED_EVERY, &mut asking).await {
                break news?;
            }
            // Nothing is told meanwhile: it may be known later again whether it may be.
            if !self.may_follow().await.unwrap_or(true) {
                return None;
            }
        };
        // Where it is not known, the caller comes again.
        self.may_follow().await.unwrap_or(false).then_some(news)
    }

    /// `None` where that cannot be said now.
    async fn may_follow(&self) -> Option<bool> {
        match self.engine.is_still(&self.caller).await {
            Ok(valid) => Some(valid),
            Err(error) => {
                tracing::debug!(error = %error::chain(&error), "the key of a follower cannot be checked");
                None
            }
        }
    }
}
