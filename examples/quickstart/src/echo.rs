//! The echo that all servers here are.

use transport::Connection;

use crate::problem::Problem;

/// Sends every message back as it came, until the peer closes or the server drains; counts them.
pub(crate) async fn echo(connection: &mut Connection, messages: &mut u64) -> Result<(), Problem> {
    while let Some(message) = connection.recv().await? {
        connection.send(&message).await?;
        *messages += 1;
    }
    Ok(())
}
