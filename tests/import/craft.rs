//! bbolt files made by hand, as etcd would fill them or as it never would.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// A snapshot in the making.
#[derive(Clone)]
pub(crate) struct Craft {
    pub(crate) page_bytes: usize,
    /// How many elements a leaf takes, and how many children a branch: few of them make deep trees.
    pub(crate) fanout: usize,
    /// How many branches with one child stand above each bucket's tree.
    pub(crate) extra_levels: usize,
    /// Whether buckets stand inline in the root, as small ones do.
    pub(crate) inline: bool,
    pub(crate) buckets: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// A put as the bucket `key` holds it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Put<'a> {
    pub(crate) at: (u64, u64),
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) create: u64,
    pub(crate) version: u64,
    pub(crate) lease: i64,
}

impl Craft {
    /// An etcd to which nothing happened.
    pub(crate) fn new() -> Craft {
        let buckets = ["alarm", "auth", "key", "lease", "members", "meta"].map(|name| (name.into(), BTreeMap::new()));
        Craft { page_bytes: 4096, fanout: 40, extra_levels: 0, inline: false, buckets: buckets.into() }
    }

    /// Writes any pair into a bucket.
    pub(crate) fn pair(&mut self, bucket: &str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Craft {
        self.buckets.get_mut(bucket.as_bytes()).unwrap().insert(key.into(), value.into());
        self
    }

    pub(crate) fn without(&mut self, bucket: &str) -> &mut Craft {
        self.buckets.remove(bucket.as_bytes());
        self
    }

    pub(crate) fn remove(&mut self, bucket: &str, key: &[u8]) {
        self.buckets.get_mut(bucket.as_bytes()).unwrap().remove(key);
    }

    pub(crate) fn put(&mut self, put: Put<'_>) -> &mut Craft {
        let mut message = bytes_field(1, put.key);
        for (number, value) in [(2, put.create), (3, put.at.0), (4, put.version)] {
            message.extend(number_field(number, value));
        }
        message.extend(bytes_field(5, put.value));
        message.extend(number_field(6, put.lease.cast_unsigned()));
        self.pair("key", revision(put.at), message)
    }

    /// A put that creates its key.
    pub(crate) fn create(&mut self, at: u64, key: &str, lease: i64) -> &mut Craft {
        let (key, value) = (key.as_bytes(), format!("of {at}"));
        self.put(Put { at: (at, 0), key, value: value.as_bytes(), create: at, version: 1, lease })
    }

    /// A later put.
    pub(crate) fn update(&mut self, at: u64, key: &str, create: u64, version: u64, lease: i64) -> &mut Craft {
        let (key, value) = (key.as_bytes(), format!("of {at}"));
        self.put(Put { at: (at, 0), key, value: value.as_bytes(), create, version, lease })
    }

    pub(crate) fn delete(&mut self, at: (u64, u64), key: impl AsRef<[u8]>) -> &mut Craft {
        self.pair("key", [&revision(at)[..], b"t"].concat(), bytes_field(1, key.as_ref()))
    }

    pub(crate) fn lease(&mut self, id: i64, ttl: i64) -> &mut Craft {
        let message = [number_field(1, id.cast_unsigned()), number_field(2, ttl.cast_unsigned())].concat();
        self.pair("lease", id.to_be_bytes(), message)
    }

    pub(crate) fn compacted(&mut self, scheduled: u64, finished: Option<u64>) -> &mut Craft {
        self.pair("meta", *b"scheduledCompactRev", revision((scheduled, 0)));
        if let Some(finished) = finished {
            self.pair("meta", *b"finishedCompactRev", revision((finished, 0)));
        }
        self
    }

    /// The file, without a hash.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut file = File { page_bytes: self.page_bytes, fanout: self.fanout, bytes: vec![0; 3 * self.page_bytes] };
        file.bytes[2 * self.page_bytes..][..16].copy_from_slice(&header(2, 0x10, 0, 0));
        let mut root = Vec::new();
        for (name, pairs) in &self.buckets {
            let pairs: Vec<Pair> = pairs.iter().map(|(key, value)| (0, key.clone(), value.clone())).collect();
            let value = if self.inline {
                [&[0; 16][..], &leaf(0, &pairs, 0)].concat()
            } else {
                let mut root = file.tree(&pairs);
                for _ in 0..self.extra_levels {
                    root = file.add(|id, overflow| branch(id, &[(Vec::new(), root)], overflow));
                }
                [root.to_le_bytes(), [0; 8]].concat()
            };
            root.push((1, name.clone(), value));
        }
        let root = file.tree(&root);
        let pages = (file.bytes.len() / self.page_bytes) as u64;
        for page in 0..2 {
            // The other way round in a live file: which of the two is newer changes with each transaction.
            let meta = meta(page, self.page_bytes, root, pages, 9 - page);
            let at = usize::try_from(page).unwrap() * self.page_bytes;
            file.bytes[at..at + meta.len()].copy_from_slice(&meta);
        }
        file.bytes
    }

    /// The file with its hash, as `etcdctl snapshot save` writes it.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        with_hash(self.build())
    }
}

/// Puts the SHA-256 behind a file.
pub(crate) fn with_hash(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// A revision as etcd's keys spell it.
pub(crate) fn revision(at: (u64, u64)) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], b"_", &at.1.to_be_bytes()].concat()
}

/// A meta page up to its checksum.
pub(crate) fn meta(page: u64, page_bytes: usize, root: u64, pages: u64, transaction: u64) -> Vec<u8> {
    let mut meta = header(page, 4, 0, 0);
    let numbers = [0xed0c_daed, 2, u32::try_from(page_bytes).unwrap(), 0];
    numbers.iter().for_each(|number: &u32| meta.extend(number.to_le_bytes()));
    [root, 0, 2, pages, transaction].iter().for_each(|number| meta.extend(number.to_le_bytes()));
    seal_meta(&mut meta);
    meta
}

/// Appends the checksum of a meta page, or replaces the one that is there.
pub(crate) fn seal_meta(meta: &mut Vec<u8>) {
    meta.truncate(72);
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = meta[16..].iter().fold(0xcbf2_9ce4_8422_2325, step);
    meta.extend(sum.to_le_bytes());
}

/// Flags, key and value of an element of a leaf.
type Pair = (u32, Vec<u8>, Vec<u8>);

struct File {
    page_bytes: usize,
    fanout: usize,
    bytes: Vec<u8>,
}

impl File {
    /// Adds a tree and names its root.
    fn tree(&mut self, pairs: &[Pair]) -> u64 {
        let mut level: Vec<(Vec<u8>, u64)> = Vec::new();
        let leaves = pairs.chunks(self.fanout).chain(pairs.is_empty().then_some(&[][..]));
        for pairs in leaves {
            let first = pairs.first().map_or(Vec::new(), |(_, key, _)| key.clone());
            level.push((first, self.add(|id, overflow| leaf(id, pairs, overflow))));
        }
        while level.len() > 1 {
            let branches = level.chunks(self.fanout.max(2));
            level = branches
                .map(|children| (children[0].0.clone(), self.add(|id, overflow| branch(id, children, overflow))))
                .collect();
        }
        level[0].1
    }

    /// Adds a node behind the last page.
    fn add(&mut self, node: impl Fn(u64, u32) -> Vec<u8>) -> u64 {
        let id = (self.bytes.len() / self.page_bytes) as u64;
        let pages = node(id, 0).len().div_ceil(self.page_bytes);
        self.bytes.extend(node(id, u32::try_from(pages - 1).unwrap()));
        self.bytes.resize(self.bytes.len().next_multiple_of(self.page_bytes), 0);
        id
    }
}

fn leaf(id: u64, pairs: &[Pair], overflow: u32) -> Vec<u8> {
    let mut node = header(id, 2, pairs.len(), overflow);
    let mut at = 16 + 16 * pairs.len();
    for (index, (flags, key, value)) in pairs.iter().enumerate() {
        let pos = at - (16 + 16 * index);
        for number in [pos, key.len(), value.len()].iter().fold(vec![*flags], |mut numbers, number| {
            numbers.push(u32::try_from(*number).unwrap());
            numbers
        }) {
            node.extend(number.to_le_bytes());
        }
        at += key.len() + value.len();
    }
    pairs.iter().for_each(|(_, key, value)| node.extend([&key[..], value].concat()));
    node
}

fn branch(id: u64, children: &[(Vec<u8>, u64)], overflow: u32) -> Vec<u8> {
    let mut node = header(id, 1, children.len(), overflow);
    let mut at = 16 + 16 * children.len();
    for (index, (key, child)) in children.iter().enumerate() {
        let numbers = [at - (16 + 16 * index), key.len()].map(|number| u32::try_from(number).unwrap());
        numbers.iter().for_each(|number| node.extend(number.to_le_bytes()));
        node.extend(child.to_le_bytes());
        at += key.len();
    }
    children.iter().for_each(|(key, _)| node.extend(key));
    node
}

fn header(id: u64, flags: u16, count: usize, overflow: u32) -> Vec<u8> {
    let count = u16::try_from(count).unwrap();
    [&id.to_le_bytes()[..], &flags.to_le_bytes(), &count.to_le_bytes(), &overflow.to_le_bytes()].concat()
}

fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    // As protobuf, leave out what is empty.
    if bytes.is_empty() {
        return Vec::new();
    }
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn number_field(number: u8, value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { [vec![number << 3], varint(value)].concat() }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}
