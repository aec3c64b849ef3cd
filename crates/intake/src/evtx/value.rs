//! Values of an event as text, written as the JSON of [`super::read`] has them.

use super::bytes::utf16;

/// Types of values, MS-EVEN6 section 2.2.12.3.
pub(super) mod kinds {
    pub const NULL: u8 = 0x00;
    pub const STRING: u8 = 0x01;
    pub const BINARY: u8 = 0x0e;
    pub const BINARY_XML: u8 = 0x21;
    pub const STRINGS: u8 = 0x81;
}

/// A value: where it is in its chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub kind: u8,
    pub start: u32,
    pub bytes: u16,
}

impl Slot {
    /// Its bytes.
    pub fn of<'a>(&self, chunk: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.start as usize;
        chunk.get(start..start + usize::from(self.bytes))
    }

    /// Whether there is nothing, not even an empty value.
    pub fn is_null(&self) -> bool {
        self.kind == kinds::NULL || (self.kind == kinds::BINARY_XML && self.bytes == 0)
    }

    /// Whether there is nothing, or an empty value.
    pub fn is_empty(&self, chunk: &[u8]) -> bool {
        match self.kind {
            kinds::STRING => !matches!(self.of(chunk), Some([a, b, ..]) if *a != 0 || *b != 0),
            kinds::BINARY => self.bytes == 0,
            _ => self.is_null(),
        }
    }

    /// Whether it is elements of its own.
    pub fn is_element(&self) -> bool {
        self.kind == kinds::BINARY_XML && self.bytes > 0
    }
}

/// Appends the value in words. `None` for what is out of the ordinary: types that hardly occur, and
/// sizes that do not fit the type.
pub(super) fn write(kind: u8, value: &[u8], text: &mut Vec<u8>) -> Option<()> {
    match (kind, value) {
        (kinds::STRING, _) => return utf16(value, text),
        (0x03, [a]) => signed(i64::from(*a as i8), text),
        (0x04, [a]) => unsigned(u64::from(*a), text),
        (0x05, [a, b]) => signed(i64::from(i16::from_le_bytes([*a, *b])), text),
        (0x06, [a, b]) => unsigned(u64::from(u16::from_le_bytes([*a, *b])), text),
        (0x07, _) => signed(i64::from(i32::from_le_bytes(value.try_into().ok()?)), text),
        (0x08, _) => unsigned(u64::from(u32::from_le_bytes(value.try_into().ok()?)), text),
        (0x09, _) => signed(i64::from_le_bytes(value.try_into().ok()?), text),
        (0x0a, _) => unsigned(u64::from_le_bytes(value.try_into().ok()?), text),
        (0x0d, _) => match i32::from_le_bytes(value.try_into().ok()?) {
            0 => text.extend_from_slice(b"false"),
            1 => text.extend_from_slice(b"true"),
            other => signed(i64::from(other), text),
        },
        (kinds::BINARY, _) => {
            text.reserve(2 * value.len());
            value.iter().for_each(|byte| text.extend_from_slice(&digits(*byte, UPPERCASE)));
        }
        (0x0f, _) => guid(value.try_into().ok()?, text),
        (0x10 | 0x14, [a, b, c, d]) => {
            hexadecimal(u64::from(u32::from_le_bytes([*a, *b, *c, *d])), text);
        }
        (0x10 | 0x15, _) => hexadecimal(u64::from_le_bytes(value.try_into().ok()?), text),
        (0x11, _) => filetime(u64::from_le_bytes(value.try_into().ok()?), text)?,
        (0x13, _) => return sid(value, text),
        _ => return None,
    }
    Some(())
}

const UPPERCASE: &[u8; 16] = b"0123456789ABCDEF";
const LOWERCASE: &[u8; 16] = b"0123456789abcdef";

/// Both digits of a byte.
fn digits(byte: u8, of: &[u8; 16]) -> [u8; 2] {
    [of[usize::from(byte >> 4)], of[usize::from(byte & 15)]]
}

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

fn unsigned(mut number: u64, text: &mut Vec<u8>) {
    let mut written = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    for place in written.iter_mut().rev() {
        // Proof: a remainder of ten fits a byte.
        *place = b'0' + (number % 10) as u8;
        first -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&written[first..]);
}

fn signed(number: i64, text: &mut Vec<u8>) {
    if number < 0 {
        text.push(b'-');
    }
    unsigned(number.unsigned_abs(), text);
}

fn hexadecimal(number: u64, text: &mut Vec<u8>) {
    let mut written = [0; 16];
    for (pair, byte) in written.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&digits(byte, LOWERCASE));
    }
    // Zeros in front are left out, but for the last.
    let first = (number.leading_zeros() as usize / 4).min(15);
    text.extend_from_slice(b"0x");
    text.extend_from_slice(&written[first..]);
}

fn guid(bytes: &[u8; 16], text: &mut Vec<u8>) {
    /// Where the digits of each byte go.
    const PLACES: [usize; 16] = [7, 5, 3, 1, 12, 10, 17, 15, 20, 22, 25, 27, 29, 31, 33, 35];
    let mut written = *b"{00000000-0000-0000-0000-000000000000}";
    for (byte, place) in bytes.iter().zip(PLACES) {
        let [high, low] = digits(*byte, LOWERCASE);
        written[place] = high;
        written[place + 1] = low;
    }
    text.extend_from_slice(&written);
}

/// A security identifier, MS-DTYP section 2.4.2.
fn sid(bytes: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let (&[revision, count, a, b, c, d, e, f], subs) = bytes.split_first_chunk::<8>()?;
    let (subs, []) = subs.as_chunks::<4>() else { return None };
    if subs.len() != usize::from(count) {
        return None;
    }
    text.extend_from_slice(b"S-");
    unsigned(u64::from(revision), text);
    text.push(b'-');
    unsigned(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), text);
    for sub in subs {
        text.push(b'-');
        unsigned(u64::from(u32::from_le_bytes(*sub)), text);
    }
    Some(())
}

/// Units of a hundred nanoseconds in a second.
const TICKS_PER_SECOND: u64 = 10_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// The last instant of the year 9999 that is surely one: later ones are left to the other way.
pub(super) const FILETIME_MAX: u64 = 2_650_466_000_000_000_000;

/// An instant as hundreds of nanoseconds since 1601 UTC (MS-DTYP section 2.3.3).
fn filetime(ticks: u64, text: &mut Vec<u8>) -> Option<()> {
    if ticks > FILETIME_MAX {
        return None;
    }
    let (seconds, ticks) = (ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
    let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let (year, month, day) = date(days);
    let mut written = *b"0000-00-00T00:00:00.0000000Z";
    let mut put = |from: usize, to: usize, mut number: u64| {
        for place in written[from..to].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, year);
    put(5, 7, month);
    put(8, 10, day);
    put(11, 13, second / 3_600);
    put(14, 16, second / 60 % 60);
    put(17, 19, second % 60);
    put(20, 27, ticks);
    text.extend_from_slice(&written);
    Some(())
}

/// Year, month and day of a number of days since 1601-01-01: counted in years that begin in March
/// and eras of 400 of them, in which leap years come round.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    /// From 1 March 1200 to 1 January 1601.
    const DAYS_BEFORE: u64 = 146_403;
    let days = days + DAYS_BEFORE;
    let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (1_200 + 400 * era + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: u8, value: &[u8]) -> Option<String> {
        let mut text = Vec::new();
        write(kind, value, &mut text)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn values_are_written_as_windows_has_them() {
        let cases: &[(u8, &[u8], &str)] = &[
            (0x03, &[0x80], "-128"),
            (0x06, &[0x38, 0x18], "6200"),
            (0x09, &i64::MIN.to_le_bytes(), "-9223372036854775808"),
            (0x0a, &u64::MAX.to_le_bytes(), "18446744073709551615"),
            (0x0d, &[1, 0, 0, 0], "true"),
            (0x0e, &[0xDE, 0x0A], "DE0A"),
            (0x10, &[0, 0, 0, 0], "0x0"),
            (0x15, &0x8020_0000_0000_0000_u64.to_le_bytes(), "0x8020000000000000"),
            (0x11, &0_u64.to_le_bytes(), "1601-01-01T00:00:00.0000000Z"),
            (0x13, &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0], "S-1-5-18"),
            (0x0f, &[0; 16], "{00000000-0000-0000-0000-000000000000}"),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(written(*kind, value).as_deref(), Some(*expected), "{kind:#x}");
        }
        for (kind, value) in [(0x03, &[][..]), (0x0b, &[0; 4]), (0x11, &[0xff; 8]), (0x13, &[1, 1])]
        {
            assert_eq!(written(kind, value), None, "{kind:#x}");
        }
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        // Days of all kinds: ends of months, leap days, turns of centuries.
        for days in (0..146_097 * 2).step_by(13).chain([424, 36_583, 146_096, 146_097]) {
            let ticks = days * SECONDS_PER_DAY * TICKS_PER_SECOND + 863_999_999_999;
            let micros = (ticks / 10) as i64 - 11_644_473_600_000_000;
            let known = yagura_event::UtcMicros::from_micros(micros).to_string();
            let ours = written(0x11, &ticks.to_le_bytes()).unwrap();
            assert_eq!(ours.replace("9999999Z", "999999Z"), known);
        }
    }
}
