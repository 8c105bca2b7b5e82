//! The lane, for what is sent by tasks.
//!
//! In: a frame. Out: its number in the lane. Always: a frame that the lane does not take is offered until it is taken.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{AppendError, Frame, LossReason, SettlingSink};
use tokio::task::spawn_blocking;

/// How long a full lane is waited for before it is asked again.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// Puts a frame into the lane, however long that takes. `what`: of what it is, for a person.
pub(crate) async fn put(sink: &Arc<dyn SettlingSink>, mut frame: Frame, what: &str) -> u64 {
    loop {
        let sink = Arc::clone(sink);
        // It writes to a disk, and waits for it.
        let put = spawn_blocking(move || {
            let put = sink.put(frame);
            if let Err(AppendError::Full(frame)) = &put {
                sink.wait_for_room(frame.cost(), ROOM_WITHIN);
            }
            put
        });
        frame = match put.await {
            Ok(Ok(number)) => return number,
            Ok(Err(AppendError::Full(frame))) => frame,
            Ok(Err(AppendError::TooLarge { frame, .. })) => {
                tracing::error!(
                    records = frame.records,
                    "a frame of {what} is larger than the lane, it is lost; raise spool.pushed.maxBytes"
                );
                frame.given_up(LossReason::NotSpooled)
            }
            // The runtime ends: nothing is told of it.
            Err(_) => std::future::pending().await,
        };
    }
}
