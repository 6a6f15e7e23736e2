//! Lists that come in pages.

use reqwest::Url;
use reqwest::header::LINK;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Answer, Request};
use crate::{Client, Listed, Problem};

/// The most that GitLab gives at once.
const PAGE_SIZE: &str = "100";

/// Of the query of a next page.
const QUERY_MAX_BYTES: usize = 4 * 1024;

impl Client {
    /// Reads pages until `is_enough` says so of one, there are no more, or a bound is reached: that of pages, or that of bytes. Totals are not asked for: GitLab leaves
    /// them out of long lists.
    pub(crate) async fn pages<T: DeserializeOwned + Send>(
        &self,
        request: Request,
        deadline: Instant,
        is_enough: impl Fn(&[T]) -> bool + Send,
    ) -> Result<Listed<T>, Problem> {
        let mut request = request.query("per_page", PAGE_SIZE);
        let mut items: Vec<T> = Vec::new();
        let mut bytes = 0;
        for _ in 0..self.limits.pages_max {
            let answer = self.repeat(&request, deadline).await?;
            let page: Vec<T> = answer.read()?;
            bytes += answer.body.len();
            let is_whole = is_enough(&page) || page.is_empty();
            items.extend(page);
            match next_query(&answer) {
                Some(query) if !is_whole && bytes < self.limits.list_max_bytes => request = request.with_query(query),
                next => {
                    return Ok(Listed {
                        items,
                        has_more: next.is_some() && !is_whole,
                    });
                }
            }
        }
        Ok(Listed { items, has_more: true })
    }
}

/// What the next page is asked for with. Only the query is taken: GitLab tells its own address as it knows it, which may not be ours,
/// and what would stand there gets the token.
fn next_query(answer: &Answer) -> Option<Vec<(String, String)>> {
    let links = answer.header(&LINK)?;
    let next = links.split(',').find_map(|link| {
        let (target, parameters) = link.trim().split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter == "rel=\"next\"" || parameter == "rel=next"
        });
        is_next.then(|| target.trim_start_matches('<'))
    })?;
    let url: Url = next.parse().ok()?;
    let query = url.query().filter(|query| query.len() <= QUERY_MAX_BYTES)?;
    (!query.is_empty()).then(|| url.query_pairs().into_owned().collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn next(link: &'static str) -> Option<Vec<(String, String)>> {
        let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]);
        next_query(&Answer {
            headers,
            body: Bytes::new(),
        })
    }

    #[test]
    fn only_the_query_of_the_next_page_is_taken() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let link =
            "<https://evil.example/x?page=1>; rel=\"prev\", <https://evil.example/x?page=3&q=a%20b>; rel=\"next\"";
        assert_eq!(next(link), Some(vec![pair("page", "3"), pair("q", "a b")]));
        for none in [
            "",
            "<https://a/b?page=1>; rel=\"first\"",
            "<https://a/b>; rel=\"next\"",
            "nonsense",
            "<a?b=1>; rel=next",
        ] {
            assert_eq!(next(none), None, "{none}");
        }
    }
}
