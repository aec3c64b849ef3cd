//! See `docs/hunt.md`.
