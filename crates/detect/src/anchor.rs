//! Which atoms a rule waits for.

use crate::expression::{AtomId, Expression};

/// Atoms of which at least one holds whenever a rule does, and how rare that is.
#[derive(Debug, Clone)]
pub(crate) struct Anchor {
    pub(crate) atoms: Vec<AtomId>,
    /// Larger is rarer.
    pub(crate) rarity: f32,
}

/// The rarest anchor of `expression`; `rarity` says how rare an atom is, or that it must not
/// anchor. `None` when the rule can hold without any such atom.
pub(crate) fn anchor(
    expression: &Expression,
    rarity: &impl Fn(AtomId) -> Option<f32>,
) -> Option<Anchor> {
    match expression {
        Expression::Atom(id) => rarity(*id).map(|rarity| Anchor { atoms: vec![*id], rarity }),
        Expression::Not(_) => None,
        Expression::All(parts) => parts
            .iter()
            .filter_map(|part| anchor(part, rarity))
            .max_by(|a, b| a.rarity.total_cmp(&b.rarity)),
        Expression::Any(parts) | Expression::AtLeast(_, parts) => {
            let all: Option<Vec<Anchor>> = parts.iter().map(|part| anchor(part, rarity)).collect();
            let all = all.filter(|all| !all.is_empty())?;
            let weakest = all.iter().map(|one| one.rarity).fold(f32::INFINITY, f32::min);
            let mut atoms: Vec<AtomId> = all.into_iter().flat_map(|one| one.atoms).collect();
            atoms.sort_unstable();
            atoms.dedup();
            // Each doubling of the alternatives makes one of them a little more likely.
            let rarity = weakest - 0.5 * (atoms.len() as f32).log2();
            Some(Anchor { atoms, rarity })
        }
    }
}

/// How rare a folded literal is. Longer is rarer, unless it is part of what every machine writes.
pub(crate) fn rarity_of_text(text: &str, whole: bool) -> f32 {
    let chars = text.chars().count().min(32) as f32;
    if COMMON.iter().any(|common| if whole { *common == text } else { common.contains(text) }) {
        return 0.5 + chars / 64.0;
    }
    chars + if whole { 4.0 } else { 0.0 }
}

/// Text found in very many events of ordinary machines.
pub(crate) const COMMON: &[&str] = &[
    "c:\\windows\\system32\\",
    "c:\\windows\\syswow64\\",
    "c:\\windows\\system32\\svchost.exe",
    "c:\\windows\\system32\\services.exe",
    "c:\\windows\\system32\\lsass.exe",
    "c:\\windows\\system32\\cmd.exe",
    "c:\\windows\\system32\\conhost.exe",
    "c:\\windows\\system32\\rundll32.exe",
    "c:\\windows\\system32\\taskhostw.exe",
    "c:\\windows\\system32\\wbem\\wmiprvse.exe",
    "c:\\windows\\system32\\windowspowershell\\v1.0\\powershell.exe",
    "c:\\windows\\explorer.exe",
    "c:\\windows\\temp\\",
    "c:\\windows\\microsoft.net\\framework64\\",
    "c:\\program files\\",
    "c:\\program files (x86)\\",
    "c:\\program files\\common files\\microsoft shared\\",
    "c:\\programdata\\microsoft\\windows\\",
    "c:\\users\\public\\",
    "c:\\users\\administrator\\appdata\\local\\temp\\",
    "c:\\users\\administrator\\appdata\\roaming\\microsoft\\windows\\",
    "cmd.exe /c ",
    "powershell.exe -",
    "nt authority\\system",
    "nt authority\\network service",
    "nt authority\\local service",
    "hklm\\system\\currentcontrolset\\services\\",
    "hklm\\software\\microsoft\\windows\\currentversion\\",
    "hklm\\software\\wow6432node\\microsoft\\windows nt\\currentversion\\",
    "hkcu\\software\\classes\\",
    "hku\\s-1-5-21-",
    "\\registry\\machine\\software\\",
    "dword (0x00000000)",
    "dword (0x00000001)",
    "setvalue",
    "createkey",
    "microsoft corporation",
    "microsoft windows",
    "http://",
    "https://",
    "true",
    "false",
    "system",
    "high",
    "medium",
    "tcp",
    "get-",
    "new-object",
    "import-module",
    "function ",
    "write-",
    " -name ",
    " -path ",
    "/usr/bin/",
    "/bin/sh",
    "/bin/bash",
    "0x0",
    "0x1410",
    "%%",
];
