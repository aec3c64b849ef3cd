use crate::Kind;
use crate::columns::{Roles, roles};
use crate::indicator::{Form, Indicator};
use crate::limits::{
    INDICATOR_BYTES_MAX, INDICATORS_MAX, ONE_REGEX_BYTES_MAX, PATTERNS_MAX, QUOTED_BYTES_MAX,
    REGEX_BYTES_MAX, cut,
};
use crate::scan::{self, Probe};
use crate::value::{file_name, masked, parse_network, path_text, pipe_text, registry_text};
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::hash::BuildHasher;
use std::sync::Arc;
use yagura_event::{EventBatch, UtcMicros};

/// Registry keys where every program may leave something: only the very value named counts.
const COMMON_KEYS: [&str; 9] = [
    "\\currentversion\\run",
    "\\currentversion\\runonce",
    "\\currentversion\\policies\\explorer\\run",
    "\\services",
    "\\winlogon",
    "\\image file execution options",
    "\\software\\microsoft\\windows",
    "\\currentversion",
    "\\control\\lsa",
];

/// Indicators, arranged for looking values up. Shared between threads as `Arc<Matcher>`.
///
/// A lookup costs the same however many indicators there are; only wildcards and regular
/// expressions cost more each, which is why there may be few of them.
#[derive(Debug)]
pub struct Matcher {
    indicators: Vec<Arc<Indicator>>,
    hasher: RandomState,
    /// Numbers of exact indicators other than addresses, by kind and value.
    values: HashTable<u32>,
    /// Networks: number, length of the prefix, number of the indicator.
    networks: HashTable<(u128, u8, u32)>,
    /// Lengths of prefix that some network has, longest first.
    lengths: Vec<u8>,
    patterns: Vec<Patterns>,
    /// Kinds that some indicator has.
    kinds: u32,
    bytes: usize,
}

/// Wildcards and regular expressions of one kind.
#[derive(Debug)]
struct Patterns {
    kind: Kind,
    set: RegexSet,
    numbers: Vec<u32>,
}

/// An event has a value that an indicator names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndicatorMatch {
    /// Row of the batch.
    pub row: usize,
    /// Number of the indicator; see [`Matcher::indicator`].
    pub indicator: u32,
    /// The column.
    pub field: Arc<str>,
    /// The event's value, cut to [`QUOTED_BYTES_MAX`].
    pub value: String,
}

/// Why indicators cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// More than [`INDICATORS_MAX`].
    #[error("there are more than {INDICATORS_MAX} indicators: remove old ones first")]
    TooMany,
    /// More than [`INDICATOR_BYTES_MAX`] of memory.
    #[error(
        "the indicators need more than {INDICATOR_BYTES_MAX} bytes of memory: remove old ones first"
    )]
    TooLarge,
    /// More than [`PATTERNS_MAX`] wildcards and regular expressions, or too large ones.
    #[error(
        "there are more than {PATTERNS_MAX} wildcards and regular expressions, or they are too large together"
    )]
    Patterns,
}

/// The expression of a wildcard or regular expression, as it is matched.
pub(crate) fn compile(kind: Kind, form: Form, text: &str) -> Result<String, String> {
    let expression = match form {
        Form::Exact => return Err("it is no pattern".to_owned()),
        Form::Like => {
            let mut expression = "^".to_owned();
            for c in text.chars() {
                match c {
                    '%' => expression.push_str(".*"),
                    '_' => expression.push('.'),
                    c => expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
                }
            }
            expression + "$"
        }
        Form::Regex => text.to_owned(),
    };
    // Names of machines, files and registry keys have no case.
    let folded = format!("(?is){expression}");
    let compiled: Result<Regex, _> =
        RegexBuilder::new(&folded).size_limit(ONE_REGEX_BYTES_MAX).build();
    let compiled = compiled.map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or("it cannot be compiled").to_owned()
    })?;
    let probes = ["", "a", "example.com", "10.0.0.1", "C:\\Windows\\explorer.exe"];
    if form == Form::Regex && probes.iter().all(|probe| compiled.is_match(probe))
        || form == Form::Like && text.chars().all(|c| c == '%')
    {
        return Err(format!("it matches every {kind}"));
    }
    Ok(folded)
}

impl Matcher {
    /// Arranges indicators.
    ///
    /// # Errors
    /// [`MatcherError`], when they are too many or too large.
    pub fn new(
        indicators: impl IntoIterator<Item = impl Into<Arc<Indicator>>>,
    ) -> Result<Matcher, MatcherError> {
        let indicators: Vec<Arc<Indicator>> = indicators.into_iter().map(Into::into).collect();
        if indicators.len() > INDICATORS_MAX {
            return Err(MatcherError::TooMany);
        }
        let hasher = RandomState::default();
        let mut values = HashTable::with_capacity(indicators.len());
        let mut networks = HashTable::new();
        let mut lengths = [false; 129];
        let mut patterns: Vec<(Kind, Vec<String>, Vec<u32>)> = Vec::new();
        let (mut kinds, mut patterned) = (0, 0);
        let mut bytes = indicators.iter().map(|one| one.bytes() + 24).sum::<usize>();
        for (number, indicator) in (0u32..).zip(&indicators) {
            kinds |= indicator.kind.bit();
            if indicator.form != Form::Exact {
                patterned += 1;
                let Ok(text) = compile(indicator.kind, indicator.form, &indicator.value) else {
                    return Err(MatcherError::Patterns);
                };
                match patterns.iter_mut().find(|(kind, ..)| *kind == indicator.kind) {
                    Some((_, texts, numbers)) => {
                        texts.push(text);
                        numbers.push(number);
                    }
                    None => patterns.push((indicator.kind, vec![text], vec![number])),
                }
                continue;
            }
            if let (Kind::Ip, Some((bits, length))) =
                (indicator.kind, parse_network(&indicator.value))
            {
                if let Some(seen) = lengths.get_mut(usize::from(length)) {
                    *seen = true;
                }
                let hash = hasher.hash_one((bits, length));
                networks.insert_unique(hash, (bits, length, number), |(bits, length, _)| {
                    hasher.hash_one((*bits, *length))
                });
                continue;
            }
            let hash = hasher.hash_one((indicator.kind, &*indicator.value));
            let rehash = |other: &u32| {
                indicators.get(*other as usize).map_or(0, |i| hasher.hash_one((i.kind, &*i.value)))
            };
            values.insert_unique(hash, number, rehash);
        }
        bytes += values.allocation_size() + networks.allocation_size();
        if bytes > INDICATOR_BYTES_MAX {
            return Err(MatcherError::TooLarge);
        }
        if patterned > PATTERNS_MAX {
            return Err(MatcherError::Patterns);
        }
        let patterns = patterns.into_iter().map(|(kind, texts, numbers)| {
            let set = RegexSetBuilder::new(&texts).size_limit(REGEX_BYTES_MAX).build();
            Ok(Patterns { kind, set: set.map_err(|_| MatcherError::Patterns)?, numbers })
        });
        let patterns = patterns.collect::<Result<_, MatcherError>>()?;
        let lengths = (0..=128u8).rev().filter(|l| lengths[usize::from(*l)]).collect();
        Ok(Matcher { indicators, hasher, values, networks, lengths, patterns, kinds, bytes })
    }

    /// How many indicators there are.
    pub fn len(&self) -> usize {
        self.indicators.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indicators.is_empty()
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An indicator by its number.
    pub fn indicator(&self, number: u32) -> Option<&Arc<Indicator>> {
        self.indicators.get(number as usize)
    }

    /// All indicators, in the order they were given.
    pub fn indicators(&self) -> &[Arc<Indicator>] {
        &self.indicators
    }

    /// Whether a column of events of `dataset` could hold something that is looked for.
    pub fn concerns(&self, dataset: &str, column: &str) -> bool {
        self.relevant(roles(dataset, column)).0 != 0
    }

    /// The roles in which some indicator could be found.
    fn relevant(&self, roles: Roles) -> Roles {
        let wants = |kinds: &[Kind]| kinds.iter().any(|kind| self.kinds & kind.bit() != 0);
        const HASHES: [Kind; 5] =
            [Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512, Kind::Imphash];
        let mut wanted = 0;
        for (role, kinds) in [
            (Roles::ADDRESS, &[Kind::Ip][..]),
            (Roles::DOMAIN, &[Kind::Domain]),
            (Roles::URL, &[Kind::Url, Kind::Domain, Kind::Ip]),
            (Roles::HASH, &HASHES),
            (Roles::FILE, &[Kind::FileName, Kind::FilePath]),
            (Roles::EMAIL, &[Kind::Email]),
            (Roles::REGISTRY, &[Kind::Registry]),
            (Roles::MUTEX, &[Kind::Mutex]),
            (Roles::PIPE, &[Kind::Pipe]),
            (Roles::AGENT, &[Kind::UserAgent]),
            (
                Roles::TEXT,
                &[
                    Kind::Ip,
                    Kind::Domain,
                    Kind::Url,
                    Kind::Email,
                    Kind::FileName,
                    Kind::Md5,
                    Kind::Sha1,
                    Kind::Sha256,
                    Kind::Sha512,
                    Kind::Imphash,
                ],
            ),
        ] {
            if wants(kinds) {
                wanted |= role;
            }
        }
        Roles(roles.0 & wanted)
    }

    /// Every indicator that an event of `batch` has a value of and that is valid at `now`, by row;
    /// each pair of row and indicator once.
    pub fn matches(&self, batch: &EventBatch, now: UtcMicros) -> Vec<IndicatorMatch> {
        let mut found = Vec::new();
        if self.is_empty() {
            return found;
        }
        for (field, array) in
            batch.columns.schema_ref().fields().iter().zip(batch.columns.columns())
        {
            let roles = self.relevant(roles(&batch.dataset, field.name()));
            if roles.0 == 0 {
                continue;
            }
            self.column(field.name(), roles, array, now, &mut found);
        }
        // The first column in which it was found speaks for it.
        found.sort_by_key(|one| (one.row, one.indicator));
        found.dedup_by_key(|one| (one.row, one.indicator));
        found
    }

    fn column(
        &self,
        name: &str,
        roles: Roles,
        array: &ArrayRef,
        now: UtcMicros,
        found: &mut Vec<IndicatorMatch>,
    ) {
        let Some(values) = Values::new(array) else { return };
        // Per distinct value: which indicators, once it was asked.
        let mut known: Vec<Option<Box<[u32]>>> = vec![None; values.slots()];
        let mut numbers: Vec<u32> = Vec::new();
        let field: Arc<str> = name.into();
        for row in 0..array.len() {
            let Some(slot) = values.slot(row) else { continue };
            let Some(hits) = known.get_mut(slot) else { continue };
            let hits = hits.get_or_insert_with(|| {
                numbers.clear();
                self.value(name, roles, values.text(slot), now, &mut numbers);
                numbers.as_slice().into()
            });
            for indicator in hits.iter() {
                found.push(IndicatorMatch {
                    row,
                    indicator: *indicator,
                    field: field.clone(),
                    value: cut(values.text(slot), QUOTED_BYTES_MAX),
                });
            }
        }
    }

    /// The indicators that one value of a column names.
    fn value(
        &self,
        column: &str,
        roles: Roles,
        text: &str,
        now: UtcMicros,
        numbers: &mut Vec<u32>,
    ) {
        if text.is_empty() || text == "-" {
            return;
        }
        let mut take = |number: u32| {
            let valid = self.indicator(number).is_some_and(|indicator| indicator.is_valid_at(now));
            if valid && !numbers.contains(&number) {
                numbers.push(number);
            }
        };
        let mut probe = |probe: Probe<'_>| self.probe(&probe, &mut take);
        if roles.has(Roles::ADDRESS) || roles.has(Roles::DOMAIN) {
            scan::host(text, &mut probe);
        }
        if roles.has(Roles::URL) && text.contains("://") {
            scan::url(text, &mut probe);
        }
        if roles.has(Roles::HASH) {
            scan::hashes(text, column, &mut probe);
        }
        if roles.has(Roles::FILE) {
            let path = path_text(text);
            probe(Probe::Value(Kind::FilePath, &path));
            probe(Probe::Value(Kind::FileName, file_name(&path)));
        }
        if roles.has(Roles::EMAIL) {
            scan::email(text, &mut probe);
        }
        if roles.has(Roles::REGISTRY) {
            self.registry(&registry_text(text), &mut probe);
        }
        if roles.has(Roles::MUTEX) {
            let name = text.rsplit('\\').next().unwrap_or(text).to_lowercase();
            probe(Probe::Value(Kind::Mutex, &name));
        }
        if roles.has(Roles::PIPE) {
            probe(Probe::Value(Kind::Pipe, &pipe_text(text)));
        }
        if roles.has(Roles::AGENT) {
            probe(Probe::Value(Kind::UserAgent, &text.trim().to_lowercase()));
        }
        if roles.has(Roles::TEXT) {
            scan::text(text, self.kinds, &mut probe);
        }
    }

    /// A key, and the keys above it: an indicator names a key with everything below it, except a
    /// key where every program may leave something.
    fn registry(&self, path: &str, probe: &mut impl FnMut(Probe<'_>)) {
        probe(Probe::Value(Kind::Registry, path));
        let mut rest = path;
        while let Some((above, _)) = rest.rsplit_once('\\') {
            if COMMON_KEYS.iter().any(|key| above.ends_with(key)) || !above.contains('\\') {
                break;
            }
            probe(Probe::Value(Kind::Registry, above));
            rest = above;
        }
    }

    fn probe(&self, probe: &Probe<'_>, take: &mut impl FnMut(u32)) {
        match probe {
            Probe::Address(bits) => {
                for length in &self.lengths {
                    let network = (masked(*bits, *length), *length);
                    let hash = self.hasher.hash_one(network);
                    self.networks
                        .iter_hash(hash)
                        .filter(|(bits, length, _)| (*bits, *length) == network)
                        .for_each(|(_, _, number)| take(*number));
                }
            }
            Probe::Domain(domain) => {
                let mut rest = *domain;
                // A name of one label is no indicator.
                while let Some((_, above)) = rest.split_once('.') {
                    self.look_up(Kind::Domain, rest, take);
                    rest = above;
                }
                self.match_patterns(Kind::Domain, domain, take);
            }
            Probe::Value(kind, value) => {
                self.look_up(*kind, value, take);
                // An MD5 without a name may be that of an import table.
                self.match_patterns(*kind, value, take);
            }
        }
    }

    fn look_up(&self, kind: Kind, value: &str, take: &mut impl FnMut(u32)) {
        if self.kinds & kind.bit() == 0 {
            return;
        }
        let hash = self.hasher.hash_one((kind, value));
        let same = |number: &&u32| {
            self.indicator(**number).is_some_and(|one| one.kind == kind && &*one.value == value)
        };
        self.values.iter_hash(hash).filter(same).for_each(|number| take(*number));
    }

    fn match_patterns(&self, kind: Kind, value: &str, take: &mut impl FnMut(u32)) {
        for patterns in self.patterns.iter().filter(|patterns| patterns.kind == kind) {
            for hit in patterns.set.matches(value) {
                patterns.numbers.get(hit).into_iter().for_each(|number| take(*number));
            }
        }
    }
}

/// The texts of a column: one slot per distinct value where there is a dictionary, else per row.
enum Values {
    Keyword { keys: DictionaryArray<Int32Type>, values: StringArray },
    Text(StringArray),
}

impl Values {
    fn new(array: &ArrayRef) -> Option<Values> {
        match array.data_type() {
            DataType::Dictionary(key, value)
                if **key == DataType::Int32 && **value == DataType::Utf8 =>
            {
                let keys = array.as_dictionary::<Int32Type>().clone();
                let values = keys.values().as_string::<i32>().clone();
                Some(Values::Keyword { keys, values })
            }
            DataType::Utf8 => Some(Values::Text(array.as_string::<i32>().clone())),
            DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => {
                Values::new(&cast(array, &DataType::Utf8).ok()?)
            }
            _ => None,
        }
    }

    fn slots(&self) -> usize {
        match self {
            Values::Keyword { values, .. } | Values::Text(values) => values.len(),
        }
    }

    fn slot(&self, row: usize) -> Option<usize> {
        match self {
            Values::Keyword { keys, values } => {
                keys.key(row).filter(|slot| *slot < values.len() && values.is_valid(*slot))
            }
            Values::Text(values) => values.is_valid(row).then_some(row),
        }
    }

    fn text(&self, slot: usize) -> &str {
        match self {
            Values::Keyword { values, .. } | Values::Text(values) => values.value(slot),
        }
    }
}

/// The text of a row's value of a column, whatever its type.
pub fn text_of(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let values = Values::new(batch.column_by_name(name)?)?;
    if row >= batch.num_rows() {
        return None;
    }
    Some(values.text(values.slot(row)?).to_owned())
}
