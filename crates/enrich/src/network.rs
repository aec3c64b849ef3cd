//! Networks that the configuration names, and what an address is without being named.

use crate::error::{EnrichError, Fault};
use crate::limits::{NETWORK_NAME_BYTES_MAX, PREFIXES_MAX};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network of the configuration, `[[enrich.network]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSetting {
    /// What people call it.
    pub name: String,
    /// Its prefixes, such as `10.1.0.0/16` or `2001:db8:1::/48`, or single addresses.
    pub cidr: Vec<String>,
    /// The zone it is in, such as `dmz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Whose an address is, as far as its direction is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of a network that the configuration names, or one that is private by its number.
    Own,
    /// Reachable from everywhere.
    Public,
}

/// The own networks, found by the longest prefix that holds an address.
#[derive(Debug, Default)]
pub struct Networks {
    named: Vec<NetworkSetting>,
    v4: Prefixes,
    v6: Prefixes,
}

/// Prefixes of one family by their length, the longest first.
#[derive(Debug, Default)]
struct Prefixes(Vec<(u32, HashMap<u128, u32, RandomState>)>);

impl Prefixes {
    /// `None`, or the network that has this very prefix already.
    fn insert(&mut self, length: u32, bits: u128, network: u32) -> Option<u32> {
        let at = match self.0.binary_search_by(|(other, _)| length.cmp(other)) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (length, HashMap::default()));
                at
            }
        };
        let (_, of_length) = self.0.get_mut(at)?;
        let known = of_length.get(&bits).copied();
        of_length.entry(bits).or_insert(network);
        known
    }

    fn find(&self, bits: u128, width: u32) -> Option<u32> {
        self.0
            .iter()
            .find_map(|(length, prefixes)| prefixes.get(&(bits & mask(*length, width))).copied())
    }
}

/// The first `length` of `width` bits, in the low bits of the number.
fn mask(length: u32, width: u32) -> u128 {
    let all = u128::MAX >> (u128::BITS - width.clamp(1, u128::BITS));
    all & all.checked_shl(width.saturating_sub(length)).unwrap_or(0)
}

fn bits_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    }
}

impl Networks {
    /// Reads the networks of a configuration.
    ///
    /// # Errors
    ///
    /// Names the network and what is wrong with it.
    pub fn new(settings: &[NetworkSetting]) -> Result<Self, EnrichError> {
        let mut networks = Networks::default();
        let mut count = 0;
        for (number, setting) in (1..).zip(settings) {
            let wrong = |fault| EnrichError::Network { number, fault };
            check_names(setting).map_err(wrong)?;
            // Proof: there are at most as many networks as prefixes.
            let network = u32::try_from(number - 1).unwrap_or(u32::MAX);
            for text in &setting.cidr {
                count += 1;
                if count > PREFIXES_MAX {
                    return Err(wrong(Fault::new(
                        format!("more than {PREFIXES_MAX} prefixes in all; join some"),
                        format!("アドレス範囲が合計{PREFIXES_MAX}個を超えます。まとめてください"),
                    )));
                }
                let (address, length) = parse(text).map_err(wrong)?;
                let (bits, width) = bits_of(address);
                let family = if width == 32 { &mut networks.v4 } else { &mut networks.v6 };
                if let Some(other) = family.insert(length, bits, network) {
                    let other = settings.get(other as usize).map_or("", |other| &*other.name);
                    return Err(wrong(Fault::new(
                        format!("{text} is given twice (also for {other:?}); remove one"),
                        format!("{text} が二度書かれています（{other:?}）。片方を消してください"),
                    )));
                }
            }
            networks.named.push(setting.clone());
        }
        Ok(networks)
    }

    /// Whether no network is named.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// How many networks are named.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// The networks that are named, as the configuration has them.
    pub fn named(&self) -> &[NetworkSetting] {
        &self.named
    }

    /// The network of `address`, by the longest prefix.
    pub fn find(&self, address: IpAddr) -> Option<&NetworkSetting> {
        let (bits, width) = bits_of(address);
        let family = if width == 32 { &self.v4 } else { &self.v6 };
        self.named.get(family.find(bits, width)? as usize)
    }

    /// Whose `address` is; `None` for one that is no single machine's (multicast, broadcast) or may
    /// be a carrier's (RFC 6598), unless a network is named for it.
    pub fn scope(&self, address: IpAddr) -> Option<Scope> {
        if self.find(address).is_some() {
            return Some(Scope::Own);
        }
        scope(address)
    }
}

/// Whose `address` is by its number alone (RFC 1918, 3927, 4193, 4291, 6598, 6890).
pub fn scope(address: IpAddr) -> Option<Scope> {
    let (own, none) = match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let own = v4.is_private() || v4.is_loopback() || v4.is_link_local();
            (own, a == 0 || a >= 224 || (a == 100 && b & 0xc0 == 64))
        }
        IpAddr::V6(v6) => {
            let own = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            (own, v6.is_multicast() || v6.is_unspecified())
        }
    };
    match (own, none) {
        (true, _) => Some(Scope::Own),
        (false, true) => None,
        (false, false) => Some(Scope::Public),
    }
}

/// An address as events write it: with a zone index or as an IPv4 address in IPv6, too.
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// `network.direction` (ECS): seen from the own networks.
pub fn direction(source: Scope, destination: Scope) -> &'static str {
    match (source, destination) {
        (Scope::Own, Scope::Own) => "internal",
        (Scope::Own, Scope::Public) => "outbound",
        (Scope::Public, Scope::Own) => "inbound",
        (Scope::Public, Scope::Public) => "external",
    }
}

fn check_names(setting: &NetworkSetting) -> Result<(), Fault> {
    let zone = setting.zone.iter().map(|zone| ("zone", zone));
    for (key, text) in [("name", &setting.name)].into_iter().chain(zone) {
        if text.trim().is_empty() || text.len() > NETWORK_NAME_BYTES_MAX {
            return Err(Fault::new(
                format!("{key}: write 1 to {NETWORK_NAME_BYTES_MAX} bytes"),
                format!("{key}: 1～{NETWORK_NAME_BYTES_MAX}バイトで書いてください"),
            ));
        }
    }
    if setting.cidr.is_empty() {
        return Err(Fault::new(
            format!("{:?} has no prefix; write cidr = [\"10.1.0.0/16\"]", setting.name),
            format!(
                "{:?} にアドレス範囲がありません。cidr = [\"10.1.0.0/16\"] のように書いてください",
                setting.name
            ),
        ));
    }
    Ok(())
}

fn parse(text: &str) -> Result<(IpAddr, u32), Fault> {
    let wrong = || {
        Fault::new(
            format!("{text:?} is no prefix such as 10.1.0.0/16 or 2001:db8::/32"),
            format!("{text:?} はアドレス範囲として読めません（例: 10.1.0.0/16、2001:db8::/32）"),
        )
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let (bits, width) = bits_of(address);
    let length = match length {
        None => width,
        Some(length) => length.parse().ok().filter(|l| *l <= width).ok_or_else(wrong)?,
    };
    let inside = bits & mask(length, width);
    if inside != bits {
        let right: IpAddr = match u32::try_from(inside) {
            Ok(v4) if width == 32 => Ipv4Addr::from(v4).into(),
            _ => Ipv6Addr::from(inside).into(),
        };
        return Err(Fault::new(
            format!("{text} has bits past its length; write {right}/{length}"),
            format!("{text} は長さより後ろにビットがあります。{right}/{length} と書いてください"),
        ));
    }
    // `::ffff:0:0/96` and below are IPv4 to us; a prefix of them would never be looked at.
    match address.to_canonical() {
        IpAddr::V4(v4) if address.is_ipv6() && length >= 96 => Ok((v4.into(), length - 96)),
        _ => Ok((address, length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use yagura_event::Lang;

    fn network(name: &str, cidr: &[&str]) -> NetworkSetting {
        let cidr = cidr.iter().map(|text| (*text).to_owned()).collect();
        NetworkSetting { name: name.into(), cidr, zone: None }
    }

    fn ip(text: &str) -> IpAddr {
        address(text).unwrap()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let networks = Networks::new(&[
            network("everything", &["0.0.0.0/0", "::/0"]),
            network("company", &["10.0.0.0/8", "2001:db8::/32"]),
            network("head office", &["10.1.0.0/16", "203.0.113.0/24"]),
            network("printer", &["10.1.2.3", "::ffff:192.0.2.0/120"]),
        ])
        .unwrap();
        for (address, expected) in [
            ("10.1.2.3", "printer"),
            ("10.1.2.4", "head office"),
            ("10.2.0.1", "company"),
            ("192.0.2.9", "printer"),
            ("::ffff:203.0.113.9", "head office"),
            ("198.51.100.1", "everything"),
            ("2001:db8::1", "company"),
            ("fe80::1%eth0", "everything"),
        ] {
            assert_eq!(networks.find(ip(address)).unwrap().name, expected, "{address}");
        }
        assert!(Networks::default().find(ip("10.0.0.1")).is_none());
    }

    #[test]
    fn directions_are_seen_from_the_own_networks() {
        let networks = Networks::new(&[network("dmz", &["203.0.113.0/24"])]).unwrap();
        let scope = |text| networks.scope(ip(text));
        assert_eq!(scope("203.0.113.7"), Some(Scope::Own));
        assert_eq!(scope("198.51.100.7"), Some(Scope::Public));
        for own in ["10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd00::1"] {
            assert_eq!(scope(own), Some(Scope::Own), "{own}");
        }
        for none in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "100.64.0.1", "ff02::1", "::"] {
            assert_eq!(scope(none), None, "{none}");
        }
        let words = [Scope::Own, Scope::Public]
            .map(|from| [Scope::Own, Scope::Public].map(|to| direction(from, to)));
        assert_eq!(words, [["internal", "outbound"], ["inbound", "external"]]);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_remedy() {
        let said = |settings: &[NetworkSetting]| {
            let error = Networks::new(settings).unwrap_err();
            (error.text(Lang::En), error.text(Lang::Ja))
        };
        let (en, ja) = said(&[network("a", &["10.1.0.0/16"]), network("b", &["10.1.2.0/16"])]);
        assert!(en.contains("number 2") && en.contains("write 10.1.0.0/16"), "{en}");
        assert!(ja.contains("2番目") && ja.contains("10.1.0.0/16 と書いて"), "{ja}");
        for cidr in ["10.0.0.0/33", "10.0.0/8", "::/129", "", "x", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(said(&[network("a", &[cidr])]).0.contains("is no prefix"), "{cidr}");
        }
        let (en, _) = said(&[network("a", &["10.0.0.0/8"]), network("b", &["10.0.0.0/8"])]);
        assert!(en.contains("twice") && en.contains("\"a\""), "{en}");
        assert!(said(&[network("a", &[])]).0.contains("no prefix"));
        assert!(said(&[network(" ", &["::/0"])]).0.contains("name"));
    }

    #[test]
    fn prefixes_and_names_hold_at_the_limit_and_not_past_it() {
        let many = |count: usize| {
            let cidr: Vec<String> =
                (0..count).map(|n| Ipv4Addr::from(u32::try_from(n).unwrap()).to_string()).collect();
            let zone = None;
            Networks::new(&[NetworkSetting { name: "many".into(), cidr, zone }])
        };
        assert!(many(PREFIXES_MAX).is_ok() && many(PREFIXES_MAX + 1).is_err());
        let named = |bytes: usize| Networks::new(&[network(&"n".repeat(bytes), &["::/0"])]);
        assert!(named(NETWORK_NAME_BYTES_MAX).is_ok());
        assert!(named(NETWORK_NAME_BYTES_MAX + 1).is_err());
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_the_obvious_one(
            prefixes in prop::collection::vec((any::<u32>(), 0u32..=32), 1..20),
            asked in any::<u32>(),
        ) {
            let mut obvious: Option<(u32, String)> = None;
            let mut settings: Vec<NetworkSetting> = Vec::new();
            for (bits, length) in prefixes {
                // Near what is asked for, so that some hold it.
                let bits = (asked ^ (bits >> length.min(31))) & u32::try_from(mask(length, 32)).unwrap();
                let text = format!("{}/{length}", Ipv4Addr::from(bits));
                if settings.iter().any(|setting| setting.name == text) {
                    continue;
                }
                if asked & u32::try_from(mask(length, 32)).unwrap() == bits
                    && obvious.as_ref().is_none_or(|(longest, _)| length > *longest)
                {
                    obvious = Some((length, text.clone()));
                }
                settings.push(network(&text, &[&text]));
            }
            let networks = Networks::new(&settings).unwrap();
            let found = networks.find(Ipv4Addr::from(asked).into()).map(|n| n.name.clone());
            prop_assert_eq!(found, obvious.map(|(_, text)| text));
        }

        #[test]
        fn never_panics(text in "\\PC*", number in "[0-9a-f.:/%]*") {
            for text in [text, number] {
                let _ = Networks::new(&[network("x", &[&text])]);
                let _ = address(&text);
            }
        }
    }
}
