//! Firewalls that log `key=value` pairs: FortiGate (FortiOS Log Message Reference), SonicWall
//! (SonicOS Log Events Reference Guide), Sophos Firewall (SFOS Log Viewer guide).
//!
//! The pairs keep their own names; `content/mappings/devices.toml` adds the common ones.

use super::device::{DESTINATION, SOURCE, has, push_end, push_observer, push_transport};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;
use crate::{pairs, time};
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

#[derive(Clone, Copy)]
enum Family {
    FortiGate,
    SonicWall,
    Sophos,
}

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let family = Family::of(line.text)?;
    // VPN events of FortiOS have a dataset of their own with names of its own.
    if matches!(family, Family::FortiGate) && pairs::is_vpn(line.text) {
        return None;
    }
    let (vendor, product) = match family {
        Family::FortiGate => ("Fortinet", "FortiGate"),
        Family::SonicWall => ("SonicWall", "SonicOS"),
        Family::Sophos => ("Sophos", "Sophos Firewall"),
    };
    push_observer(flat, vendor, product, "firewall");
    let kind = Kind::of(line.text);
    match family {
        Family::SonicWall => sonicwall(line.text, flat),
        Family::FortiGate => fortigate(line.text, flat),
        Family::Sophos => pairs::push("", line.text, flat),
    }
    let dataset = match family {
        Family::FortiGate => kind.fortigate(),
        Family::SonicWall => kind.sonicwall(),
        Family::Sophos => kind.sophos(),
    };
    Some(Found { dataset, time: kind.time(line.receipt.zone) })
}

impl Family {
    fn of(text: &str) -> Option<Family> {
        const BEGINS: [&str; 11] = [
            "date=",
            "time=",
            "id=",
            "device=",
            "device_name=",
            "logver=",
            "timestamp=",
            "itime=",
            "eventtime=",
            "devname=",
            "devid=",
        ];
        if !BEGINS.iter().any(|begin| text.starts_with(begin)) {
            return None;
        }
        if has(text, "logid=") && (has(text, "devid=") || has(text, "devname=")) {
            return Some(Family::FortiGate);
        }
        if has(text, "log_component=") && has(text, "log_type=") {
            return Some(Family::Sophos);
        }
        (text.starts_with("id=") && has(text, " sn=") && has(text, " m="))
            .then_some(Family::SonicWall)
    }
}

/// The pairs that say what kind of event this is and when it was.
#[derive(Default)]
struct Kind<'a> {
    kind: &'a str,
    subtype: &'a str,
    component: &'a str,
    message: &'a str,
    date: &'a str,
    clock: &'a str,
    offset: &'a str,
    stamp: &'a str,
    epoch: &'a str,
}

impl<'a> Kind<'a> {
    fn of(text: &'a str) -> Self {
        let mut kind = Kind::default();
        for (key, value) in pairs::pairs(text) {
            let place = match key {
                "type" | "log_type" => &mut kind.kind,
                "subtype" | "log_subtype" => &mut kind.subtype,
                "log_component" => &mut kind.component,
                "m" => &mut kind.message,
                "date" => &mut kind.date,
                "time" => &mut kind.clock,
                "tz" => &mut kind.offset,
                "timestamp" => &mut kind.stamp,
                "eventtime" => &mut kind.epoch,
                _ => continue,
            };
            if place.is_empty() {
                *place = value;
            }
        }
        kind
    }

    fn time(&self, zone: &TimeZone) -> Option<UtcMicros> {
        let text = |text: &str| time::iso(text, zone).map(|(instant, _)| instant);
        time::epoch(self.epoch)
            .or_else(|| text(self.stamp))
            .or_else(|| text(self.clock))
            .or_else(|| text(&format!("{}T{}{}", self.date, self.clock, self.offset)))
    }

    fn fortigate(&self) -> &'static str {
        match (self.kind, self.subtype) {
            ("utm", "dns") | ("dns", _) => "network.dns",
            ("utm", "ips" | "anomaly" | "virus" | "waf" | "file-filter") | ("ips" | "virus", _) => {
                "network.ids"
            }
            ("event", _) => "network.device",
            _ => "network.firewall",
        }
    }

    fn sophos(&self) -> &'static str {
        match (self.kind, self.component) {
            ("IDP" | "ATP" | "Anti-Virus" | "Sandbox" | "WAF", _) => "network.ids",
            ("Event", component) if component.contains("VPN") || component == "L2TP" => {
                "network.vpn"
            }
            ("Event" | "System Health", _) => "network.device",
            _ => "network.firewall",
        }
    }

    /// By message id: logons of administrators, VPN clients, attacks.
    fn sonicwall(&self) -> &'static str {
        match self.message {
            "29" | "30" | "31" | "32" | "33" | "35" | "199" | "200" | "235" | "236" | "237"
            | "238" | "261" | "262" | "263" | "264" | "265" | "328" | "329" | "340" | "341"
            | "523" => "network.device",
            "1080" | "1079" | "1081" | "1153" | "1154" => "network.vpn",
            "22" | "23" | "25" | "27" | "81" | "82" | "83" | "177" | "178" | "179" | "267"
            | "606" | "608" | "609" | "789" | "790" | "793" | "794" | "795" | "796" | "809" => {
                "network.ids"
            }
            _ => "network.firewall",
        }
    }
}

/// `ui="GUI(192.0.2.1)"` says where an administrator sits.
fn fortigate(text: &str, flat: &mut Flat) {
    pairs::push("", text, flat);
    let seat = pairs::pairs(text).find(|(key, _)| *key == "ui").map(|(_, value)| value);
    if let Some((how, address)) = seat.and_then(|seat| seat.strip_suffix(')')?.split_once('(')) {
        super::device::push(flat, "network.protocol", &how.to_ascii_lowercase());
        push_end(flat, &SOURCE, address);
    }
}

/// `src=192.0.2.1:51515:X0:host` joins address, port, interface and name; the other pairs stay.
fn sonicwall(text: &str, flat: &mut Flat) {
    for (key, value) in pairs::pairs(text) {
        flat.push(key, value);
        let (end, interface) = match key {
            "src" => (&SOURCE, "observer.ingress.interface.name"),
            "dst" => (&DESTINATION, "observer.egress.interface.name"),
            "proto" => {
                let (transport, service) = value.split_once('/').unwrap_or((value, ""));
                push_transport(flat, transport);
                super::device::push(flat, "network.protocol", &service.to_ascii_lowercase());
                continue;
            }
            _ => continue,
        };
        let mut parts = value.splitn(4, ':');
        let (address, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        push_end(flat, end, address);
        let port_name = if key == "src" { "source.port" } else { "destination.port" };
        super::device::push(flat, port_name, port);
        super::device::push(flat, interface, parts.next().unwrap_or_default());
    }
}
