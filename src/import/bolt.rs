//! Reading a bbolt file, the B+tree file in which etcd keeps everything; one walk over each bucket, front to back.
//!
//! The file is pages of one size. Pages 0 and 1 are metas, of which the valid one with the higher transaction id counts;
//! it names the root. A node of a tree is a page, or several in a row (`overflow`). Integers are little-endian.
//!
//! ```text
//! page     id u64 | flags u16 (1 branch, 2 leaf, 4 meta) | count u16 | overflow u32 | elements | bytes
//! meta     magic u32 | version u32 | page size u32 | flags u32 | root u64 | sequence u64 | freelist u64 | pages u64
//!          | transaction u64 | FNV-1a of what stands before it u64
//! branch   pos u32 | key length u32 | page u64                               pos counts from the element itself
//! leaf     flags u32 (1 bucket) | pos u32 | key length u32 | value length u32
//! bucket   (the value of such a leaf)  root u64 | sequence u64 | if root is 0: the bucket's only page follows, inline
//! ```
//!
//! The file may have been made by anybody. What keeps a hostile one from hurting:
//! - a page is visited once, so no walk is longer than the file and none leads in circles;
//! - a node lies inside the file and has a largest size, before anything is allocated for it;
//! - the elements of a node follow each other without overlapping, so what is read from it is no more than it holds;
//! - a walk goes [`DEPTH_MAX`] levels down at most, on a stack of its own.
//!
//! bbolt has no checksums but those of its metas: the SHA-256 behind a snapshot is what finds damage to values.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::io::{DiskFile, IoSite, read_exact_at, read_full_at};

/// An open file.
pub(super) struct Bolt {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    page_bytes: u64,
    /// How many pages there are; all of them lie inside the file.
    pages: u64,
    root: u64,
    /// A bit for each page.
    visited: Vec<u64>,
    visited_count: u64,
}

/// A way through the elements of one bucket.
#[derive(Default)]
pub(super) struct Walk {
    /// The branches on the way down: their children, the next one last.
    branches: Vec<Vec<u64>>,
    leaf: Leaf,
    /// The key given last: each must lie above the one before.
    last: Option<Vec<u8>>,
}

/// An element of a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// Whether the value is a bucket.
    is_bucket: bool,
    /// Where the element stands in the file.
    pub(super) offset: u64,
    /// Where the value stands in the file.
    pub(super) value_offset: u64,
}

/// Where a bucket is: its root, or its only page.
struct Bucket {
    /// 0 if it is inline.
    root: u64,
    inline: Vec<u8>,
    /// Where the page stands in the file.
    offset: u64,
}

/// The elements of one leaf; `next` is the one to be given next.
#[derive(Default)]
struct Leaf {
    bytes: Vec<u8>,
    offset: u64,
    elements: Vec<Element>,
    next: usize,
}

struct Element {
    is_bucket: bool,
    at: usize,
    key: Range<usize>,
    value: Range<usize>,
}

enum Node {
    Branch(Vec<u64>),
    Leaf(Leaf),
}

impl Bolt {
    /// Opens the first `len` bytes of a file. `path` is what errors call it.
    ///
    /// # Errors
    /// `NotADatabase` if it is no bbolt file, `FormatTooNew`, `TooLarge`, `Corrupt`, `Io`.
    pub(super) fn open(file: Arc<dyn DiskFile>, path: &Path, len: u64) -> Result<Bolt> {
        if len > FILE_BYTES_MAX {
            return Err(Error::TooLarge { what: "etcd snapshot", len, max: FILE_BYTES_MAX });
        }
        let meta = find_meta(&*file, path, len)?;
        let pages = meta.pages;
        if pages.checked_mul(meta.page_bytes).is_none_or(|end| end > len) {
            return Err(Error::corrupt(path, len, "the file ends before its last page"));
        }
        let words = usize::try_from(pages.div_ceil(64)).expect("a file has at most 2^30 pages");
        Ok(Bolt {
            file,
            path: path.to_owned(),
            page_bytes: meta.page_bytes,
            pages,
            root: meta.root,
            visited: vec![0; words],
            visited_count: 0,
        })
    }

    /// Walks over the buckets of these names, as far as they exist. Bytewise equal names cannot stand twice.
    pub(super) fn buckets<const N: usize>(&mut self, names: [&[u8]; N]) -> Result<[Option<Walk>; N]> {
        let mut found = [const { None }; N];
        let mut root = self.walk(self.root, 0)?;
        while let Some(item) = root.next(self)? {
            if let Some(at) = names.iter().position(|name| *name == item.key) {
                found[at] = Some(Bucket::of(&item).map_err(|what| self.corrupt(item.offset, what))?);
            }
        }
        let mut walks = [const { None }; N];
        for (walk, bucket) in walks.iter_mut().zip(found) {
            *walk = bucket.map(|bucket| self.bucket(bucket)).transpose()?;
        }
        Ok(walks)
    }

    fn bucket(&mut self, bucket: Bucket) -> Result<Walk> {
        let Bucket { root, inline, offset } = bucket;
        if root != 0 {
            return self.walk(root, offset);
        }
        match parse(inline, offset, 0).map_err(|(at, what)| self.corrupt(offset + at, what))? {
            Node::Leaf(leaf) => Ok(Walk { leaf, ..Walk::default() }),
            Node::Branch(_) => Err(self.corrupt(offset, "an inline bucket is no leaf")),
        }
    }

    /// How many bytes of pages have been read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.visited_count * self.page_bytes
    }

    pub(super) fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::corrupt(&self.path, offset, what)
    }

    fn walk(&mut self, root: u64, named_at: u64) -> Result<Walk> {
        let mut walk = Walk::default();
        walk.descend(self, root, named_at)?;
        Ok(walk)
    }

    /// Reads the node that begins at page `id`, which something at `named_at` names.
    fn node(&mut self, id: u64, named_at: u64) -> Result<Node> {
        if id < 2 || id >= self.pages {
            return Err(self.corrupt(named_at, "a page number that the file does not have"));
        }
        let offset = id * self.page_bytes;
        let mut head = [0; PAGE_HEADER_BYTES];
        self.read(&mut head, offset)?;
        let overflow = u64::from(u32::from_le_bytes([head[12], head[13], head[14], head[15]]));
        if overflow >= self.pages - id {
            return Err(self.corrupt(offset, "a node reaches beyond the file"));
        }
        let len = (overflow + 1).saturating_mul(self.page_bytes);
        let room = usize::try_from(len).ok().filter(|_| len <= NODE_BYTES_MAX);
        let what = "node of the snapshot";
        let room = room.ok_or(Error::TooLarge { what, len, max: NODE_BYTES_MAX })?;
        self.visit(id..id + overflow + 1, offset)?;
        let mut bytes = vec![0; room];
        self.read(&mut bytes, offset)?;
        parse(bytes, offset, id).map_err(|(at, what)| self.corrupt(offset + at, what))
    }

    /// Notes that pages were read; each may be read once.
    fn visit(&mut self, pages: Range<u64>, offset: u64) -> Result<()> {
        for page in pages {
            // Below `self.pages`, which has its word.
            let word = usize::try_from(page / 64).ok().and_then(|word| self.visited.get_mut(word));
            let (bit, word) = (1 << (page % 64), word.expect("every page has a bit"));
            if *word & bit != 0 {
                return Err(self.corrupt(offset, "a page is used twice"));
            }
            *word |= bit;
            self.visited_count += 1;
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(&*self.file, IoSite::ImportRead, bytes, offset).map_err(|error| match error.kind() {
            // It was long enough a moment ago.
            std::io::ErrorKind::UnexpectedEof => self.corrupt(offset, "the file became shorter while it was read"),
            _ => Error::io("read", &self.path, error),
        })
    }
}

impl Bucket {
    fn of(item: &Item<'_>) -> std::result::Result<Bucket, &'static str> {
        if !item.is_bucket {
            return Err("a value where a bucket should be");
        }
        let root = Reader::new(item.value).u64();
        let inline = item.value.get(BUCKET_BYTES..);
        let (root, inline) = root.zip(inline).ok_or("a bucket is cut off")?;
        Ok(Bucket { root, inline: inline.to_vec(), offset: item.value_offset + BUCKET_BYTES as u64 })
    }
}

impl Walk {
    /// The next element; keys ascend.
    pub(super) fn next(&mut self, bolt: &mut Bolt) -> Result<Option<Item<'_>>> {
        while self.leaf.next >= self.leaf.elements.len() {
            let Some(children) = self.branches.last_mut() else { return Ok(None) };
            match children.pop() {
                Some(child) => {
                    let named_at = self.leaf.offset;
                    self.descend(bolt, child, named_at)?;
                }
                None => drop(self.branches.pop()),
            }
        }
        let index = self.leaf.next;
        self.leaf.next += 1;
        let item = self.leaf.item(index).expect("elements lie inside their leaf");
        if self.last.as_ref().is_some_and(|last| *item.key <= **last) {
            return Err(bolt.corrupt(item.offset, "the keys of a bucket are out of order"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(item.key);
        Ok(Some(item))
    }

    /// Goes down from a node to its first leaf.
    fn descend(&mut self, bolt: &mut Bolt, mut id: u64, mut named_at: u64) -> Result<()> {
        loop {
            let node = bolt.node(id, named_at)?;
            let offset = id * bolt.page_bytes;
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = leaf;
                    return Ok(());
                }
                Node::Branch(mut children) => {
                    if self.branches.len() == DEPTH_MAX {
                        return Err(bolt.corrupt(offset, "a tree is too deep"));
                    }
                    children.reverse();
                    (id, named_at) = (children.pop().expect("a branch has children"), offset);
                    self.branches.push(children);
                }
            }
        }
    }
}

impl Leaf {
    fn item(&self, index: usize) -> Option<Item<'_>> {
        let element = self.elements.get(index)?;
        Some(Item {
            key: self.bytes.get(element.key.clone())?,
            value: self.bytes.get(element.value.clone())?,
            is_bucket: element.is_bucket,
            offset: self.offset + element.at as u64,
            value_offset: self.offset + element.value.start as u64,
        })
    }
}

/// What is wrong with a node, and where in it.
type Damage = (u64, &'static str);

/// Takes a node apart: its bytes begin with the header of page `id`.
fn parse(bytes: Vec<u8>, offset: u64, id: u64) -> std::result::Result<Node, Damage> {
    let mut reader = Reader::new(&bytes);
    let header = (|| Some((reader.u64()?, reader.u16()?, reader.u16()?, reader.u32()?)))();
    let (own_id, flags, count, _) = header.ok_or((0, "a page is cut off"))?;
    if own_id != id {
        return Err((0, "a page does not carry its own number"));
    }
    let count = usize::from(count);
    match flags {
        BRANCH => children(&bytes, count).map(Node::Branch),
        LEAF => {
            let elements = elements(&bytes, count)?;
            Ok(Node::Leaf(Leaf { bytes, offset, elements, next: 0 }))
        }
        _ => Err((8, "a page of a tree is neither branch nor leaf")),
    }
}

fn children(bytes: &[u8], count: usize) -> std::result::Result<Vec<u64>, Damage> {
    if bytes.len() as u64 > BRANCH_BYTES_MAX || count == 0 {
        return Err((0, "a branch is too large or empty"));
    }
    let mut children = Vec::with_capacity(count);
    for index in 0..count {
        let at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
        let element = bytes.get(at..at + ELEMENT_BYTES).and_then(|element| Reader::new(element.get(8..)?).u64());
        children.push(element.ok_or((at as u64, "a branch is cut off"))?);
    }
    Ok(children)
}

fn elements(bytes: &[u8], count: usize) -> std::result::Result<Vec<Element>, Damage> {
    let mut end = PAGE_HEADER_BYTES + count * ELEMENT_BYTES;
    if end > bytes.len() {
        return Err((10, "a leaf counts more elements than it can hold"));
    }
    let mut elements = Vec::with_capacity(count);
    for index in 0..count {
        let at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
        let element = element(bytes, at).filter(|element| element.key.start >= end);
        let element = element.ok_or((at as u64, "an element reaches beyond its place"))?;
        end = element.value.end;
        elements.push(element);
    }
    Ok(elements)
}

/// The leaf element at `at`; `None` if it is not inside `bytes`.
fn element(bytes: &[u8], at: usize) -> Option<Element> {
    let mut reader = Reader::new(bytes.get(at..at + ELEMENT_BYTES)?);
    let flags = reader.u32()?;
    let mut number = || usize::try_from(reader.u32()?).ok();
    let key = at.checked_add(number()?)?;
    let value = key.checked_add(number()?)?;
    let end = value.checked_add(number()?)?;
    (end <= bytes.len()).then_some(Element { is_bucket: flags & BUCKET != 0, at, key: key..value, value: value..end })
}

/// What a meta page says.
#[derive(Clone, Copy)]
struct Meta {
    page_bytes: u64,
    root: u64,
    pages: u64,
    transaction: u64,
}

/// A page that may be a meta.
enum Candidate {
    /// No meta at all.
    Foreign,
    Damaged,
    Newer(u32),
    Sound(Meta),
}

/// Finds the meta that counts.
fn find_meta(file: &dyn DiskFile, path: &Path, len: u64) -> Result<Meta> {
    let read = |offset| {
        let mut page = [0; META_BYTES];
        read_full_at(file, IoSite::ImportRead, &mut page, offset).map_err(|error| Error::io("read", path, error))?;
        Ok(meta(&page))
    };
    let first = read(0)?;
    let second = match &first {
        Candidate::Sound(meta) => read(meta.page_bytes)?,
        // Without the first one the page's size is not known, so the second is looked for.
        _ => {
            let mut found = Candidate::Foreign;
            for page_bytes in PAGE_BYTES.into_iter().filter(|size| *size < len) {
                found = match read(page_bytes)? {
                    Candidate::Sound(meta) if meta.page_bytes == page_bytes => Candidate::Sound(meta),
                    Candidate::Foreign | Candidate::Sound(_) => continue,
                    other => other,
                };
                break;
            }
            found
        }
    };
    match (first, second) {
        (Candidate::Sound(first), Candidate::Sound(second)) => {
            Ok(if second.transaction > first.transaction { second } else { first })
        }
        (Candidate::Sound(meta), _) | (_, Candidate::Sound(meta)) => Ok(meta),
        (Candidate::Newer(format), _) | (_, Candidate::Newer(format)) => {
            Err(Error::FormatTooNew { file: path.to_owned(), format })
        }
        (Candidate::Damaged, _) | (_, Candidate::Damaged) => Err(Error::corrupt(path, 0, "neither meta page is sound")),
        (Candidate::Foreign, Candidate::Foreign) => {
            Err(Error::NotADatabase { path: path.to_owned(), what: "nor an etcd snapshot, for it is no bbolt file" })
        }
    }
}

/// Takes the front of a page as a meta.
fn meta(page: &[u8; META_BYTES]) -> Candidate {
    let mut reader = Reader::new(&page[PAGE_HEADER_BYTES..]);
    let fields = (|| {
        let (magic, version) = (reader.u32()?, reader.u32()?);
        let (page_bytes, _flags, root, _sequence) = (reader.u32()?, reader.u32()?, reader.u64()?, reader.u64()?);
        let (_freelist, pages, transaction, sum) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        let meta = Meta { page_bytes: u64::from(page_bytes), root, pages, transaction };
        Some((magic, version, meta, sum))
    })();
    let Some((MAGIC, version, meta, sum)) = fields else { return Candidate::Foreign };
    if sum != fnv1a(&page[PAGE_HEADER_BYTES..META_BYTES - 8]) || !PAGE_BYTES.contains(&meta.page_bytes) {
        return Candidate::Damaged;
    }
    if version == VERSION { Candidate::Sound(meta) } else { Candidate::Newer(version) }
}

/// FNV-1a, 64 bit.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

const MAGIC: u32 = 0xed0c_daed;
/// The format of the file; bbolt has known no other.
const VERSION: u32 = 2;
/// bbolt takes the page size of the system that it runs on.
const PAGE_BYTES: [u64; 7] = [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];

const PAGE_HEADER_BYTES: usize = 16;
/// A meta page up to the end of its checksum.
const META_BYTES: usize = PAGE_HEADER_BYTES + 64;
/// Of branches and leaves alike.
const ELEMENT_BYTES: usize = 16;
/// What a bucket's value begins with.
const BUCKET_BYTES: usize = 16;

// Flags of a page, and of an element of a leaf.
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const BUCKET: u32 = 1;

/// etcd advises against more than 8 GiB. A file may claim any length without having the bytes, and there is a bit in memory
/// for each page.
const FILE_BYTES_MAX: u64 = 1 << 40;
/// More levels than any file needs: a level has at least two pages to each one above.
const DEPTH_MAX: usize = 32;
/// No node of etcd's comes near: it holds a page full, or one or two pairs as large as a request may be.
const NODE_BYTES_MAX: u64 = 128 << 20;
/// Branches hold keys, and those of etcd's buckets are short.
const BRANCH_BYTES_MAX: u64 = 1 << 20;
