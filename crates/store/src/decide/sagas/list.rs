//! What a list of sagas looks at.

use std::cmp::Reverse;

use orchestratum_core::SagaId;
use orchestratum_core::saga::SagaStatus;
use uuid::Uuid;

use crate::{Error, PAGE_BYTES, Saga, SagaFilter, SagaPage};

/// The way to the candidates of a list. Each has a statement of its own, so that its index is used whatever else the filter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SagaWay {
    /// No index of its own: all sagas.
    Newest,
    /// There is at most one of each definition.
    Correlated,
    /// As many as a saga has started.
    OfParent,
    OfDefinition,
    OfStatus,
}

impl SagaWay {
    const fn of(filter: &SagaFilter) -> Self {
        match filter.status {
            _ if filter.correlation_id.is_some() => Self::Correlated,
            _ if filter.parent.is_some() => Self::OfParent,
            // The index of statuses has all but those that are Completed, which are most.
            Some(SagaStatus::Completed) | None if filter.definition.is_some() => Self::OfDefinition,
            Some(SagaStatus::Completed) | None => Self::Newest,
            Some(_) => Self::OfStatus,
        }
    }

    /// Whether candidates may fall out of a page, so that one that is not full may still not be the last.
    const fn narrows(self, filter: &SagaFilter) -> bool {
        let SagaFilter {
            definition,
            state,
            status,
            correlation_id: _,
            parent: _,
            unchanged_since,
        } = filter;
        let by_more = state.is_some() || unchanged_since.is_some();
        match self {
            Self::Correlated => false,
            Self::OfParent => by_more || definition.is_some() || status.is_some(),
            Self::Newest | Self::OfDefinition => by_more || status.is_some(),
            Self::OfStatus => by_more || definition.is_some(),
        }
    }
}

/// What finds the sagas of a list.
pub(crate) trait FindsSagas: Sync {
    /// At most `limit` sagas of one way, newest first, with how many there are, up to one more.
    fn page(
        &self,
        way: SagaWay,
        filter: &SagaFilter,
        before: Uuid,
        limit: usize,
    ) -> impl Future<Output = Result<(Vec<Saga>, usize), Error>> + Send;

    /// The last candidate of a window that is full.
    fn end(
        &self,
        way: SagaWay,
        filter: &SagaFilter,
        before: Uuid,
        limit: usize,
    ) -> impl Future<Output = Result<Option<SagaId>, Error>> + Send;
}

/// Those before `before`, newest first.
pub(crate) async fn list_sagas(
    store: &impl FindsSagas,
    filter: &SagaFilter,
    before: Option<SagaId>,
    limit: usize,
) -> Result<SagaPage, Error> {
    let Some(filters) = by_status(filter) else {
        return page(store, filter, before, limit).await;
    };
    let mut pages = Vec::with_capacity(filters.len());
    for filter in &filters {
        pages.push(page(store, filter, before, limit).await?);
    }
    Ok(merged(pages, limit))
}

async fn page(
    store: &impl FindsSagas,
    filter: &SagaFilter,
    before: Option<SagaId>,
    limit: usize,
) -> Result<SagaPage, Error> {
    let way = SagaWay::of(filter);
    let before = before.map_or(Uuid::max(), |id| id.0);
    let (items, found) = store.page(way, filter, before, limit).await?;
    let mut page = saga_page(items, found);
    if page.next.is_none() && way.narrows(filter) {
        page.next = store.end(way, filter, before, limit).await?;
    }
    Ok(page)
}

/// Which lists make up that of those to which nothing happens: it has the live ones but those that wait for an answer.
fn by_status(filter: &SagaFilter) -> Option<[SagaFilter; 4]> {
    let SagaFilter {
        definition: _,
        state: _,
        status,
        correlation_id,
        parent,
        unchanged_since,
    } = filter;
    if unchanged_since.is_none() || status.is_some() || correlation_id.is_some() || parent.is_some() {
        return None;
    }
    let working = [
        SagaStatus::Running,
        SagaStatus::NeedsAttention,
        SagaStatus::Compensating,
        SagaStatus::CompensationStuck,
    ];
    Some(working.map(|status| SagaFilter {
        status: Some(status),
        ..filter.clone()
    }))
}

/// One page of many. Where one of them has not come as far as the others, the next page begins there.
fn merged(pages: Vec<SagaPage>, limit: usize) -> SagaPage {
    let end = pages.iter().filter_map(|page| page.next).max();
    let mut items: Vec<Saga> = pages.into_iter().flat_map(|page| page.items).collect();
    items.retain(|saga| Some(saga.id) >= end);
    items.sort_by_key(|saga| Reverse(saga.id));
    let mut bytes = 0;
    let fitting = items.iter().take(limit).take_while(|saga| {
        let is_first = bytes == 0;
        bytes += saga.instance.input.len() + saga.instance.to_stored().len();
        is_first || bytes <= PAGE_BYTES
    });
    let fitting = fitting.count();
    let found = items.len();
    items.truncate(fitting);
    let SagaPage { items, next } = saga_page(items, found);
    SagaPage {
        items,
        next: next.or(end),
    }
}

/// The page of the first `items` of all that were `found`: of at most one more than asked for.
fn saga_page(items: Vec<Saga>, found: usize) -> SagaPage {
    let next: Option<SagaId> = items.last().map(|saga| saga.id);
    SagaPage {
        next: next.filter(|_| found > items.len()),
        items,
    }
}
