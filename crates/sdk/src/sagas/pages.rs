//! Lists that come page by page.

use std::collections::VecDeque;
use std::fmt;

use futures::future::BoxFuture;
use serde::Deserialize;

use crate::Error;

/// A page as it is answered.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next one begins; `None` at the end.
    #[serde(rename = "next_cursor")]
    pub(crate) next: Option<String>,
}

type Ask<T> = Box<dyn Fn(Option<String>) -> BoxFuture<'static, Result<Page<T>, Error>> + Send + Sync>;

/// A list that is asked for page by page, as far as its caller goes. Nothing is asked before the first.
///
/// ```
/// # use orchestratum_sdk::prelude::*;
/// # async fn look(orchestratum: Orchestratum) -> Result<(), orchestratum_sdk::Error> {
/// let hour = Duration::from_secs(3_600);
/// let mut stale = orchestratum.sagas().find_stale(hour);
/// while let Some(saga) = stale.next().await? {
///     println!("{} {}: {} since {}", saga.definition, saga.correlation_id, saga.state, saga.updated_at);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pages<T> {
    ask: Ask<T>,
    position: Position,
    /// Of the newest page, what nobody has taken.
    left: VecDeque<T>,
}

#[derive(Debug)]
enum Position {
    Start,
    Behind(String),
    End,
}

impl<T> Pages<T> {
    pub(super) fn new(
        ask: impl Fn(Option<String>) -> BoxFuture<'static, Result<Page<T>, Error>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            ask: Box::new(ask),
            position: Position::Start,
            left: VecDeque::new(),
        }
    }

    /// The next of the list; `None` at its end. After an error the same is asked for again.
    ///
    /// # Errors
    /// What keeps the page from being read.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        while self.left.is_empty() && self.turn().await? {}
        Ok(self.left.pop_front())
    }

    /// All that came with the next answer, or what is left of the last; `None` at the end of the list.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_page(&mut self) -> Result<Option<Vec<T>>, Error> {
        while self.left.is_empty() && self.turn().await? {}
        let page: Vec<T> = std::mem::take(&mut self.left).into();
        Ok((!page.is_empty()).then_some(page))
    }

    /// Up to so many of the list.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn take(&mut self, most: usize) -> Result<Vec<T>, Error> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(item) = self.next().await?
        {
            taken.push(item);
        }
        Ok(taken)
    }

    /// Asks for the next page; `false` if there is none.
    async fn turn(&mut self) -> Result<bool, Error> {
        let cursor = match &self.position {
            Position::Start => None,
            Position::Behind(cursor) => Some(cursor.clone()),
            Position::End => return Ok(false),
        };
        let Page { items, next } = (self.ask)(cursor).await?;
        self.left.extend(items);
        self.position = next.map_or(Position::End, Position::Behind);
        Ok(true)
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("position", &self.position)
            .field("left", &self.left.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;

    use super::*;

    /// Of three numbers, none and two; the second page cannot be read the first time.
    fn pages() -> Pages<u32> {
        let asked = AtomicUsize::new(0);
        Pages::new(move |cursor| {
            let asked = asked.fetch_add(1, Ordering::SeqCst);
            let page = |items: &[u32], next: Option<&str>| {
                Ok(Page {
                    items: items.to_vec(),
                    next: next.map(str::to_owned),
                })
            };
            let answer = match cursor.as_deref() {
                None => page(&[1, 2, 3], Some("b")),
                Some("b") if asked == 1 => Err(Error::Refused("not now".to_owned())),
                Some("b") => page(&[], Some("c")),
                Some("c") => page(&[4, 5], None),
                Some(other) => panic!("there is no page {other}"),
            };
            std::future::ready(answer).boxed()
        })
    }

    #[tokio::test]
    async fn a_list_goes_on_over_empty_pages_and_after_an_error() {
        let mut pages = pages();
        assert_eq!(pages.take(2).await.expect("it is read"), [1, 2]);
        assert_eq!(pages.next_page().await.expect("it is read"), Some(vec![3]));
        assert!(pages.next().await.is_err());
        assert_eq!(pages.next_page().await.expect("it is read"), Some(vec![4, 5]));
        assert_eq!(pages.next_page().await.expect("it is over"), None);
        assert_eq!(pages.next().await.expect("it is over"), None);
    }
}
