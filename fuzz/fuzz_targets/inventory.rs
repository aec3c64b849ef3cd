//! Any bytes as a list of users or assets (the first byte chooses): it is refused by name, the same each
//! time, in both languages, or taken, and then each row can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_enrich::{Inventory, Kind};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let kind = if choice & 1 == 0 { Kind::Users } else { Kind::Assets };
    let again = Inventory::read(kind, "list.csv", bytes);
    match Inventory::read(kind, "list.csv", bytes) {
        Ok(inventory) => {
            let rows = inventory.page(0, usize::MAX);
            assert_eq!(rows.len(), inventory.len());
            assert_eq!(again.unwrap().page(0, usize::MAX), rows);
        }
        Err(error) => {
            let (english, japanese) = error.texts();
            assert!(english.contains("list.csv") && japanese.contains("list.csv"), "{english}");
            assert_eq!(again.err().unwrap().texts(), (english, japanese));
        }
    }
});
