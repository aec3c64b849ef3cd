use crate::ast::{Expr, Pipe};
use crate::plan::Planner;
use crate::{ParseError, QueryError};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, RecordBatch, StringArray,
    new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use yagura_event::{EventBatch, FieldDictionary};
use yagura_lake::{ColumnKind, DATASET, TableColumns};

/// A search expression as a predicate on events that are not in the lake yet, or just came.
/// It gives the same answer as [`crate::Searcher::search`] for the same event.
#[derive(Debug)]
pub struct Live {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl Live {
    pub(crate) fn new(
        expr: &Expr,
        columns: &TableColumns,
        dictionary: Arc<FieldDictionary>,
    ) -> Result<Live, QueryError> {
        let mut planner = Planner::new(expr, columns, &dictionary, true);
        let mut condition = planner.filter(&expr.filter, false)?;
        for pipe in &expr.pipes {
            match pipe {
                Pipe::Where(filter) => condition = condition.and(planner.filter(filter, false)?),
                _ => return Err(only_where(&planner).into()),
            }
        }
        let field = |name: &String| {
            let kind = match columns.get(name) {
                Some(column) => column.kind.arrow(),
                None if name == DATASET => ColumnKind::Keyword.arrow(),
                None => view(dictionary.field_type(name).arrow()),
            };
            Field::new(name, kind, true)
        };
        let fields: Vec<_> = planner.needed.iter().map(field).collect();
        let schema = Arc::new(Schema::new(fields));
        let df_schema = DFSchema::try_from(schema.clone())?;
        let predicate = SessionContext::new().create_physical_expr(condition, &df_schema)?;
        Ok(Live { predicate, schema })
    }

    /// The columns it looks at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// One answer per event of the batch.
    pub fn matches(&self, batch: &EventBatch) -> Result<BooleanArray, QueryError> {
        let rows = self.fitted(batch).map_err(|error| QueryError::Failed(error.to_string()))?;
        let answers = self.predicate.evaluate(&rows)?.into_array(rows.num_rows())?;
        let answers = answers.as_boolean();
        Ok((0..answers.len())
            .map(|row| Some(answers.is_valid(row) && answers.value(row)))
            .collect())
    }

    fn fitted(&self, batch: &EventBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
        let rows = batch.rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            arrays.push(match batch.columns.column_by_name(field.name()) {
                _ if field.name() == DATASET => {
                    let value = StringArray::from(vec![&*batch.dataset]);
                    let keys = Int32Array::from(vec![0; rows]);
                    Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(value))?)
                }
                Some(array) => cast(array, field.data_type())?,
                None => new_null_array(field.data_type(), rows),
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
    }
}

fn view(data_type: DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other,
    }
}

fn only_where(planner: &Planner<'_>) -> ParseError {
    planner.error(
        &(0..0),
        "流れてくるイベントには where 以外の処理を使えません。",
        "only where can follow a search of events as they arrive",
    )
}
