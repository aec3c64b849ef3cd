//! Functions of one value: rounding, parts of a time, bins.

use crate::ast::Bin;
use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What is made of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Absolute,
    Floor,
    Ceiling,
    /// To so many decimal places.
    Round(u8),
    /// A number as people write it: `3`, not `3.0`.
    Plain,
    /// Hour of the day in the zone, 0 to 23.
    Hour(TimeZone),
    /// Day of the week in the zone, 1 (Monday) to 7, as ISO 8601 counts.
    Weekday(TimeZone),
    /// The start of the bin in the zone.
    Bin(Bin, TimeZone),
}

/// The function `yagura_scalar(value)`. Absent values stay absent.
#[derive(Debug)]
pub(crate) struct ScalarFunction {
    scalar: Scalar,
    signature: Signature,
}

impl ScalarFunction {
    pub(crate) fn new(scalar: Scalar) -> Self {
        ScalarFunction { scalar, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl PartialEq for ScalarFunction {
    fn eq(&self, other: &Self) -> bool {
        self.scalar == other.scalar
    }
}

impl Eq for ScalarFunction {}

impl Hash for ScalarFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{:?}", self.scalar).hash(state);
    }
}

/// The type of times in the table.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for ScalarFunction {
    fn name(&self) -> &str {
        "yagura_scalar"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.scalar {
            Scalar::Plain => DataType::Utf8,
            Scalar::Bin(Bin::Number(_), _) => DataType::Float64,
            Scalar::Bin(..) => time_type(),
            _ => DataType::Float64,
        })
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        Ok(format!("yagura_scalar({:?}, {:?})", args.first().map(ToString::to_string), self.scalar))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return datafusion::common::internal_err!("yagura_scalar without a value");
        };
        let array = value.to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(self.scalar.evaluate(&array)?))
    }
}

impl Scalar {
    fn evaluate(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let numbers = |of: &dyn Fn(f64) -> f64| -> Result<ArrayRef> {
            let array = cast(array, &DataType::Float64)?;
            let made: Float64Array = array.as_primitive::<Float64Type>().unary(of);
            Ok(Arc::new(made))
        };
        match self {
            Scalar::Absolute => numbers(&f64::abs),
            Scalar::Floor => numbers(&f64::floor),
            Scalar::Ceiling => numbers(&f64::ceil),
            Scalar::Round(places) => {
                let factor = 10f64.powi(i32::from(*places));
                numbers(&|number| (number * factor).round() / factor)
            }
            Scalar::Bin(Bin::Number(width), _) => {
                numbers(&|number| (number / width).floor() * width)
            }
            Scalar::Plain => {
                let array = cast(array, &DataType::Float64)?;
                let numbers = array.as_primitive::<Float64Type>().iter();
                let texts = numbers.map(|number| number.map(|number| number.to_string()));
                Ok(Arc::new(texts.collect::<StringArray>()))
            }
            Scalar::Hour(zone) => Ok(Arc::new(parts(array, zone, |at| f64::from(at.hour()))?)),
            Scalar::Weekday(zone) => Ok(Arc::new(parts(array, zone, |at| {
                f64::from(at.weekday().to_monday_one_offset())
            })?)),
            Scalar::Bin(bin, zone) => {
                let micros = cast(array, &DataType::Int64)?;
                // Neighbours mostly share their bin, and a calendar is dear to ask.
                let mut last: Option<(i64, i64)> = None;
                let starts = micros.as_primitive::<Int64Type>().iter().map(|at| {
                    let at = at?;
                    if let Some((start, end)) = last
                        && (start..end).contains(&at)
                    {
                        return Some(start);
                    }
                    let (start, end) = bounds(*bin, at, zone)?;
                    last = Some((start, end));
                    Some(start)
                });
                let starts: TimestampMicrosecondArray = starts.collect();
                Ok(Arc::new(starts.with_timezone("UTC")))
            }
        }
    }
}

fn parts(array: &ArrayRef, zone: &TimeZone, part: fn(&Zoned) -> f64) -> Result<Float64Array> {
    let micros = cast(array, &DataType::Int64)?;
    let parts = micros.as_primitive::<Int64Type>().iter().map(|at| {
        let at = Timestamp::from_microsecond(at?).ok()?;
        Some(part(&at.to_zoned(zone.clone())))
    });
    Ok(parts.collect())
}

/// Start and end of the bin that `at` lies in, in microseconds since 1970. Parts of a day are
/// counted from its midnight, so that an hour of a zone half an hour off begins on its hour.
fn bounds(bin: Bin, at: i64, zone: &TimeZone) -> Option<(i64, i64)> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let zoned = || Some(Timestamp::from_microsecond(at).ok()?.to_zoned(zone.clone()));
    let from_midnight = |width: i64| {
        let day = zoned()?.start_of_day().ok()?.timestamp().as_microsecond();
        let start = day + (at - day).div_euclid(width) * width;
        Some((start, start + width))
    };
    let days = |first: Zoned, days: i64| {
        let end = first.checked_add(days.days()).ok()?;
        Some((first.timestamp().as_microsecond(), end.timestamp().as_microsecond()))
    };
    match bin {
        Bin::Micros(width) if width <= DAY_MICROS && DAY_MICROS % width == 0 => {
            from_midnight(width)
        }
        Bin::Micros(width) => {
            let start = at.div_euclid(width) * width;
            Some((start, start.checked_add(width)?))
        }
        Bin::Days(number) => {
            let today = zoned()?.start_of_day().ok()?;
            // Days since 1970-01-01 of the zone.
            let passed = (today.date() - jiff::civil::date(1970, 1, 1)).get_days();
            let back = i64::from(passed).rem_euclid(number);
            days(today.checked_sub(back.days()).ok()?.start_of_day().ok()?, number)
        }
        Bin::Week => {
            let today = zoned()?.start_of_day().ok()?;
            let back = i64::from(today.weekday().to_monday_zero_offset());
            days(today.checked_sub(back.days()).ok()?, 7)
        }
        Bin::Month => {
            let first = zoned()?.first_of_month().ok()?.start_of_day().ok()?;
            let end = first.checked_add(1.months()).ok()?;
            Some((first.timestamp().as_microsecond(), end.timestamp().as_microsecond()))
        }
        Bin::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_begin_where_people_expect() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
        let start = |bin, at: &str, zone: &TimeZone| {
            let at: Timestamp = at.parse().unwrap();
            let (start, end) = bounds(bin, at.as_microsecond(), zone).unwrap();
            assert!((start..end).contains(&at.as_microsecond()));
            Timestamp::from_microsecond(start).unwrap().to_string()
        };
        let minute = 60_000_000;
        let at = "2026-11-21T20:44:59.5Z";
        assert_eq!(start(Bin::Micros(5 * minute), at, &tokyo), "2026-11-21T20:40:00Z");
        assert_eq!(start(Bin::Micros(60 * minute), at, &kolkata), "2026-11-21T20:30:00Z");
        assert_eq!(start(Bin::Days(1), at, &tokyo), "2026-11-21T15:00:00Z");
        assert_eq!(start(Bin::Days(1), at, &TimeZone::UTC), "2026-11-21T00:00:00Z");
        assert_eq!(start(Bin::Week, at, &tokyo), "2026-11-15T15:00:00Z");
        assert_eq!(start(Bin::Month, at, &tokyo), "2026-10-31T15:00:00Z");
        assert_eq!(start(Bin::Micros(7 * minute), at, &TimeZone::UTC), "2026-11-21T20:43:00Z");
        let before = "1969-12-31T23:59:59Z";
        assert_eq!(start(Bin::Micros(7 * minute), before, &TimeZone::UTC), "1969-12-31T23:53:00Z");
        assert_eq!(start(Bin::Days(2), before, &TimeZone::UTC), "1969-12-30T00:00:00Z");
    }
}
