//! W3C extended log format (W3C working draft WD-logfile), as IIS, Windows Firewall, Exchange and
//! CloudFront write it: `#Directive: value` lines, of which `#Fields:` names the columns.

use super::split::Separator;
use super::when::TimeColumns;
use super::{Family, Layout, bounded, dataset};
use crate::limits::LAYOUT_BYTES_MAX;
use crate::mapping::Mappings;
use crate::time;
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

/// Directives that came since the last `#Fields:`.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    software: Box<str>,
    log_type: Box<str>,
    /// `#Time Format: Local` (Windows Firewall).
    local: bool,
    date: Box<str>,
}

/// A header that is complete.
pub(super) struct Header {
    software: Box<str>,
    log_type: Box<str>,
    local: bool,
    date: Box<str>,
    fields: Box<str>,
}

const DIRECTIVES: [&str; 9] = [
    "Version",
    "Software",
    "Date",
    "Fields",
    "Log-type",
    "Time Format",
    "Remark",
    "Start-Date",
    "End-Date",
];

impl Gathering {
    /// Reads a line behind its `#`: `None` if it is no directive, else the header it completes.
    pub(super) fn line(&mut self, rest: &str) -> Option<Option<Header>> {
        let (directive, value) = rest.split_once(':')?;
        let directive = DIRECTIVES.iter().find(|known| known.eq_ignore_ascii_case(directive))?;
        let value = value.trim();
        match *directive {
            "Software" => *self = Gathering { software: value.into(), ..Gathering::default() },
            "Log-type" => self.log_type = value.into(),
            "Time Format" => self.local = value.eq_ignore_ascii_case("local"),
            "Date" => self.date = value.into(),
            "Fields" => {
                return Some(Some(Header {
                    software: self.software.clone(),
                    log_type: self.log_type.clone(),
                    local: self.local,
                    date: self.date.clone(),
                    fields: value.into(),
                }));
            }
            _ => {}
        }
        Some(None)
    }

    /// When a header line says that it was written.
    pub(super) fn date_of(&self, line: &str) -> Option<UtcMicros> {
        let (date, _) = time::iso(line.strip_prefix("#Date:")?, &TimeZone::UTC)?;
        Some(date)
    }
}

impl Header {
    /// `None` when it is beyond the limits.
    pub(super) fn layout(self, mappings: &Mappings) -> Option<Layout> {
        let separator = match &self.fields {
            fields if fields.contains('\t') => Separator::Tab,
            fields if fields.contains(',') => Separator::Csv(b','),
            _ => Separator::Blank,
        };
        let names = self.fields.split([' ', ',', '\t']).map(str::trim);
        let columns = bounded(names.filter(|name| !name.is_empty()).map(Box::from).collect())?;
        let has = |name: &str| columns.iter().any(|column| &**column == name);
        // Without a day in the rows, it is the header's.
        let day = match (has("time") && !has("date") && !has("date-time"), self.date.get(..10)) {
            (true, Some(day)) => Some(day),
            _ => None,
        };
        let time = TimeColumns::new(&columns, !self.local).on_day(day);
        let mut text = String::new();
        let mut line = |directive: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("#{directive}: {value}\n"));
            }
        };
        line("Software", &self.software);
        line("Log-type", &self.log_type);
        line("Time Format", if self.local { "Local" } else { "" });
        line("Date", day.unwrap_or_default());
        text.push_str(&format!("#Fields: {}", self.fields));
        if text.len() > LAYOUT_BYTES_MAX {
            return None;
        }
        let names = self.names(&has);
        Some(Layout {
            family: Family::W3c,
            separator,
            time,
            unset: "-".into(),
            empty: "-".into(),
            dataset: dataset(mappings, &columns, names, "w3c.generic"),
            columns,
            text: text.into(),
        })
    }

    /// Datasets it may be of, the likeliest first.
    fn names(&self, has: &dyn Fn(&str) -> bool) -> &'static [&'static str] {
        if self.software.contains("Internet Information Services")
            || has("s-ip") && has("cs-uri-stem") && has("sc-status")
        {
            &["web.iis"]
        } else if self.software.contains("Windows Firewall") || has("tcpflags") && has("src-ip") {
            &["windows.firewall_log"]
        } else if self.log_type.contains("Message Tracking")
            || has("internal-message-id") && has("event-id")
        {
            &["windows.exchange_tracking"]
        } else if has("x-edge-location") {
            &["web.cloudfront"]
        } else {
            &[]
        }
    }
}
