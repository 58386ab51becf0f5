//! Several requests by one call: writes and renewals in a row become one [`Db::batch`], and with it share commits.
//!
//! What is neither, has an operation id, or compacts is run by itself, after those before it. A request that is no message
//! is answered at once and breaks no row. A write behind a renewal begins another: that a lease is gone is answered at the
//! revision before it.

use super::call;
use super::check_len;
use super::renewal::Renewal;
use super::reply::Reply;
use super::write::{Form, Write};
use crate::db::{BatchOp, BatchResponse, Db};
use crate::error::Result;

pub(super) fn run(db: &Db, requests: &[(u32, &[u8])]) -> Vec<Result<Reply>> {
    let mut row = Row { db, replies: Vec::with_capacity(requests.len()), ops: Vec::new(), waiting: Vec::new() };
    requests.iter().for_each(|(operation, request)| row.add(*operation, request));
    row.finish();
    row.replies.into_iter().flatten().collect()
}

/// Requests on their way.
struct Row<'d> {
    db: &'d Db,
    /// In order; none yet for those that wait.
    replies: Vec<Option<Result<Reply>>>,
    /// The operations of the row that is being collected.
    ops: Vec<BatchOp>,
    /// Whose they are, and how each is answered.
    waiting: Vec<(usize, Asked)>,
}

/// What was asked for.
enum Asked {
    Write(Form),
    Renewal(Renewal),
}

/// How a request is done.
enum Way {
    InRow(BatchOp, Asked),
    /// A write by itself.
    Write(Write),
    Other,
}

impl Row<'_> {
    fn add(&mut self, operation: u32, request: &[u8]) {
        let alone = match self.way(operation, request) {
            Ok(Way::InRow(op, asked)) => {
                if matches!((self.ops.last(), &asked), (Some(BatchOp::KeepAlive(_)), Asked::Write(_))) {
                    self.finish();
                }
                self.ops.push(op);
                self.waiting.push((self.replies.len(), asked));
                return self.replies.push(None);
            }
            Err(error) => return self.replies.push(Some(Err(error))),
            Ok(alone) => alone,
        };
        self.finish();
        self.replies.push(Some(match alone {
            Way::Write(write) => write.run(self.db),
            _ => call::dispatch_other(self.db, operation, request),
        }));
    }

    fn way(&self, operation: u32, request: &[u8]) -> Result<Way> {
        check_len(self.db, request)?;
        if matches!(operation, super::LEASE_KEEPALIVE | super::LEASE_KEEPALIVE_MS) {
            let renewal = Renewal::read(operation, request)?;
            return Ok(Way::InRow(BatchOp::KeepAlive(renewal.id), Asked::Renewal(renewal)));
        }
        Ok(match Write::read(self.db, operation, request)? {
            Some(Write { op, operation: None, form }) => Way::InRow(op.into(), Asked::Write(form)),
            Some(write) => Way::Write(write),
            None => Way::Other,
        })
    }

    /// Does those of the row.
    fn finish(&mut self) {
        if self.ops.is_empty() {
            return;
        }
        let answers = self.db.batch(self.ops.drain(..));
        for ((at, asked), answer) in self.waiting.drain(..).zip(answers) {
            self.replies[at] = Some(match asked {
                Asked::Renewal(renewal) => renewal.answer(self.db, answer),
                Asked::Write(form) => {
                    let ended = answer.map(|response| match response {
                        BatchResponse::Op(response) => response,
                        other => unreachable!("an operation answers {other:?}"),
                    });
                    form.answer(self.db, ended, None)
                }
            });
        }
    }
}
