//! The virtual column `event.id`, computed from where an event lies in the ledger.

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::fmt::Write;
use std::sync::Arc;

/// `event_id(stream, batch, index)`: `stream/batch/index`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct EventIdFunction {
    signature: Signature,
}

impl EventIdFunction {
    pub(crate) fn new() -> Self {
        EventIdFunction { signature: Signature::any(3, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for EventIdFunction {
    fn name(&self) -> &str {
        "yagura_event_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut arrays = Vec::with_capacity(3);
        for (value, data_type) in
            args.args.iter().zip([DataType::Utf8, DataType::Int64, DataType::Int64])
        {
            arrays.push(cast(&value.to_array(rows)?, &data_type)?);
        }
        let streams = arrays[0].as_string::<i32>();
        let batches = arrays[1].as_primitive::<Int64Type>();
        let indexes = arrays[2].as_primitive::<Int64Type>();
        let mut ids = StringBuilder::with_capacity(rows, rows * 24);
        for row in 0..rows {
            if streams.is_null(row) || batches.is_null(row) || indexes.is_null(row) {
                ids.append_null();
                continue;
            }
            write!(ids, "{}/{}/{}", streams.value(row), batches.value(row), indexes.value(row))
                .map_err(|error| datafusion::error::DataFusionError::External(error.into()))?;
            ids.append_value("");
        }
        let ids: ArrayRef = Arc::new(ids.finish());
        Ok(ColumnarValue::Array(ids))
    }
}
