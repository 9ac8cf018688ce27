//! What holds of every packet.
