//! Sessions, locks, elections: what people use etcd for, on nothing but [`Db`](crate::Db)'s public verbs.
//!
//! A lock is a queue of keys. Whoever wants it puts a key under the lock's name, attached to the lease of its session;
//! the key that was created first owns the lock, and the others wait for the one just before theirs to go. So the order
//! is fair and visible to everybody, a release wakes one waiter, and who dies gives way when its lease ends. The keys
//! are those of etcd's `concurrency` package byte for byte, so that its clients take part in the same locks.
//!
//! ```
//! # fn main() -> etclite::Result<()> {
//! # let db = etclite::Db::in_memory()?;
//! let session = db.session(std::time::Duration::from_secs(10))?;
//! let guard = session.mutex("/my-lock").lock()?;
//! assert_eq!(*guard.key(), format!("/my-lock/{}", session.lease()));
//! guard.unlock()?;
//! session.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | a lease that lives as long as its owner wants, and its loss |
//! | `line.rs` | the keys of a name in the order of their creation, read as far as somebody wants to know |
//! | `stand.rs` | which threads stand in a line with the one key of their session, and who removes it |
//! | `wait.rs` | waiting: for an earlier key to go, and at the same time for a time-out, a cancellation, a lost session |
//! | `mutex.rs`, `election.rs` | one owner at a time; with a value, a leader |
//! | `rw_lock.rs`, `barrier.rs`, `queue.rs` | etcd's recipes, with `keys.rs` for their names |
//! | `stm.rs` | functions that read and write keys as if they were alone |
//! | `follow.rs` | a prefix as a map that follows the store; `config.rs` and `registry.rs` are what it is for |
//! | `namespace.rs`, `mirror.rs` | a part of a store as if it were all of it; and as a part of another |
//! | `kubernetes.rs` | the requests that a Kubernetes API server makes |
//!
//! **Nobody polls.** A waiter has a watch on the key before its own and one on its own, and parks; it wakes for these
//! two, for the end of its session, for its caller's cancellation or time-out, and when the store closes.
//!
//! **At once.** A waiter whose session ends is told so while the holder still holds (CO-03), and its place is gone.
//! Differs from etcd: there it learns that when its turn comes; 3.4 even takes the lock then.

mod barrier;
mod config;
mod election;
mod endpoint;
mod follow;
mod keys;
pub mod kubernetes;
mod line;
mod mirror;
mod mutex;
mod namespace;
mod queue;
mod registry;
mod rw_lock;
mod session;
mod stand;
mod stm;
mod wait;

pub use barrier::{Barrier, DoubleBarrier, InsideBarrier};
pub use config::{ConfigEntries, ConfigWatch};
pub(crate) use election::leader_of;
pub use election::{Election, LeaderObserver, Leadership};
pub use endpoint::Endpoint;
pub use follow::FollowCanceller;
pub use keys::NewKey;
pub use kubernetes::Kubernetes;
pub(crate) use line::Lines;
pub use mirror::Mirror;
pub use mutex::{LockGuard, Mutex};
pub use namespace::Namespace;
pub use queue::{PriorityQueue, Queue};
pub use registry::{EndpointUpdate, EndpointWatch, Registration, Registry};
pub use rw_lock::RwLock;
pub use session::{SESSION_TTL_DEFAULT, Session, SessionDone, SessionOptions};
pub use stm::{Isolation, Stm, StmBuilder, StmResponse};
pub use wait::{Cancel, WaitOptions};
