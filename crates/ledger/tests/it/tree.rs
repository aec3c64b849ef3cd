//! The tree against published answers, another implementation, and every small change (I1, I2).
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use yagura_ledger::tree::{
    Leaves, consistency_proof, inclusion_path, root, verify_consistency, verify_inclusion,
};
use yagura_ledger::{BatchTree, Hash};

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|leaf| Hash::leaf(&leaf.to_be_bytes())).collect()
}

fn tree_of(leaves: &[Hash]) -> BatchTree {
    let mut tree = BatchTree::new();
    tree.extend(leaves.iter().copied());
    tree
}

fn concat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The eight inputs and roots used by the Certificate Transparency implementations.
#[test]
fn roots_are_those_of_certificate_transparency() {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = BatchTree::new();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(tree.root().to_string(), empty);
    for (input, root) in inputs.iter().zip(roots) {
        tree.push(Hash::leaf(input));
        assert_eq!(tree.root().to_string(), root);
    }
}

#[test]
fn agrees_with_another_implementation_on_every_small_tree() {
    let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let all = leaves(1_100);
    let mut tree = BatchTree::new();
    for size in 1..=all.len() {
        other.push((size as u64 - 1).to_be_bytes().to_vec());
        tree.push(all[size - 1]);
        assert_eq!(tree.root().0[..], other.root().as_bytes()[..], "root of {size}");
        // Every proof of every tree up to 70 leaves, then of those around the powers of two.
        if size > 70 && !(254..=258).contains(&size) && size != 1_100 {
            continue;
        }
        let source = Leaves(&all[..size]);
        assert_eq!(root(&source, size as u64).unwrap(), tree.root());
        assert_eq!(BatchTree::load(&source, size as u64).unwrap().root(), tree.root());
        for index in (0..size).step_by(if size > 70 { 17 } else { 1 }) {
            let path = inclusion_path(&source, index as u64, size as u64).unwrap().unwrap();
            assert_eq!(concat(&path), other.prove_inclusion(index).as_bytes(), "{index} {size}");
            verify_inclusion(all[index], index as u64, size as u64, &path, tree.root()).unwrap();
            if index == 0 {
                continue;
            }
            let old = index as u64;
            let proof = consistency_proof(&source, old, size as u64).unwrap().unwrap();
            assert_eq!(concat(&proof), other.prove_consistency(size - index).as_bytes());
            let old_root = tree_of(&all[..index]).root();
            verify_consistency(old, old_root, size as u64, tree.root(), &proof).unwrap();
        }
    }
}

#[test]
fn what_is_outside_the_tree_has_no_path() {
    let all = leaves(5);
    assert_eq!(BatchTree::path(&all, 5), None);
    assert_eq!(BatchTree::path(&[], 0), None);
    assert_eq!(consistency_proof(&Leaves(&all), 6, 5).unwrap(), None);
    let root = tree_of(&all).root();
    assert!(verify_inclusion(all[0], 5, 5, &[], root).is_err());
    assert!(verify_inclusion(all[0], 0, 0, &[], root).is_err());
    assert!(verify_consistency(0, Hash::empty_root(), 5, root, &[]).is_ok());
    assert!(verify_consistency(0, root, 5, root, &[]).is_err());
    assert!(verify_consistency(5, root, 4, root, &[]).is_err());
}

proptest! {
    #[test]
    fn any_change_of_a_path_fails(size in 2..600u64, index: u64, bit: u32, other: u64, odd: bool) {
        let index = index % size;
        let all = leaves(size);
        let root = tree_of(&all).root();
        let leaf = all[index as usize];
        let path = BatchTree::path(&all, index).unwrap();
        let holds = |leaf, index, size, path: &[Hash]| {
            verify_inclusion(leaf, index, size, path, root).is_ok()
        };
        prop_assert!(holds(leaf, index, size, &path));
        let flip = |hash: Hash| {
            let mut hash = hash;
            hash.0[bit as usize / 8 % 32] ^= 1 << (bit % 8);
            hash
        };
        prop_assert!(!holds(flip(leaf), index, size, &path));
        for at in 0..path.len() {
            let mut changed = path.clone();
            changed[at] = flip(changed[at]);
            prop_assert!(!holds(leaf, index, size, &changed));
            let mut shorter = path.clone();
            shorter.remove(at);
            prop_assert!(!holds(leaf, index, size, &shorter));
            if at > 0 {
                let mut swapped = path.clone();
                swapped.swap(at, at - 1);
                prop_assert!(!holds(leaf, index, size, &swapped));
            }
        }
        let mut longer = path.clone();
        longer.push(root);
        prop_assert!(!holds(leaf, index, size, &longer));
        if other % size != index {
            prop_assert!(!holds(leaf, other % size, size, &path));
        }
        // A size that changes the shape of the path; where the shape stays, the signed checkpoint
        // binds the size.
        prop_assert!(!holds(leaf, index, size * 2 + u64::from(odd), &path));
    }

    #[test]
    fn any_change_of_a_consistency_proof_fails(old in 1..300u64, more in 1..300u64, bit: u32) {
        let new = old + more;
        let all = leaves(new);
        let (old_root, new_root) = (tree_of(&all[..old as usize]).root(), tree_of(&all).root());
        let proof = consistency_proof(&Leaves(&all), old, new).unwrap().unwrap();
        prop_assert!(verify_consistency(old, old_root, new, new_root, &proof).is_ok());
        let mut wrong = old_root;
        wrong.0[bit as usize / 8 % 32] ^= 1 << (bit % 8);
        prop_assert!(verify_consistency(old, wrong, new, new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, old_root, new, wrong, &proof).is_err());
        for at in 0..proof.len() {
            let mut changed = proof.clone();
            changed[at].0[bit as usize / 8 % 32] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(old, old_root, new, new_root, &changed).is_err());
            changed.remove(at);
            prop_assert!(verify_consistency(old, old_root, new, new_root, &changed).is_err());
        }
    }

    #[test]
    fn any_hashes_verify_without_panic(old: u64, new: u64, bytes in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let hashes: Vec<Hash> = bytes.into_iter().map(Hash).collect();
        let any = Hash::of(b"x");
        prop_assert!(verify_inclusion(any, old, new, &hashes, any).is_err() || new == 1);
        prop_assert!(verify_consistency(old, any, new, Hash::of(b"y"), &hashes).is_err());
    }
}
