//! Any text, and any place in it, as a search that is being written: it is answered, what is replaced lies
//! within the text and ends where the place is, and what is offered can be written there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use yagura_event::{FieldDictionary, SystemClock};
use yagura_fuzz::scratch_dir;
use yagura_lake::{Lake, LakeOptions};
use yagura_query::Searcher;
use yagura_query::limits::COMPLETIONS_MAX;

struct House {
    runtime: tokio::runtime::Runtime,
    searcher: Searcher,
}

/// A table without an event: what is offered comes from the text and the dictionary.
static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let text = "[[field]]\nname='user.name'\ntype='keyword'\nja='ユーザー'\nen='User'\n\
                [[field]]\nname='source.port'\ntype='long'\nja='送信元ポート'\nen='Source port'\n";
    let dictionary = Arc::new(FieldDictionary::from_toml(text).unwrap());
    let lake = Lake::open(&scratch_dir("complete"), LakeOptions::default(), Arc::new(SystemClock));
    let searcher = Searcher::new(Arc::new(lake.unwrap()), dictionary).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    House { runtime: runtime.unwrap(), searcher }
});

fuzz_target!(|bytes: &[u8]| {
    let Some((place, text)) = bytes.split_at_checked(2) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let at = usize::from(u16::from_le_bytes([place[0], place[1]])) % (text.len() + 2);
    let House { runtime, searcher } = &*HOUSE;
    let found = runtime.block_on(searcher.complete(text, at, usize::MAX));
    assert!(found.offers.len() <= COMPLETIONS_MAX);
    assert!(text.get(found.replace.clone()).is_some(), "inside a character, or beyond the end");
    for offer in found.offers.iter().take(3) {
        let mut written = text.to_owned();
        written.replace_range(found.replace.clone(), &offer.insert);
        let after = found.replace.start + offer.insert.len();
        let again = runtime.block_on(searcher.complete(&written, after, 1));
        assert!(written.get(again.replace).is_some());
    }
});
