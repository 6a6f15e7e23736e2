//! One batch, from the queue to the answers.

use std::future::Future;
use std::sync::Arc;

use orchestratum_store as store;

use super::Item;
use super::failure::caught;

pub(super) async fn serve<Request, Answer, Perform, Performing>(batch: Vec<Item<Request, Answer>>, perform: Perform)
where
    Perform: Fn(Arc<Vec<Request>>) -> Performing,
    Performing: Future<Output = Result<Vec<Answer>, store::Error>>,
{
    // A batch that the database refuses, or that panics, is halved until the culprit is alone, so that nobody else pays
    // for it. What a panic left done is met by its repetition as after a lost answer: creates have their ids, reports their
    // fences; a cancel or a patch that was made may be refused the second time.
    let mut stack = vec![batch];
    while let Some(batch) = stack.pop() {
        let mut requests = Vec::with_capacity(batch.len());
        let mut callers = Vec::with_capacity(batch.len());
        for Item {
            request,
            weight,
            since,
            caller,
        } in batch
        {
            requests.push(request);
            callers.push((caller, weight, since));
        }
        let requests = Arc::new(requests);
        // The future is gone, the requests are not changed.
        let failure = match caught("batch", async { perform(Arc::clone(&requests)).await }).await {
            Ok(answers) => {
                debug_assert_eq!(answers.len(), callers.len(), "one answer a request");
                for ((caller, _, _), answer) in callers.into_iter().zip(answers) {
                    // A caller that went away needs no answer.
                    let _ = caller.answer.send(Ok(answer));
                }
                continue;
            }
            Err(failure) => failure,
        };
        let halves = (failure.may_be_of_one() && callers.len() > 1).then_some(requests);
        if let Some(requests) = halves.and_then(Arc::into_inner) {
            let mut first: Vec<_> = requests
                .into_iter()
                .zip(callers)
                .map(|(request, (caller, weight, since))| Item {
                    request,
                    weight,
                    since,
                    caller,
                })
                .collect();
            let second = first.split_off(first.len() / 2);
            stack.push(second);
            stack.push(first);
        } else {
            let error = failure.into_error();
            for (caller, _, _) in callers {
                let _ = caller.answer.send(Err(error.clone()));
            }
        }
    }
}
