//! The supervisor: compiles the configuration, applies it, keeps it applied, and answers the admin socket.
