//! Gives the measurements a loopback whose speed does not depend on luck.
//!
//! Some machines default to a TCP congestion control which paces by its estimate of the path (bbr). Over
//! loopback that estimate settles anywhere within a factor of five, anew for each connection, and no median
//! of a few rounds is steady. The peers bring their own sockets, so it cannot be chosen per socket for all
//! subjects alike; a network namespace of one's own has a setting of its own, and the machine keeps its.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const SETTING: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
/// Tells the program that it has been started again.
const MARK: &str = "COMPARE_IN_NAMESPACE";
/// Prepares a new namespace, whose loopback is down, and then runs its arguments in it.
const PREPARE: &str =
    "ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && exec \"$@\"";

/// Starts the program again in a network namespace where TCP does not pace, if TCP does here.
///
/// Returns if there is nothing to do or no way to do it (it takes root, `unshare` and `ip`); then the
/// numbers over TCP are the machine's own, and a note says so.
pub(crate) fn avoid_pacing() {
    let congestion = fs::read_to_string(SETTING).unwrap_or_default();
    let congestion = congestion.trim();
    if env::var_os(MARK).is_some() || matches!(congestion, "" | "reno" | "cubic") {
        return;
    }
    if works() {
        eprintln!(
            "compare: TCP congestion control is {congestion} here; measuring with reno in a network namespace"
        );
        if let Ok(program) = env::current_exe() {
            let error = unshared().arg(program).args(env::args_os().skip(1)).env(MARK, "1").exec();
            eprintln!("compare: cannot start again: {error}");
        }
    }
    eprintln!(
        "compare: measuring TCP with congestion control {congestion}: its throughput may vary severalfold"
    );
}

fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", PREPARE, "sh"]);
    command
}

/// Whether a namespace can be had at all, tried with nothing in it.
fn works() -> bool {
    let status = unshared().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
