//! What stands in for the Redis tier in a build without it.

use std::sync::Arc;

use samovar_core::{Clock, Error, ErrorKind};

use crate::background::Tasks;
use crate::counters::Counters;
use crate::redis::RedisSettings;
use crate::settings::LowerTier;

/// Nobody shares anything.
pub(crate) type Shares = ();

/// There is none.
///
/// # Errors
/// Always.
pub(crate) fn open(
    _: &RedisSettings,
    _: &Arc<dyn Clock>,
    _: &Arc<Counters>,
    _: Tasks,
) -> Result<(LowerTier, Shares), Error> {
    let problem = "redis is set, and this program was built without it: build it with the cargo \
                   feature `redis`";
    Err(Error::new(ErrorKind::Invalid, problem))
}
