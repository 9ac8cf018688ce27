//! Why a record could not be put or taken away.

use super::api::ApiError;
use super::exec::ExecError;
use super::rfc2136::UpdateError;

/// Why a record could not be put or taken away.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(in super::super) enum Failure {
    /// The server of dynamic updates.
    Update(#[from] UpdateError),
    /// The API.
    Api(#[from] ApiError),
    /// The program.
    Exec(#[from] ExecError),
}
