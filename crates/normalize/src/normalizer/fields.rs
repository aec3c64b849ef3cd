//! Events that come as fields, without a document around them.

use super::{Content, Manner, Origin, Work};
use crate::decode::Decoded;
use crate::flat::Flat;
use crate::names::{self, NameId};
use crate::sources::Claims;
use crate::windows::Dialect;
use yagura_event::{EventFields, FieldNames};

/// What is known of the names of a reader.
#[derive(Debug, Default)]
pub(super) struct KnownNames {
    /// Whose names, and the epoch of ours.
    of: (u64, u64),
    ids: Vec<Option<NameId>>,
}

impl KnownNames {
    /// Our number for a name of `theirs`.
    fn id(&mut self, flat: &mut Flat, theirs: &FieldNames, number: u32) -> NameId {
        let of = (theirs.id(), flat.names.epoch());
        if self.of != of {
            self.of = of;
            self.ids.clear();
        }
        let at = number as usize;
        if self.ids.len() <= at {
            self.ids.resize(theirs.len().max(at + 1), None);
        }
        match self.ids.get_mut(at) {
            Some(Some(id)) => *id,
            Some(unknown) => {
                let id = flat.names.id(crate::flat::cut(theirs.text(number)));
                *unknown = Some(id);
                id
            }
            // There is room for it since a moment.
            None => names::MESSAGE,
        }
    }
}

impl Work {
    /// Reads an event of Windows whose fields have the names of its JSON.
    pub(super) fn event(
        &mut self,
        content: &Content,
        manner: Manner<'_>,
        origin: &Origin<'_>,
        event: &EventFields<'_>,
    ) {
        self.waiting_rows += 1;
        self.waiting_bytes = self.waiting_bytes.saturating_add(event.text.len());
        self.flat.clear();
        let base = self.flat.text_len();
        self.flat.text(event.text);
        for field in event.fields {
            let name = self.known_names.id(&mut self.flat, event.names, field.name);
            let value = self.flat.span(base + field.start as usize, base + field.end as usize);
            self.flat.push_spans(name, value);
        }
        let (mut fixed, asks_for_claims) = self.sources.of(manner.sources, origin);
        if asks_for_claims {
            let host = self.flat.value(names::EVTX_COMPUTER);
            fixed = Some(self.sources.with_claims(origin, Claims { host, program: None }));
        }
        let channel = self.flat.value(Dialect::Evtx.channel());
        let known = channel.and_then(|channel| content.mappings.channel(channel));
        let told = fixed.as_ref().and_then(|fixed| fixed.dataset.as_deref());
        let dataset = known.unwrap_or(content.datasets.windows_other);
        if dataset == content.datasets.powershell {
            self.scripts.join(origin, &mut self.flat);
        }
        let dataset = told.and_then(|name| content.mappings.find_dataset(name)).unwrap_or(dataset);
        let dialect = Dialect::Evtx;
        let decoded = Decoded { dataset, dialect, plain: 0, time: None, layout: None };
        self.row(content, manner, origin, (decoded, None, fixed), None);
    }
}
