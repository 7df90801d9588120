//! The tour: servers and clients of all transports in one process, and what they learn of each other.

mod certificates;
mod peers;
mod places;
mod refusals;
mod report;
mod router;
mod timing;

use std::io::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::problem::Problem;
use crate::signals::StopSignals;
use places::Places;

/// It takes a few seconds; after this long, something hangs.
const LONGEST: Duration = Duration::from_secs(50);

/// Often called `nobody`.
const OVERFLOW_UID: u32 = 65534;

/// Everything that the tour shows: the JSON document.
#[derive(Serialize)]
struct Tour {
    peers: Vec<peers::Meeting>,
    router: Vec<router::RoutedPeer>,
    refusals: Vec<refusals::Refusal>,
    timings: Vec<timing::Timing>,
}

/// Takes the tour; whatever ends it, its files are gone afterwards.
pub(crate) async fn run(json: bool) -> Result<(), Problem> {
    if rustix::process::geteuid().as_raw() == OVERFLOW_UID {
        return Err("run it as another user: the kernel shows uid 65534 for every user that it has no name for, so no \
                    policy trusts it"
            .into());
    }
    let mut signals = StopSignals::new()?;
    tokio::select! {
        outcome = tokio::time::timeout(LONGEST, tour(json)) => {
            outcome.unwrap_or_else(|_| Err(format!("the tour did not end within {LONGEST:?}").into()))
        }
        () = signals.recv() => Err("interrupted".into()),
    }
}

async fn tour(json: bool) -> Result<(), Problem> {
    let show = |text: String| {
        if json { Ok(()) } else { write!(io::stdout(), "{text}") }
    };
    let mut places = Places::new()?;

    show(report::introduction())?;
    let peers = peers::meet(&mut places).await?;
    show(report::peers(&peers))?;
    let router = router::gather(&mut places).await?;
    show(report::router(&router))?;
    let refusals = refusals::provoke(&mut places).await?;
    show(report::refusals(&refusals))?;
    show(report::before_timings())?;
    let timings = timing::measure(&mut places).await?;
    show(report::timings(&timings))?;

    places.close()?;
    if json {
        let tour = Tour { peers, router, refusals, timings };
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&tour)?)?;
    }
    Ok(())
}
