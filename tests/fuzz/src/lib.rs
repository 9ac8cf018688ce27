//! What fuzz targets have in common: what must hold of what they read.

/// What must hold of a ClientHello.
pub mod hello;
/// What must hold of frames.
pub mod pipeline;
