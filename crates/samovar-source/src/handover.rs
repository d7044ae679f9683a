//! Batches on their way from the thread that reads them to whoever asked for them.

use arrow_array::RecordBatch;
use futures_channel::mpsc;
use futures_util::{StreamExt, stream};

use crate::{Batches, SourceError};

/// Batches that a query may be ahead of its reader.
const AHEAD: usize = 2;

/// What is handed over. `None` is the end: a channel that closes without it was left by a thread that panicked.
pub(crate) type Handed = Result<Option<RecordBatch>, SourceError>;

/// A channel for batches; the stream ends after the first error. It holds `cancel` while there is more to come, and
/// drops it when its reader leaves.
pub(crate) fn channel<C: Send + 'static>(cancel: C) -> (mpsc::Sender<Handed>, Batches) {
    let (sender, batches) = mpsc::channel(AHEAD);
    let open = Some((batches, cancel));
    let batches = stream::unfold(open, |open| async move {
        let (mut batches, cancel) = open?;
        match batches.next().await {
            Some(Ok(None)) => None,
            Some(Ok(Some(batch))) => Some((Ok(batch), Some((batches, cancel)))),
            Some(Err(wrong)) => Some((Err(wrong), None)),
            None => Some((Err(SourceError::panicked()), None)),
        }
    });
    (sender, batches.boxed())
}
