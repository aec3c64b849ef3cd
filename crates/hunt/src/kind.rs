use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use yagura_event::{Lang, Words};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $ja:literal $en:literal [$($other:literal)*],)+) => {
        /// What an indicator is: it says in which fields its value is looked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl Kind {
            /// All of them, in order.
            pub const ALL: &[Kind] = &[$(Kind::$variant),+];

            /// The word in commands, files and records.
            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$variant => $word,)+ }
            }

            /// What a person reads, in `lang`.
            pub fn label(self, lang: Lang) -> &'static str {
                match (lang, self) {
                    $((Lang::Ja, Kind::$variant) => $ja, (Lang::En, Kind::$variant) => $en,)+
                }
            }

            /// The kind that a word of ours, of STIX, MISP, ECS or of common lists means.
            pub(crate) fn of_word(word: &str) -> Option<Kind> {
                match word {
                    $($word $(| $other)* => Some(Kind::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// An IPv4 or IPv6 address, or a range in CIDR notation.
    Ip "ip" "IPアドレス" "IP address"
        ["ipv4" "ipv6" "ipv4-addr" "ipv6-addr" "ip-src" "ip-dst" "ip-address" "ipaddress" "cidr"
         "ip-range" "ipv4-cidr" "ipv6-cidr"],
    /// A domain name; names below it match too.
    Domain "domain" "ドメイン" "domain"
        ["domain-name" "hostname" "host" "fqdn"],
    /// A whole address of a web resource.
    Url "url" "URL" "URL" ["uri" "link"],
    /// MD5 of a file.
    Md5 "md5" "MD5" "MD5" ["hash-md5" "filehash-md5" "md5-hash" "file-hash-md5"],
    /// SHA-1 of a file.
    Sha1 "sha1" "SHA-1" "SHA-1"
        ["sha-1" "hash-sha1" "filehash-sha1" "sha1-hash" "file-hash-sha1"],
    /// SHA-256 of a file.
    Sha256 "sha256" "SHA-256" "SHA-256"
        ["sha-256" "hash-sha256" "filehash-sha256" "sha256-hash" "file-hash-sha256"],
    /// SHA-512 of a file.
    Sha512 "sha512" "SHA-512" "SHA-512" ["sha-512" "hash-sha512" "filehash-sha512"],
    /// Hash of a program's import table.
    Imphash "imphash" "imphash" "imphash" ["filehash-imphash" "hash-imphash"],
    /// Name of a file, without its folder.
    FileName "file-name" "ファイル名" "file name" ["filename" "file"],
    /// Whole path of a file; the drive does not matter.
    FilePath "file-path" "ファイルパス" "file path" ["filepath" "path" "directory-path"],
    /// An e-mail address.
    Email "email" "メールアドレス" "e-mail address"
        ["email-addr" "email-address" "email-src" "email-dst" "mail"],
    /// A key of the Windows registry, or a key and the name of a value.
    Registry "registry-key" "レジストリキー" "registry key"
        ["regkey" "registry" "windows-registry-key" "registrykey"],
    /// Name of a mutex.
    Mutex "mutex" "ミューテックス" "mutex" ["mutex-name"],
    /// Name of a named pipe.
    Pipe "pipe" "名前付きパイプ" "named pipe" ["named-pipe" "pipe-name" "namedpipe"],
    /// What a client calls itself in HTTP.
    UserAgent "user-agent" "ユーザーエージェント" "user agent" ["useragent" "http-user-agent"],
}

impl Kind {
    /// Its place in a set of kinds.
    pub(crate) fn bit(self) -> u32 {
        1 << (self as u32)
    }

    /// The hash kind of `digits` hexadecimal digits.
    pub(crate) fn of_hash(digits: usize) -> Option<Kind> {
        match digits {
            32 => Some(Kind::Md5),
            40 => Some(Kind::Sha1),
            64 => Some(Kind::Sha256),
            128 => Some(Kind::Sha512),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Words;

    /// Reads a kind in our words, or in those of STIX, MISP and common lists, whatever the case.
    fn from_str(word: &str) -> Result<Self, Words> {
        let plain = word.trim().to_lowercase().replace(['_', ' '], "-");
        Kind::of_word(&plain).ok_or_else(|| {
            let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            Words::new(
                format!("unknown kind of indicator {word:?}: use one of {}", known.join(", ")),
                format!("{} のどれかを指定してください", known.join("、")),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_and_other_words_are_known() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), *kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for (word, kind) in
            [("FileHash_SHA256", Kind::Sha256), ("IPv4", Kind::Ip), ("named pipe", Kind::Pipe)]
        {
            assert_eq!(word.parse::<Kind>().unwrap(), kind, "{word}");
        }
        assert!("yara".parse::<Kind>().unwrap_err().en().contains("user-agent"));
    }
}
