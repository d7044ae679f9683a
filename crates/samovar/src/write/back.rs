//! Write-back: a write is acknowledged once it stands in the journal.

use std::sync::Arc;

use samovar_core::Error;

use super::record::{Head, Place, Record};
use super::replay::see_to;
use super::{WriteOptions, Written};
use crate::cache::{Cache, Kept};
use crate::value::Value;

impl<V: Value> Cache<V> {
    pub(super) async fn accept(
        &self,
        key: &str,
        value: Option<Arc<V>>,
        options: WriteOptions,
    ) -> Result<Written, Error> {
        let writes = &self.inner.writes;
        writes.has_room_for_letters(&self.policy.name)?;
        let unwritten = writes.of(&self.policy.name);
        // It may have come here only because another handle of its name is written back.
        see_to(self);
        let WriteOptions { ttl, tags } = options;
        let mut bytes = Vec::new();
        if let Some(value) = &value {
            value.encode(&mut bytes)?;
        }
        let place = Place { cache: Arc::clone(&self.policy.name), key: key.into() };
        let head = Head {
            place,
            codec: value.as_ref().map(|_| V::CODEC.0),
            ttl,
            tags,
            has_writer: self.writer.is_some(),
            at: self.inner.clock.now(),
        };
        let record = Record::Write(head.clone());
        // Before anybody is told: who is told reads it.
        let taken =
            move |number| unwritten.add(head.waiting(number, value.map(Kept::given), false));
        let id = writes.record(record.encode(&bytes)?, None, taken).await?;
        Ok(Written { id, version: None })
    }
}
