//! Calls with a stock DEALER as the caller, and a stock ROUTER as the one who replies.

use interop::Wire;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use transport::call::{self, CallError, CallLimits, Caller, ErrorReply};
use transport::{Limits, Message};

use crate::set_up::{Side, meet};

interop::on_both_wires! {
    a_dealer_calls_our_server_and_gets_replies_and_errors
    a_call_that_a_dealer_gives_up_is_stopped
    a_router_replies_to_our_caller_in_any_order
}

async fn a_dealer_calls_our_server_and_gets_replies_and_errors(wire: Wire) {
    let Some(meeting) = meet(wire, Side::OursAccepts, "DEALER", json!({}), Limits::default()).await else {
        return;
    };
    let mut theirs = meeting.theirs;
    tokio::spawn(call::serve(meeting.ours, CallLimits::default(), async |request: Message| {
        match request.to_text() {
            Some("slow") => {
                // Later than those behind it.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Ok(Message::from("late"))
            }
            Some("fail") => Err(ErrorReply::new("refused", "as asked for")),
            Some("panic") => panic!("as asked for"),
            _ => Ok(["reply to".into(), request[0].clone()].into_iter().collect()),
        }
    }));
    let replies = theirs.call(&["slow", "a", "fail", "panic", ""]).await;
    assert_eq!(
        replies,
        json!([
            [2, "late"],
            [2, "reply to", "a"],
            [3, "refused", "as asked for"],
            [3, ErrorReply::PANICKED, "the handler of the call panicked"],
            [2, "reply to", ""],
        ])
    );
}

async fn a_call_that_a_dealer_gives_up_is_stopped(wire: Wire) {
    let Some(meeting) = meet(wire, Side::OursAccepts, "DEALER", json!({}), Limits::default()).await else {
        return;
    };
    let mut theirs = meeting.theirs;
    let (stopped, mut was_stopped) = mpsc::unbounded_channel::<()>();
    tokio::spawn(call::serve(meeting.ours, CallLimits::default(), move |request: Message| {
        // Made here, and not by the handler, which is dropped untouched when the call and its end come together.
        let tell = (request.to_text() == Some("for ever")).then(|| TellDrop(stopped.clone()));
        async move {
            if let Some(_stopped) = tell {
                std::future::pending::<()>().await;
            }
            Ok(request)
        }
    }));
    theirs.call_and_cancel(77, "for ever").await;
    was_stopped.recv().await.unwrap();
    assert_eq!(theirs.call(&["still here"]).await, json!([[2, "still here"]]));
}

/// Tells when it is dropped.
struct TellDrop(mpsc::UnboundedSender<()>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let _nobody_listens = self.0.send(());
    }
}

async fn a_router_replies_to_our_caller_in_any_order(wire: Wire) {
    let Some(meeting) = meet(wire, Side::OursConnects, "ROUTER", json!({}), Limits::default()).await else {
        return;
    };
    const COUNT: usize = 100;
    let mut theirs = meeting.theirs;
    theirs.reply(COUNT).await;
    let caller = Caller::new(meeting.ours, CallLimits::default());
    let mut calls = JoinSet::new();
    for number in 1..COUNT {
        let caller = caller.clone();
        calls.spawn(async move {
            let reply = caller.call(&number.to_string()).await.unwrap();
            assert_eq!(reply.to_text(), Some(&*format!("reply to {number}")));
        });
    }
    let CallError::Answered(error) = caller.call("fail").await.unwrap_err() else {
        panic!("it was answered");
    };
    assert_eq!((error.name(), error.text()), ("refused", "as asked for"));
    calls.join_all().await;
    theirs.done().await;
    assert_eq!(caller.stray_replies(), 0);
}
