//! The admin socket: HTTP and JSON over a Unix socket. Knows no kernel map and no configuration file: it hands typed
//! requests to `control`, and gives back what that answers.
