//! What an earlier run left, measured otherwise.
//!
//! Lists of stores are kept under keys that bear the shape of the measures. An event marks days that the list of its
//! own run lacks; a list of another run, with other measures, may lack days that this one knows, and no mark told it
//! so. Were it taken up again, after the configuration is rolled back, those days would count as empty. So a run
//! that finds another shape than its own marks all lists before it uses any.

use std::sync::Arc;

use samovar_core::{Error, Mode, Part, Parts, Scope, Stamp};

use super::values::Shape;
use super::{Engine, LIST};

const SHAPE: &str = "last";

impl Engine {
    /// Does so, once, before the first use of a list.
    pub(crate) async fn take_over(&self) {
        if let Err(failed) = self.inner.taken_over.get_or_try_init(|| self.mark_other_lists()).await
        {
            self.inner.progress.trouble(&failed);
        }
    }

    async fn mark_other_lists(&self) -> Result<(), Error> {
        let shapes = &self.inner.caches.shape;
        let mine = self.inner.data_shape;
        let last = shapes.get(SHAPE).await;
        if last.is_some_and(|last| last.0 == mine) {
            return Ok(());
        }
        let reason = "the measures are others than in the last run";
        self.inner.samovar.mark(vec![Scope::Cache(LIST.into())], Mode::Remove, reason).await?;
        let samovar = &self.inner.samovar;
        let stamp = Stamp::new(samovar.fence().token(), samovar.clock().now());
        let parts: Parts = Arc::from([Part { span: None, stamp }]);
        shapes.put(SHAPE, Shape(mine), parts);
        // Durable before an event of this run is accepted, which the other lists will not hear of.
        samovar.flush().await
    }
}
