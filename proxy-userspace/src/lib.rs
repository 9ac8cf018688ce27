//! The daemon and CLI.
