//! Columns of integers in the narrowest Arrow type that holds them.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int8Array, Int16Array, Int32Array, Int64Array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

/// Builds the narrowest column for these values; `valid` says which of them are there.
pub(crate) fn narrow(values: Vec<i64>, valid: Option<NullBuffer>) -> ArrayRef {
    // All bits that a value has beside its sign. Without a comparison, several values go at once.
    let bits = values.iter().fold(0, |bits, value| bits | (value ^ (value >> 63)));
    macro_rules! shrink {
        ($array:ty, $native:ty) => {
            if bits <= i64::from(<$native>::MAX) {
                let values: Vec<$native> = values.iter().map(|value| *value as $native).collect();
                return Arc::new(<$array>::new(values.into(), valid));
            }
        };
    }
    shrink!(Int8Array, i8);
    shrink!(Int16Array, i16);
    shrink!(Int32Array, i32);
    Arc::new(Int64Array::new(values.into(), valid))
}

/// Appends a stretch of a column, widened. Values that are not there come as 0.
///
/// Columns that [`narrow`] did not build (a stored block of another program) count as empty: the caller checks
/// types when it decodes ([`is_ints`]).
pub(crate) fn widen(column: &ArrayRef, range: Range<usize>, into: &mut Vec<i64>) {
    macro_rules! copy {
        ($kind:ty) => {{
            let values = &column.as_primitive::<$kind>().values()[range.clone()];
            into.extend(values.iter().map(|value| i64::from(*value)));
        }};
    }
    let start = into.len();
    match column.data_type() {
        DataType::Int8 => copy!(Int8Type),
        DataType::Int16 => copy!(Int16Type),
        DataType::Int32 => copy!(Int32Type),
        DataType::Int64 => copy!(Int64Type),
        _ => return,
    }
    if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (at, value) in range.zip(&mut into[start..]) {
            if nulls.is_null(at) {
                *value = 0;
            }
        }
    }
}

/// Whether this is a column that [`narrow`] builds.
pub(crate) fn is_ints(column: &ArrayRef) -> bool {
    matches!(
        column.data_type(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_narrow_comes_out_wide(
            values in proptest::collection::vec(
                prop_oneof![Just(None), (-128i64..128).prop_map(Some), any::<i32>().prop_map(|v| Some(v.into())), any::<i64>().prop_map(Some)],
                0..50,
            )
        ) {
            let valid = NullBuffer::from(values.iter().map(Option::is_some).collect::<Vec<_>>());
            let column = narrow(values.iter().map(|v| v.unwrap_or(7)).collect(), Some(valid));
            prop_assert!(is_ints(&column));
            let mut wide = Vec::new();
            widen(&column, 0..values.len(), &mut wide);
            prop_assert_eq!(wide, values.iter().map(|v| v.unwrap_or(0)).collect::<Vec<_>>());
            prop_assert_eq!(column.null_count(), values.iter().filter(|v| v.is_none()).count());
        }
    }
}
