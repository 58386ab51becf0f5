//! Commands that make, copy and dump stores.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Outcome;
use super::context::{Context, Create};
use super::exit::{Exit, Failure};
use super::health::print_check;
use super::load::load;
use super::out::Out;
use super::progress::{Progress, Unit};
use super::report::Report;
use crate::error::Error;
use crate::import::{ImportOptions, ImportStep, import_etcd};
use crate::{BackupOptions, CheckOptions, Db, DumpOptions, KeyRange, Revision};

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Make an empty store; one that exists stays as it is
    Init,
    /// Copy the store, as of now, into the new directory DIR
    ///
    /// The copy is a store like any other: history, leases and all. It appears whole or not at all. The revision printed
    /// is the one that it is of.
    Backup {
        /// Where the copy goes; must not exist
        dir: PathBuf,
    },
    /// Make the new store DST of the backup SRC, once that proves whole
    ///
    /// The revision stays the backup's, unless it is bumped: programs that have seen later revisions of the lost store must
    /// not meet them again with other contents, so bump by more than was written since the backup. A bump also marks the
    /// store as compacted at its revision, and then watches that go on from before are told so.
    Restore {
        /// The backup
        src: PathBuf,
        /// Where the store goes; must not exist
        dst: PathBuf,
        /// Raise the revision by so many
        #[arg(long, value_name = "N", default_value_t = 0)]
        bump_revision: u64,
        /// Drop history: the store is compacted at its revision; implied by a bump
        #[arg(long)]
        mark_compacted: bool,
    },
    /// Make STORE, which must not exist, from an etcd snapshot
    ///
    /// SNAP is what `etcdctl snapshot save` writes, or a member's `member/snap/db`. Every retained revision comes along,
    /// and leases, each with its whole time before it. The store appears whole or not at all. Programs that have seen
    /// later revisions of that etcd must not meet them again with other contents: for that there is --bump-revision, as
    /// etcdutl has it.
    ImportEtcd {
        /// The snapshot; it is only read
        #[arg(value_name = "SNAP")]
        snapshot: PathBuf,
        /// Take a file without the hash that a snapshot ends with, as a member's is
        #[arg(long)]
        skip_hash_check: bool,
        /// Raise the revision by so many
        #[arg(long, value_name = "N", default_value_t = 0)]
        bump_revision: u64,
        /// Drop history: who goes on from before is told so
        #[arg(long)]
        mark_compacted: bool,
    },
    /// Write keys and leases as JSON lines to FILE, or to stdout
    ///
    /// The last line says that the dump is whole. Stores that are equal dump equal bytes, but for what is left of leases.
    Dump {
        /// Where to; must not exist. Without it, stdout
        file: Option<PathBuf>,
        /// As of which revision; 0 is the latest
        #[arg(long, value_name = "N", default_value_t = 0)]
        rev: u64,
        /// Only keys that begin so
        #[arg(long, value_name = "P", default_value = "")]
        prefix: OsString,
        /// Every change that is retained, instead of the keys that are there
        #[arg(long)]
        history: bool,
    },
    /// Put what a dump holds, from FILE or stdin, and grant its leases
    ///
    /// Keys, values and leases come back as ordinary writes, so revisions are new: up to a thousand keys share one. Each
    /// lease gets its whole time again, and no lock delay. The dump is read to its end before the first write: one that was cut off, or
    /// whose leases exist already, changes nothing. A dump with history is played back: each of its revisions becomes
    /// one, or several if it changes a key twice or very much. Keys whose lease the dump does not hold are put without.
    Load {
        /// Where from; without it, stdin
        file: Option<PathBuf>,
    },
}

impl DataCommand {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            DataCommand::Init => init(context),
            DataCommand::Backup { dir } => backup(context, &dir),
            DataCommand::Restore { src, dst, bump_revision, mark_compacted } => {
                restore(context, &src, &dst, &BackupOptions { bump_revision, mark_compacted })
            }
            DataCommand::ImportEtcd { snapshot, skip_hash_check, bump_revision, mark_compacted } => {
                import(context, &snapshot, &ImportOptions { skip_hash_check, bump_revision, mark_compacted })
            }
            DataCommand::Dump { file, rev, prefix, history } => {
                let options =
                    DumpOptions { revision: Revision::new(rev), prefix: prefix.into_encoded_bytes(), history };
                dump(context, file.as_deref(), &options)
            }
            DataCommand::Load { file } => load(context, file.as_deref()),
        }
    }
}

fn init(context: &Context) -> Outcome {
    let db = context.open(Create::Allowed)?;
    let report = Report::new().with("revision", db.revision().get());
    db.close()?;
    report.print(context)?;
    Ok(Exit::Done)
}

/// What would be overwritten stays as it is.
fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(Failure::Refused(format!("{} exists already", path.display()))),
        Err(_) => Ok(()),
    }
}

fn may_make_a_store(context: &Context, command: &str) -> Result<(), Failure> {
    if context.global.no_create || context.global.readonly {
        return Err(Failure::Usage(format!("{command} makes a store, which --no-create and --readonly forbid")));
    }
    Ok(())
}

fn backup(context: &Context, dir: &Path) -> Outcome {
    refuse_existing(dir)?;
    let db = context.open(Create::Never)?;
    let progress = Progress::new(context, "backup", Unit::Items);
    let revision = db.backup_with(dir, &BackupOptions::default(), &mut |done, total| progress.set(done, total))?;
    drop(progress);
    context.changed();
    db.close()?;
    Report::new().with("revision", revision.get()).with("bytes", disk_bytes(dir)?).print(context)?;
    Ok(Exit::Done)
}

fn restore(context: &Context, src: &Path, dst: &Path, options: &BackupOptions) -> Outcome {
    may_make_a_store(context, "restore")?;
    refuse_existing(dst)?;
    let db = context.options(Create::Never).read_only(true).open(src)?;
    let progress = Progress::new(context, "check", Unit::Bytes);
    let report = db.check_with(&CheckOptions::default(), &mut |done, total| progress.set(done, total))?;
    drop(progress);
    if !report.is_clean() {
        print_check(context, &report)?;
        return Ok(Exit::DAMAGED);
    }
    let progress = Progress::new(context, "restore", Unit::Items);
    let revision = db.backup_with(dst, options, &mut |done, total| progress.set(done, total))?;
    drop(progress);
    context.changed();
    Report::new().with("revision", revision.get()).with("bytes", disk_bytes(dst)?).print(context)?;
    Ok(Exit::Done)
}

fn import(context: &Context, snapshot: &Path, options: &ImportOptions) -> Outcome {
    may_make_a_store(context, "import-etcd")?;
    let store = context.store()?;
    refuse_existing(&store)?;
    let mut progress: Option<(ImportStep, Progress)> = None;
    let report = import_etcd(snapshot, &store, options, &mut |now| {
        if progress.as_ref().is_none_or(|(step, _)| *step != now.step) {
            let (what, unit) = match now.step {
                ImportStep::Verify => ("verify", Unit::Bytes),
                ImportStep::Read => ("read", Unit::Bytes),
                ImportStep::Merge => ("merge", Unit::Items),
            };
            // The old bar goes before the new one is drawn.
            progress = None;
            progress = Some((now.step, Progress::new(context, what, unit)));
        }
        if let Some((_, bar)) = &progress {
            bar.set(now.done, now.total);
        }
    })?;
    drop(progress);
    context.changed();
    Report::new()
        .with("revision", report.revision.get())
        .with("compact_revision", report.compact_revision.get())
        .with("changes", report.changes)
        .with("leases", report.leases)
        .print(context)?;
    Ok(Exit::Done)
}

/// The bytes of all files in a store's directory.
pub(super) fn disk_bytes(dir: &Path) -> Result<u64, Failure> {
    let failed = |error| Failure::Outside(format!("cannot look into {}", dir.display()), error);
    let mut bytes = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        bytes += match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path())?,
            Ok(meta) => meta.len(),
            // Merged or dropped in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
    }
    Ok(bytes)
}

fn dump(context: &Context, file: Option<&Path>, options: &DumpOptions) -> Outcome {
    let db = context.open(Create::Never)?;
    match file {
        Some(path) => dump_to_file(context, &db, path, options)?,
        None => db.dump(&mut Stdout(&context.out), options).map_err(reader_gone)?,
    }
    db.close()?;
    Ok(Exit::Done)
}

/// Makes a file, as private as a store; one that exists is an error.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.read(true).write(true).create_new(true).open(path)
}

/// A dump that fails leaves no file.
fn dump_to_file(context: &Context, db: &Db, path: &Path, options: &DumpOptions) -> Result<(), Failure> {
    refuse_existing(path)?;
    let failed = |error| Failure::Outside(format!("cannot write {}", path.display()), error);
    let file = new_file(path).map_err(failed)?;
    let written = write_dump(context, db, &file, options).and_then(|()| file.sync_all().map_err(failed));
    if written.is_err() {
        // Best effort: without its last line it is no dump anyway.
        let _ = fs::remove_file(path);
    }
    written
}

fn write_dump(context: &Context, db: &Db, file: &File, options: &DumpOptions) -> Result<(), Failure> {
    let progress = Progress::new(context, "dump", Unit::Items);
    let total = if options.history { db.stats().run_entries } else { db.count(KeyRange::prefix(&options.prefix))? };
    let mut counted = Counted { out: BufWriter::new(file), lines: 0, total, progress };
    db.dump(&mut counted, options)?;
    counted.out.flush().map_err(|error| Failure::Outside("cannot write the dump".into(), error))
}

/// Shows how many lines went through.
struct Counted<'f> {
    out: BufWriter<&'f File>,
    lines: u64,
    total: u64,
    progress: Progress,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if bytes[..written].ends_with(b"\n") {
            self.lines += 1;
            self.progress.set(self.lines, self.total);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Standard output, for what wants a writer.
struct Stdout<'o>(&'o Out);

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.bytes(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(Failure::Outside(_, error)) => Err(error),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A dump whose reader went away ends quietly.
fn reader_gone(error: Error) -> Failure {
    match &error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Store(error),
    }
}
