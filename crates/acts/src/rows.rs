//! Which events belong to acts, and what is read of them.

use crate::item::{Item, Place};
use crate::kinds::Route;
use crate::limits::VALUE_BYTES_MAX;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::sync::Arc;
use yagura_event::{EventBatch, EventId, StreamName, columns};

/// The column that names the dataset in rows of several datasets.
const DATASET: &str = "event.dataset";

macro_rules! columns {
    ($($name:literal),* $(,)?) => {
        /// Values taken from an event, where it has them.
        const VALUES: &[&str] = &[$($name),*];

        /// All columns that acts are made from: what a question to a store must ask for.
        pub const COLUMNS: &[&str] = &[
            columns::TIMESTAMP, columns::INGESTED, columns::STREAM, columns::BATCH,
            columns::INDEX, DATASET, "winlog.record_id", $($name),*
        ];
    };
}

columns![
    "event.code",
    "event.action",
    "event.outcome",
    "event.reason",
    "host.name",
    "user.name",
    "user.domain",
    "user.id",
    "user.target.name",
    "user_agent.original",
    "source.ip",
    "source.port",
    "source.domain",
    "destination.ip",
    "destination.port",
    "file.path",
    "process.name",
    "process.pid",
    "process.executable",
    "process.command_line",
    "url.original",
    "url.path",
    "url.domain",
    "http.request.method",
    "http.response.status_code",
    "http.response.body.bytes",
    "message",
    "vpn.tunnel",
    "auditd.msg",
    "auditd.nametype",
    "auditd.sequence",
    "auditd.type",
    "winlog.process_id",
    "winlog.event_data.AccessMask",
    "winlog.event_data.AccountName",
    "winlog.event_data.Application",
    "winlog.event_data.ClientAddress",
    "winlog.event_data.ClientName",
    "winlog.event_data.CommandLine",
    "winlog.event_data.ContextInfo",
    "winlog.event_data.DestinationHostname",
    "winlog.event_data.DestinationIp",
    "winlog.event_data.ElevatedToken",
    "winlog.event_data.HandleId",
    "winlog.event_data.Image",
    "winlog.event_data.IpAddress",
    "winlog.event_data.LogonID",
    "winlog.event_data.LogonType",
    "winlog.event_data.MessageNumber",
    "winlog.event_data.NewProcessId",
    "winlog.event_data.NewProcessName",
    "winlog.event_data.ObjectName",
    "winlog.event_data.ObjectType",
    "winlog.event_data.ParentImage",
    "winlog.event_data.ParentProcessName",
    "winlog.event_data.Payload",
    "winlog.event_data.PrivilegeList",
    "winlog.event_data.ProcessGuid",
    "winlog.event_data.ProcessID",
    "winlog.event_data.ProcessId",
    "winlog.event_data.ProcessName",
    "winlog.event_data.QueryName",
    "winlog.event_data.RelativeTargetName",
    "winlog.event_data.ScriptBlockId",
    "winlog.event_data.ScriptBlockText",
    "winlog.event_data.ShareLocalPath",
    "winlog.event_data.ShareName",
    "winlog.event_data.SourceHandleId",
    "winlog.event_data.SourceImage",
    "winlog.event_data.SourceProcessGUID",
    "winlog.event_data.SourceProcessGuid",
    "winlog.event_data.SourceProcessId",
    "winlog.event_data.SubjectDomainName",
    "winlog.event_data.SubjectLogonId",
    "winlog.event_data.SubjectUserName",
    "winlog.event_data.TargetDomainName",
    "winlog.event_data.TargetFilename",
    "winlog.event_data.TargetHandleId",
    "winlog.event_data.TargetImage",
    "winlog.event_data.TargetLinkedLogonId",
    "winlog.event_data.TargetLogonId",
    "winlog.event_data.TargetProcessId",
    "winlog.event_data.TargetServerName",
    "winlog.event_data.TargetUserName",
    "winlog.event_data.User",
    "winlog.event_data.WorkstationName",
];

/// Search expressions for the events that acts are made from: those whose text is not needed, and
/// those of whose text (`message`) something is read.
pub const WANTED: [&str; 2] = [
    "(event.dataset:windows.security and event.code:(4624 or 4625 or 4627 or 4634 or 4647 or 4648 or \
     4656 or 4658 or 4660 or 4663 or 4670 or 4672 or 4688 or 4689 or 4690 or 4703 or 4771 or 4776 or \
     4778 or 4779 or 4800 or 4801 or 5140 or 5145 or 5154 or 5156 or 5158)) or \
     (event.dataset:windows.sysmon and event.code:(1 or 2 or 3 or 5 or 7 or 10 or 11 or 12 or 13 or 14 \
     or 17 or 18 or 22 or 23 or 26)) or event.dataset:(web.access or web.iis or web.cloudfront) or \
     (event.dataset:web.haproxy and event.action:http_request)",
    "(event.dataset:(windows.powershell or windows.powershell_classic) and event.code:(400 or 403 or \
     600 or 800 or 4103 or 4104 or 4105 or 4106)) or event.dataset:linux.auditd or event.action:vpn_* or \
     process.name:(sshd or sshd-session or sudo or su or su-l or login or CRON or crond or atd or ftpd \
     or in.ftpd or telnetd or in.telnetd)",
];

/// A search expression for the events with which acts that last begin: what is looked for before the
/// time that is asked about.
pub const STARTS: &str = "(event.dataset:windows.security and event.code:(4624 or 4627 or 4672 or \
4688)) or (event.dataset:windows.sysmon and event.code:1) or \
(event.dataset:linux.* and process.name:(sshd or sshd-session)) or event.action:vpn_*";

/// Rows of a batch.
pub(crate) struct Rows {
    dataset: Option<Arc<str>>,
    datasets: Option<View>,
    time: View,
    received: View,
    stream: View,
    batch: View,
    index: View,
    sequence: Option<View>,
    values: Vec<(&'static str, View)>,
    /// The names of streams, which are few.
    streams: Vec<StreamName>,
    rows: usize,
}

/// A column as text or numbers.
enum View {
    Keyword(arrow::array::DictionaryArray<Int32Type>, StringArray),
    Text(StringArray),
    Long(arrow::array::Int64Array),
    Time(arrow::array::TimestampMicrosecondArray),
}

impl View {
    fn new(column: &ArrayRef) -> Option<View> {
        let keyword = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        Some(match column.data_type() {
            kind if *kind == keyword => {
                let keys = column.as_dictionary::<Int32Type>().clone();
                let values = keys.values().as_string::<i32>().clone();
                View::Keyword(keys, values)
            }
            DataType::Utf8 => View::Text(column.as_string::<i32>().clone()),
            DataType::Int64 => View::Long(column.as_primitive::<Int64Type>().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                View::Time(column.as_primitive::<TimestampMicrosecondType>().clone())
            }
            DataType::Dictionary(..) => View::new(&cast(column, &keyword).ok()?)?,
            DataType::Utf8View | DataType::LargeUtf8 => {
                View::new(&cast(column, &DataType::Utf8).ok()?)?
            }
            _ => return None,
        })
    }

    fn text(&self, row: usize) -> Option<&str> {
        match self {
            View::Keyword(keys, values) => {
                let key = keys.key(row)?;
                (key < values.len() && values.is_valid(key)).then(|| values.value(key))
            }
            View::Text(values) => {
                (row < values.len() && values.is_valid(row)).then(|| values.value(row))
            }
            View::Long(_) | View::Time(_) => None,
        }
    }

    fn number(&self, row: usize) -> Option<i64> {
        match self {
            View::Long(values) => {
                (row < values.len() && values.is_valid(row)).then(|| values.value(row))
            }
            View::Time(values) => {
                (row < values.len() && values.is_valid(row)).then(|| values.value(row))
            }
            View::Keyword(..) | View::Text(_) => None,
        }
    }

    fn boxed(&self, row: usize) -> Option<Box<str>> {
        match self {
            View::Keyword(..) | View::Text(_) => {
                let text = cut(self.text(row)?);
                (!text.is_empty()).then(|| text.into())
            }
            View::Long(_) | View::Time(_) => Some(self.number(row)?.to_string().into()),
        }
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(VALUE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl Rows {
    pub(crate) fn of_batch(batch: &EventBatch) -> Option<Rows> {
        Rows::new(&batch.columns, Some(batch.dataset.clone()))
    }

    /// `None` for a batch without the columns every event has.
    pub(crate) fn new(batch: &RecordBatch, dataset: Option<Arc<str>>) -> Option<Rows> {
        let view = |name: &str| View::new(batch.column_by_name(name)?);
        let values = VALUES.iter().filter_map(|name| {
            let column = batch.column_by_name(name)?;
            (column.null_count() < column.len()).then(|| Some((*name, View::new(column)?)))?
        });
        Some(Rows {
            datasets: view(DATASET),
            dataset,
            time: view(columns::TIMESTAMP)?,
            received: view(columns::INGESTED)?,
            stream: view(columns::STREAM)?,
            batch: view(columns::BATCH)?,
            index: view(columns::INDEX)?,
            sequence: view("winlog.record_id"),
            values: values.collect(),
            streams: Vec::new(),
            rows: batch.num_rows(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// The event of a row: what acts need of it, or its id where no act wants it. `None` for a row
    /// without an id, which no event of ours is.
    pub(crate) fn item(&mut self, row: usize) -> Option<Result<Item, EventId>> {
        let stream = self.stream(row)?;
        let id = EventId {
            stream,
            batch: u64::try_from(self.batch.number(row)?).ok()?,
            index: u32::try_from(self.index.number(row)?).ok()?,
        };
        let dataset: Arc<str> = match &self.dataset {
            Some(dataset) => dataset.clone(),
            None => self.datasets.as_ref().and_then(|view| view.text(row)).unwrap_or("").into(),
        };
        let value = |name: &str| {
            let (_, view) = self.values.iter().find(|(column, _)| *column == name)?;
            view.text(row)
        };
        let Some(route) = Route::of(&dataset, &value) else { return Some(Err(id)) };
        let received = self.received.number(row).unwrap_or_default();
        let place = Place {
            time: self.time.number(row).unwrap_or(received),
            sequence: self.sequence.as_ref().and_then(|view| view.number(row)).unwrap_or(0),
            id,
            received,
        };
        let values = self.values.iter().filter(|(name, _)| route.reads(name));
        let values = values.filter_map(|(name, view)| Some((*name, view.boxed(row)?))).collect();
        Some(Ok(Item { place, route, dataset, late: false, values }))
    }

    fn stream(&mut self, row: usize) -> Option<StreamName> {
        let text = self.stream.text(row)?;
        if let Some(known) = self.streams.iter().find(|known| known.as_str() == text) {
            return Some(known.clone());
        }
        let name = StreamName::new(text).ok()?;
        self.streams.push(name.clone());
        Some(name)
    }
}
