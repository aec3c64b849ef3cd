//! Rows of something else, found by the values that a row has: what `join` and `lookup` do for each row.
//!
//! Keys are compared as searches compare values: folded, addresses in whatever spelling, numbers as
//! numbers. Of several rows with the same keys the first counts, so that rows never become more.

use crate::tables::{CellForm, ListColumn};
use crate::value::{Network, address};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type, Int32Type, UInt32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use yagura_textindex::fold;

/// Rows, and where each key stands among them.
#[derive(Debug)]
pub(crate) struct Matched {
    index: Index,
    /// The columns that are put beside, by their new names.
    columns: Vec<(String, ArrayRef)>,
}

#[derive(Debug)]
enum Index {
    Same(HashMap<String, u32>),
    /// By mask, so that the longest prefix is the last.
    Networks(BTreeMap<u128, HashMap<u128, u32>>),
}

impl Matched {
    /// Rows with these keys, one array for each column of them.
    pub(crate) fn by_values(
        keys: &[ArrayRef],
        columns: Vec<(String, ArrayRef)>,
    ) -> Result<Arc<Matched>> {
        let keys = keys.iter().map(Values::of).collect::<Result<Vec<_>>>()?;
        let mut rows = HashMap::new();
        for row in 0..keys.iter().map(Values::len).min().unwrap_or(0) {
            if let (Some(key), Ok(number)) = (joined(&keys, row), u32::try_from(row)) {
                rows.entry(key).or_insert(number);
            }
        }
        Ok(Arc::new(Matched { index: Index::Same(rows), columns }))
    }

    /// Rows of a list, found by the cells of one of its columns.
    pub(crate) fn by_cells(key: &ListColumn, columns: Vec<(String, ArrayRef)>) -> Arc<Matched> {
        let rows = || {
            let cells = key.cells.iter().zip(0u32..);
            cells.filter_map(|(cell, row)| cell.map(|cell| (cell, row)))
        };
        let parts = |cell: &'_ str| -> Vec<String> {
            let parts = cell.split(';').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        let index = match key.form {
            CellForm::Networks => {
                let mut networks: BTreeMap<u128, HashMap<u128, u32>> = BTreeMap::new();
                for (cell, row) in rows() {
                    for part in parts(cell) {
                        let whole = || address(&part).map(|address| (address, u128::MAX));
                        let network = Network::parse(&part).map(|network| network.parts());
                        if let Some((address, mask)) = network.or_else(whole) {
                            networks.entry(mask).or_default().entry(address).or_insert(row);
                        }
                    }
                }
                Index::Networks(networks)
            }
            form => {
                let mut same = HashMap::new();
                for (cell, row) in rows() {
                    let keys = match form {
                        CellForm::Several => parts(cell),
                        _ => vec![cell.to_owned()],
                    };
                    for text in keys {
                        same.entry(key_of(&text)).or_insert(row);
                    }
                }
                Index::Same(same)
            }
        };
        Arc::new(Matched { index, columns })
    }

    /// The function that says the number of the row with the keys of its arguments, if there is one.
    pub(crate) fn finder(self: &Arc<Self>) -> ScalarUDF {
        ScalarUDF::from(MatchedFunction::new(self.clone(), None))
    }

    /// For each column its name, and the function that gives its value of the row of this number.
    pub(crate) fn takers(self: &Arc<Self>) -> impl Iterator<Item = (&str, ScalarUDF)> {
        self.columns.iter().enumerate().map(|(at, (name, _))| {
            (name.as_str(), ScalarUDF::from(MatchedFunction::new(self.clone(), Some(at))))
        })
    }

    fn find(&self, columns: &[ArrayRef], rows: usize) -> Result<UInt32Array> {
        let columns = columns.iter().map(Values::of).collect::<Result<Vec<_>>>()?;
        if let [only] = columns.as_slice() {
            // Each distinct value once.
            let found: Vec<Option<u32>> =
                only.values.iter().map(|key| self.row(key.as_deref()?)).collect();
            let place = |row| only.place(row).and_then(|at| found.get(at).copied().flatten());
            return Ok((0..rows).map(place).collect());
        }
        Ok((0..rows).map(|row| self.row(&joined(&columns, row)?)).collect())
    }

    fn row(&self, key: &str) -> Option<u32> {
        match &self.index {
            Index::Same(rows) => rows.get(key).copied(),
            Index::Networks(networks) => {
                let address = u128::from_str_radix(key.strip_prefix(ADDRESS)?, 16).ok()?;
                networks.iter().rev().find_map(|(mask, rows)| rows.get(&(address & mask)).copied())
            }
        }
    }
}

/// Begins the key of an address.
const ADDRESS: char = '@';

/// What a value is compared by.
fn key_of(text: &str) -> String {
    match address(text) {
        Some(address) => format!("{ADDRESS}{address:x}"),
        None => format!("={}", fold(text)),
    }
}

/// The keys of a row as one; `None` where one is missing.
fn joined(columns: &[Values], row: usize) -> Option<String> {
    if let [only] = columns {
        return only.at(row).map(str::to_owned);
    }
    let mut all = String::new();
    for column in columns {
        let key = column.at(row)?;
        // The length keeps apart what would be the same when written together.
        all.push_str(&format!("{}:{key}", key.len()));
    }
    Some(all)
}

/// The keys of a column, once per distinct value where it is a dictionary.
struct Values {
    values: Vec<Option<String>>,
    keys: Option<Int32Array>,
}

impl Values {
    fn of(array: &ArrayRef) -> Result<Values> {
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() {
            let values = Values::of(dictionary.values())?.values;
            return Ok(Values { values, keys: Some(dictionary.keys().clone()) });
        }
        let texts: StringArray = if array.data_type().is_floating() {
            let numbers = cast(array, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>().iter();
            // 22, as a column of whole numbers writes it, not 22.0.
            numbers.map(|number| number.map(|number| number.to_string())).collect()
        } else {
            cast(array, &DataType::Utf8)?.as_string::<i32>().clone()
        };
        Ok(Values { values: texts.iter().map(|text| text.map(key_of)).collect(), keys: None })
    }

    fn len(&self) -> usize {
        self.keys.as_ref().map_or(self.values.len(), Array::len)
    }

    /// Where among the values that of a row stands.
    fn place(&self, row: usize) -> Option<usize> {
        match &self.keys {
            None => Some(row),
            Some(keys) => {
                keys.is_valid(row).then(|| usize::try_from(keys.value(row)).ok()).flatten()
            }
        }
    }

    fn at(&self, row: usize) -> Option<&str> {
        self.values.get(self.place(row)?)?.as_deref()
    }
}

/// `yagura_matched(keys)` is the number of a row, `yagura_beside(number)` a value of it.
#[derive(Debug)]
struct MatchedFunction {
    rows: Arc<Matched>,
    /// The column that is taken; `None` to find the row.
    column: Option<usize>,
    signature: Signature,
}

impl MatchedFunction {
    fn new(rows: Arc<Matched>, column: Option<usize>) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        MatchedFunction { rows, column, signature }
    }

    fn array(&self) -> Option<&ArrayRef> {
        self.rows.columns.get(self.column?).map(|(_, array)| array)
    }
}

impl PartialEq for MatchedFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rows, &other.rows) && self.column == other.column
    }
}

impl Eq for MatchedFunction {}

impl Hash for MatchedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.rows), self.column).hash(state);
    }
}

impl ScalarUDFImpl for MatchedFunction {
    fn name(&self) -> &str {
        if self.column.is_none() { "yagura_matched" } else { "yagura_beside" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.array().map_or(DataType::UInt32, |array| array.data_type().clone()))
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        let of: Vec<String> = args.iter().map(ToString::to_string).collect();
        let rows = Arc::as_ptr(&self.rows);
        Ok(format!("{}({}, {rows:?}, {:?})", self.name(), of.join(", "), self.column))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|value| value.to_array(rows)).collect::<Result<_>>()?;
        let made: ArrayRef = match (self.array(), arrays.first()) {
            (None, _) => Arc::new(self.rows.find(&arrays, rows)?),
            (Some(column), Some(numbers)) => {
                take(column, numbers.as_primitive::<UInt32Type>(), None)?
            }
            (Some(_), None) => {
                return datafusion::common::internal_err!("yagura_beside without a row");
            }
        };
        Ok(ColumnarValue::Array(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float64Array, Int64Array};

    fn texts(list: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(list.to_vec()))
    }

    fn found(matched: &Matched, columns: &[ArrayRef]) -> Vec<Option<u32>> {
        matched.find(columns, columns[0].len()).unwrap().iter().collect()
    }

    #[test]
    fn keys_are_compared_as_searches_compare_values() {
        let keys = texts(&[Some("サーバー"), None, Some("10.0.0.1"), Some("22"), Some("22")]);
        let matched = Matched::by_values(&[keys], Vec::new()).unwrap();
        let asked = texts(&[Some("ｻｰﾊﾞ"), None, Some("::ffff:10.0.0.1"), Some("２２"), Some("x")]);
        assert_eq!(found(&matched, &[asked]), [Some(0), None, Some(2), Some(3), None]);
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![22.0, 22.5]));
        assert_eq!(found(&matched, &[numbers]), [Some(3), None]);
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(22), None]));
        assert_eq!(found(&matched, &[whole]), [Some(3), None]);
        let words: DictionaryArray<Int32Type> =
            vec![Some("ｻｰﾊﾞ"), None, Some("ｻｰﾊﾞ")].into_iter().collect();
        assert_eq!(found(&matched, &[Arc::new(words)]), [Some(0), None, Some(0)]);
    }

    #[test]
    fn several_keys_are_kept_apart() {
        let (one, two) = (texts(&[Some("a1:b"), Some("a")]), texts(&[Some("c"), Some("1:bc")]));
        let matched = Matched::by_values(&[one.clone(), two.clone()], Vec::new()).unwrap();
        assert_eq!(found(&matched, &[one, two]), [Some(0), Some(1)]);
        let (half, none) = (texts(&[Some("a1:b")]), texts(&[None]));
        assert_eq!(found(&matched, &[half, none]), [None]);
    }

    #[test]
    fn a_list_is_found_by_each_of_its_names_and_by_its_networks() {
        let column = |cells: &[&str], form| ListColumn {
            name: "key".to_owned(),
            cells: StringArray::from(cells.to_vec()),
            form,
        };
        let names =
            Matched::by_cells(&column(&["alice; a.smith", "bob"], CellForm::Several), vec![]);
        let asked = texts(&[Some("A.Smith"), Some("BOB"), Some("alice; a.smith")]);
        assert_eq!(found(&names, &[asked]), [Some(0), Some(1), None]);
        let cells = ["10.0.0.0/8;2001:db8::/32", "10.1.0.0/16", "192.0.2.7", "nonsense"];
        let networks = Matched::by_cells(&column(&cells, CellForm::Networks), vec![]);
        let asked =
            ["10.1.2.3", "10.2.0.1", "2001:db8::9", "192.0.2.7", "192.0.2.8", "nonsense"].map(Some);
        let expected = [Some(1), Some(0), Some(0), Some(2), None, None];
        assert_eq!(found(&networks, &[texts(&asked)]), expected);
    }
}
