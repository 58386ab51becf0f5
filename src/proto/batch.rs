//! Several requests by one call: writes in a row become one [`Db::batch`], and with it one durable commit.
//!
//! What is no write, has an operation id, or compacts is run by itself, after the writes before it. A request that is no
//! message is answered at once and breaks no row.

use super::call;
use super::check_len;
use super::reply::Reply;
use super::write::{Form, Write};
use crate::db::{BatchOp, BatchResponse, Db};
use crate::error::Result;
use crate::op::Op;

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
    /// The writes of the row that is being collected.
    ops: Vec<Op>,
    /// Whose they are, and how each is answered.
    waiting: Vec<(usize, Form)>,
}

impl Row<'_> {
    fn add(&mut self, operation: u32, request: &[u8]) {
        let read = check_len(self.db, request).and_then(|()| Write::read(self.db, operation, request));
        match read {
            Ok(Some(Write { op, operation: None, form })) => {
                self.ops.push(op);
                self.waiting.push((self.replies.len(), form));
                self.replies.push(None);
            }
            Ok(Some(write)) => {
                self.finish();
                self.replies.push(Some(write.run(self.db)));
            }
            Ok(None) => {
                self.finish();
                self.replies.push(Some(call::dispatch_other(self.db, operation, request)));
            }
            Err(error) => self.replies.push(Some(Err(error))),
        }
    }

    /// Does the writes of the row.
    fn finish(&mut self) {
        if self.ops.is_empty() {
            return;
        }
        let answers = self.db.batch(self.ops.drain(..).map(BatchOp::Op));
        for ((at, form), answer) in self.waiting.drain(..).zip(answers) {
            let ended = answer.map(|response| match response {
                BatchResponse::Op(response) => response,
                other => unreachable!("an operation answers {other:?}"),
            });
            self.replies[at] = Some(form.answer(self.db, ended, None));
        }
    }
}
