//! Sockets of this library in a process that a test can kill: answers each line of JSON with one, as the scripts in
//! `peers/` do.
#![forbid(unsafe_code)]

use std::io::{BufRead as _, Write as _};

use interop::{Command, OurSockets};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let mut sockets = OurSockets::default();
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str::<Command>(&line?) {
            Ok(command) => runtime.block_on(sockets.run(command)),
            Err(error) => Err(error.to_string()),
        };
        let answer: Value = answer.unwrap_or_else(|error| json!({ "error": error }));
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
