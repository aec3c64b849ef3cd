//! Which dataset a JSON document is of, told by the names it has and the values some of them hold.
//!
//! Every name that any signature asks for has a bit. The bits of a document's names are gathered
//! in one pass, so that a document is compared with all signatures at the price of a few words.

use crate::flat::Flat;
use crate::mapping::{Map, OneOrMany, holds};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most different names that signatures ask for, all together.
pub(crate) const SIGNATURE_NAMES_MAX: usize = 512;

const WORDS: usize = SIGNATURE_NAMES_MAX / 64;

/// One way in which a document may look.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonEntry {
    /// Names it has, dotted.
    #[serde(default)]
    has: Vec<String>,
    /// Values that some names have: one of these; `*` for any, `x*` for what begins with x.
    #[serde(default)]
    is: BTreeMap<String, OneOrMany>,
}

/// The bit of each name.
pub(crate) type Bits = Arc<Map<Box<str>, u16>>;

#[derive(Clone, Copy, Default)]
struct Set([u64; WORDS]);

impl Set {
    fn insert(&mut self, bit: u16) {
        if let Some(word) = self.0.get_mut(usize::from(bit) / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    fn has_all(&self, of: &Set) -> bool {
        self.0.iter().zip(&of.0).all(|(have, need)| have & need == *need)
    }
}

struct Signature {
    dataset: usize,
    needs: Set,
    is: Vec<(u16, Vec<Box<str>>)>,
}

/// The signatures of all datasets, in the order in which they are tried.
#[derive(Default)]
pub(crate) struct Signatures {
    bits: Bits,
    list: Vec<Signature>,
}

impl Signatures {
    /// Adds a way in which documents of `dataset` may look. The error says what is wrong.
    pub(crate) fn add(&mut self, dataset: usize, entry: &JsonEntry) -> Result<(), String> {
        let bits = Arc::make_mut(&mut self.bits);
        let mut bit = |name: &str| -> Result<u16, String> {
            if let Some(&bit) = bits.get(name) {
                return Ok(bit);
            }
            if bits.len() >= SIGNATURE_NAMES_MAX {
                return Err(format!("more than {SIGNATURE_NAMES_MAX} names in all signatures"));
            }
            let bit = u16::try_from(bits.len()).map_err(|error| error.to_string())?;
            bits.insert(name.into(), bit);
            Ok(bit)
        };
        if entry.has.is_empty() && entry.is.is_empty() {
            return Err("a signature needs names in `has` or values in `is`".into());
        }
        let mut signature = Signature { dataset, needs: Set::default(), is: Vec::new() };
        for name in &entry.has {
            signature.needs.insert(bit(name)?);
        }
        for (name, values) in &entry.is {
            let bit = bit(name)?;
            signature.needs.insert(bit);
            signature.is.push((bit, values.iter().map(Box::from).collect()));
        }
        self.list.push(signature);
        Ok(())
    }

    /// The bits, for who numbers names.
    pub(crate) fn bits(&self) -> Bits {
        self.bits.clone()
    }

    /// The dataset of the document in `flat`; its fields before `plain` are those of a header.
    pub(crate) fn dataset(&self, flat: &Flat, plain: usize) -> Option<usize> {
        let mut has = Set::default();
        let mut any = false;
        for number in plain..flat.len() {
            if let Some(bit) = flat.entry(number).and_then(|entry| flat.names.bit(entry.name)) {
                has.insert(bit);
                any = true;
            }
        }
        if !any {
            return None;
        }
        let fits = |signature: &&Signature| {
            has.has_all(&signature.needs)
                && signature.is.iter().all(|(bit, wanted)| {
                    (plain..flat.len()).filter_map(|number| flat.entry(number)).any(|entry| {
                        flat.names.bit(entry.name) == Some(*bit)
                            && wanted.iter().any(|wanted| holds(wanted, flat.get(entry.value)))
                    })
                })
        };
        self.list.iter().find(fits).map(|signature| signature.dataset)
    }
}
