//! The audit log of the Windows DHCP server (`DhcpSrvLog-*.log`): columns with commas between,
//! `ID,Date,Time,Description,IP Address,Host Name,MAC Address,User Name,TransactionID,QResult,...`
//! ("DHCP server audit logging", Microsoft). The description is in the server's language; the id
//! says what happened.

use super::{Found, Line};
use crate::context::StreamContext;
use crate::flat::Flat;
use jiff::civil::DateTime;
use yagura_event::UtcMicros;

/// The columns that become fields, by position; the first three are read apart.
const COLUMNS: [&str; 16] = [
    "windows.dhcp.description",
    "source.ip",
    "source.domain",
    "",
    "user.name",
    "windows.dhcp.transaction_id",
    "windows.dhcp.qresult",
    "",
    "",
    "",
    "",
    "windows.dhcp.vendor_class",
    "",
    "",
    "windows.dhcp.relay_agent",
    "windows.dhcp.dns_error",
];

pub(super) fn read(line: &Line<'_>, _: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    let mut columns = line.text.split(',');
    let id = columns.next().filter(|id| id.len() == 2 && id.bytes().all(|b| b.is_ascii_digit()))?;
    let (date, clock) = (columns.next()?, columns.next()?);
    let time = instant(line, date, clock)?;
    // Old servers write seven columns, so a line has at least six commas.
    if columns.clone().count() < 4 {
        return None;
    }
    flat.push("event.code", id);
    for (position, value) in columns.take(COLUMNS.len()).enumerate() {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        if position == 3 {
            flat.push("source.mac", &mac(value));
        } else if let Some(name) = COLUMNS.get(position).filter(|name| !name.is_empty()) {
            flat.push(name, value);
        }
    }
    Some(Found { dataset: "windows.dhcp_log", time: Some(time) })
}

/// `06/14/26` and `15:16:01`, in the server's own zone.
fn instant(line: &Line<'_>, date: &str, clock: &str) -> Option<UtcMicros> {
    let [m0, m1, b'/', d0, d1, b'/', year @ ..] = date.as_bytes() else { return None };
    let [h0, h1, b':', n0, n1, b':', s0, s1] = clock.as_bytes() else { return None };
    let two = |a: &u8, b: &u8| {
        let digits = a.is_ascii_digit() && b.is_ascii_digit();
        digits.then(|| i8::try_from((a - b'0') * 10 + (b - b'0')).ok()).flatten()
    };
    let year = match year {
        [y0, y1] => 2000 + i16::from(two(y0, y1)?),
        [y0, y1, y2, y3] => i16::from(two(y0, y1)?) * 100 + i16::from(two(y2, y3)?),
        _ => return None,
    };
    let civil = DateTime::new(
        year,
        two(m0, m1)?,
        two(d0, d1)?,
        two(h0, h1)?,
        two(n0, n1)?,
        two(s0, s1)?,
        0,
    );
    let zoned = civil.ok()?.to_zoned(line.receipt.zone.clone()).ok()?;
    Some(zoned.timestamp().into())
}

/// `020001AB` as `02-00-01-AB`, the way ECS writes hardware addresses.
fn mac(value: &str) -> String {
    if value.len() != 12 || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return value.to_owned();
    }
    let mut text = String::with_capacity(17);
    for (position, digit) in value.chars().enumerate() {
        if position > 0 && position.is_multiple_of(2) {
            text.push('-');
        }
        text.push(digit.to_ascii_uppercase());
    }
    text
}
