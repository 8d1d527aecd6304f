//! Builds, packs and boots.
