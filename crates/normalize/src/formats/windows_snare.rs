//! Windows events as Snare agents and NXLog's `to_syslog_snare` write them: columns with tabs
//! between, behind a syslog header (Snare for Windows guide; NXLog reference, `xm_syslog`):
//!
//! `MSWinEventLog 1 Security 42 Sun Jun 14 10:00:00 2026 4624 Microsoft-Windows-Security-Auditing
//! CORP\tanaka N/A Success Audit DC01.corp.example Logon - <text> 1234`

use crate::flat::Flat;

/// Names of the columns from the third on, as NXLog calls the same in JSON.
const COLUMNS: [&str; 12] = [
    "Channel",
    "",
    "",
    "EventID",
    "SourceName",
    "AccountName",
    "AccountType",
    "EventType",
    "Hostname",
    "Category",
    "",
    "Message",
];

/// Adds the fields of `text`; `None`, with nothing added, where it is no such line.
pub(crate) fn read(text: &str, flat: &mut Flat) -> Option<()> {
    let rest = text.strip_prefix("MSWinEventLog")?;
    // rsyslog writes the tab as `#011` unless told otherwise.
    let tab = ["\t", "#011"].into_iter().find(|tab| rest.starts_with(tab))?;
    let mut columns = rest.split(tab).skip(2);
    if columns.clone().count() < 8 {
        return None;
    }
    for (name, value) in COLUMNS.iter().zip(&mut columns) {
        let value = value.trim();
        if name.is_empty() || matches!(value, "" | "N/A" | "None") {
            continue;
        }
        let value = match (*name, value) {
            ("EventType", "Success Audit") => "AUDIT_SUCCESS",
            ("EventType", "Failure Audit") => "AUDIT_FAILURE",
            ("EventType", "Information") => "INFO",
            ("EventType", "Warning") => "WARNING",
            ("EventType", "Error") => "ERROR",
            _ => value,
        };
        flat.push(name, value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tabs_may_be_escaped() {
        let line = "MSWinEventLog\t1\tSecurity\t42\tSun Jun 14 10:00:00 2026\t4624\tMicrosoft-Windows-Security-Auditing\tCORP\\tanaka\tN/A\tSuccess Audit\tDC01\tLogon\t\tAn account was successfully logged on.\t7";
        let fields = |line: &str| {
            let mut flat = Flat::default();
            read(line, &mut flat)?;
            let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
            let one = |e: crate::flat::Entry| {
                format!("{}={}", flat.names.text(e.name), flat.get(e.value))
            };
            Some(entries.map(one).collect::<Vec<_>>())
        };
        let read = fields(line);
        insta::assert_debug_snapshot!(read, @r#"
        Some(
            [
                "Channel=Security",
                "EventID=4624",
                "SourceName=Microsoft-Windows-Security-Auditing",
                "AccountName=CORP\\tanaka",
                "EventType=AUDIT_SUCCESS",
                "Hostname=DC01",
                "Category=Logon",
                "Message=An account was successfully logged on.",
            ],
        )
        "#);
        assert_eq!(read, fields(&line.replace('\t', "#011")));
        assert_eq!(fields("MSWinEventLog\t1\tSecurity"), None);
        assert_eq!(fields("MSWinEventLogger started"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "MSWinEventLog(\t|#011|.{0,4}){0,30}") {
            let _ = read(&text, &mut Flat::default());
        }
    }
}
