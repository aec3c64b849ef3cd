//! How rules are read: as we do, or as another engine does in some respects.

/// One respect in which `rsigma-eval` 0.23 reads rules otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// A missing field satisfies `null` only where that is the field's only value.
    NullAlone,
    /// Wildcards do not go past the end of a line.
    WildcardsInLine,
    /// With wildcards, `startswith` asks for the end and `endswith` for the start.
    EndsSwapped,
    /// `windash` replaces every hyphen, wherever it stands, and no other dash.
    EveryHyphen,
    /// Under `windash`, a value with wildcards is what is written, character by character.
    WindashVerbatim,
    /// `windash` does nothing before Base64.
    WindashBeforeBase64,
    /// UTF-16 is used inside Base64 only; without it the value is looked for as it is.
    WideVerbatim,
    /// `base64offset` keeps a last character that depends on what follows.
    Base64Tail,
    /// Keywords with a modifier are whole values of one field, not parts of any.
    KeywordsWhole,
    /// Numbers are compared as numbers: `01` and `1.0` are `1`.
    NumbersByValue,
    /// Comparisons take `inf` for a number, and ` 1` (with a blank) for none.
    NumbersAsParsed,
    /// Under `cased`, `fieldref` never holds between a number and text.
    TypesApart,
    /// An address with a zone or with blanks around it is none to `cidr`.
    ZonesUnknown,
    /// To `cidr`, IPv4 written as IPv6 is IPv6.
    MappedApart,
    /// Without wildcards, value and text are put into lower case as a whole: a letter may become two,
    /// and its neighbours count.
    WholeLowercase,
    /// With wildcards, letters are equal as they are to a regular expression.
    WildcardsFold,
    /// Of several values, those with wildcards, and expressions without regard to case, are compared
    /// with the text in lower case, where a letter may have become two.
    ListsLowered,
    /// Keywords are looked for in fields, too, whose values are words of ours.
    OurWordsToo,
}

/// Several of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readings(u32);

impl Readings {
    /// None: rules are read as we do.
    pub const OURS: Readings = Readings(0);

    /// All: rules are read as the other engine does.
    pub const THEIRS: Readings = {
        let (mut all, mut number) = (0, 0);
        while number < Reading::ALL.len() {
            all |= 1 << Reading::ALL[number] as u32;
            number += 1;
        }
        Readings(all)
    };

    pub fn only(reading: Reading) -> Readings {
        Readings(1 << reading as u32)
    }

    pub fn without(self, reading: Reading) -> Readings {
        Readings(self.0 & !(1 << reading as u32))
    }

    pub fn has(self, reading: Reading) -> bool {
        self.0 & (1 << reading as u32) != 0
    }

    pub fn each(self) -> impl Iterator<Item = Reading> {
        Reading::ALL.into_iter().filter(move |reading| self.has(*reading))
    }
}

impl Reading {
    pub const ALL: [Reading; 18] = [
        Reading::NullAlone,
        Reading::WildcardsInLine,
        Reading::EndsSwapped,
        Reading::EveryHyphen,
        Reading::WindashVerbatim,
        Reading::WindashBeforeBase64,
        Reading::WideVerbatim,
        Reading::Base64Tail,
        Reading::KeywordsWhole,
        Reading::NumbersByValue,
        Reading::NumbersAsParsed,
        Reading::TypesApart,
        Reading::ZonesUnknown,
        Reading::MappedApart,
        Reading::WholeLowercase,
        Reading::WildcardsFold,
        Reading::ListsLowered,
        Reading::OurWordsToo,
    ];
}
