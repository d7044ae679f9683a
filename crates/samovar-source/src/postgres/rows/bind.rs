//! What is bound to parameters. It goes as text, and the server reads it as the type that it has given the parameter:
//! so a statement needs no casts, and no type of the server's is unknown here.

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use crate::rows::Bound;

type Failed = Box<dyn std::error::Error + Sync + Send>;

/// A parameter and the type that leaves it to the server.
pub(super) type Typed<'a> = (&'a (dyn ToSql + Sync), Type);

/// All of them.
pub(super) fn typed(bound: &[Bound]) -> Vec<Typed<'_>> {
    bound.iter().map(|bound| (bound as &(dyn ToSql + Sync), Type::UNKNOWN)).collect()
}

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self {
            Bound::Null => return Ok(IsNull::Yes),
            Bound::Bool(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
            Bound::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Bound::Digits(text) | Bound::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}
