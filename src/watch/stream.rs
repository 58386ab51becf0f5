//! Watches as streams, for programs that have an executor: any of them, as only the trait is used.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use crate::error::Result;
use crate::watch::{Watch, WatchBatch};

/// As the iterator, but it does not block: the executor's thread reads storage for a batch, and waits for none.
///
/// The time of [`progress_every`](crate::WatchBuilder::progress_every) wakes nobody; see [`Watch::poll`].
impl Stream for Watch {
    type Item = Result<WatchBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl FusedStream for Watch {
    fn is_terminated(&self) -> bool {
        self.is_ended()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;
    use crate::db::Db;
    use crate::db::signal::Parker;
    use crate::error::Error;

    /// The smallest executor there is.
    fn block_on(stream: &mut (impl Stream<Item = Result<WatchBatch>> + Unpin)) -> Option<Result<WatchBatch>> {
        let parker = Parker::new();
        let waker = Waker::from(parker.clone());
        loop {
            match pin!(&mut *stream).poll_next(&mut Context::from_waker(&waker)) {
                Poll::Ready(item) => return item,
                Poll::Pending => assert!(parker.park(None)),
            }
        }
    }

    #[test]
    fn a_watch_is_a_stream() {
        let db = Db::in_memory().expect("a store in memory opens");
        let mut watch = db.watch("a").start().expect("it is open");
        assert!(Pin::new(&mut watch).poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = Vec::new();
                while seen.last() != Some(&201) {
                    let batch = block_on(&mut watch).expect("it goes on").expect("the store is open");
                    seen.push(batch.revision().get());
                }
                seen
            });
            for _ in 0..200 {
                db.put("a", "").expect("put");
            }
            let seen = reader.join().expect("no panic");
            assert_eq!(seen.last(), Some(&201));
            assert!(seen.is_sorted());
        });
        db.close().expect("closes");
        assert!(matches!(block_on(&mut watch), Some(Err(Error::Closed))));
        assert!(watch.is_terminated());
        assert!(matches!(Pin::new(&mut watch).poll_next(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
}
