//! The echo that all servers here are.

use transport::Connection;

use crate::problem::Problem;

/// Sends every message back as it came, until the peer closes or the server drains.
pub(crate) async fn echo(connection: &mut Connection) -> Result<(), Problem> {
    while let Some(message) = connection.recv().await? {
        connection.send(&message).await?;
    }
    Ok(())
}
