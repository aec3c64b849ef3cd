//! The ledger: batches of events under a signed Merkle log, and the proofs that come of it.
//!
//! What it promises: once a checkpoint is known outside this machine, no event it covers can be
//! altered, reordered, inserted or removed without [`LogVerifier`] or an [`EventProof`] saying so.
//! What it does not: that a source told the truth, or anything about the time before the checkpoint.
//!
//! * [`LeafHasher`], [`BatchTree`], [`BatchHeader`]: an event's hash, a batch's root, a batch's text.
//! * [`Log`]: headers appended to a tiled log on disk, signed in [`Checkpoint`]s.
//! * [`EventProof`]: one file that proves one event, offline; [`InnerProof`]: the half of it that a pin keeps.
//! * [`LogVerifier`], [`verify_batch`]: recompute everything and name what is wrong.
//!
//! The formats are specified in `docs/format/ledger.md`. All modules but `store`, `key` and
//! `verify` are free of I/O.
//!
//! ```
//! use yagura_ledger::{BatchTree, Hash, tree::verify_inclusion};
//!
//! let leaves = [Hash::leaf(b"a"), Hash::leaf(b"b"), Hash::leaf(b"c")];
//! let mut tree = BatchTree::new();
//! tree.extend(leaves);
//! let path = BatchTree::path(&leaves, 2).unwrap();
//! assert!(verify_inclusion(leaves[2], 2, 3, &path, tree.root()).is_ok());
//! ```
#![forbid(unsafe_code)]

mod checkpoint;
mod disk;
pub mod epoch;
mod error;
mod finding;
mod hash;
mod header;
mod inner;
mod key;
mod leaf;
pub mod limits;
mod note;
mod proof;
mod store;
mod text;
mod tiles;
pub mod tree;
mod verify;

pub use checkpoint::Checkpoint;
pub use error::LedgerError;
pub use finding::{Finding, Problem};
pub use hash::{Hash, HashError};
pub use header::{BatchHeader, HeaderError};
pub use inner::InnerProof;
pub use leaf::{EventLeaf, LeafError, LeafHasher, event_leaf_hash, leaf_salt};
pub use note::{NoteError, SigningKey, VerifierKey};
pub use proof::{EventProof, EventProofError, ProvenEvent, TlogProof};
pub use store::{Log, LogSnapshot, SnapshotFile, StreamState};
pub use tree::{BatchTree, ProofError};
pub use verify::{LogReport, LogVerifier, verify_batch, verify_leaves};
