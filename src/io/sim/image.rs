//! What is on a disk at one moment: names and bytes, no past.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::content::{Content, combine, hash_bytes};
use super::record::{Names, Node};
use crate::io::parent_of;

/// A directory tree with its files' bytes. Cheap to clone; bytes are shared until changed.
#[derive(Clone, Default)]
pub struct Image {
    /// A directory has no content.
    nodes: BTreeMap<Arc<str>, Option<Content>>,
}

impl Image {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.nodes.iter().filter_map(|(path, content)| Some((&**path, content.as_ref()?)))
    }

    /// The directories, by path.
    pub fn dirs(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, content)| content.is_none()).map(|(path, _)| &**path)
    }

    /// A file's content.
    pub fn get(&self, path: &str) -> Option<&Content> {
        self.nodes.get(path)?.as_ref()
    }

    /// A file's content, to be changed in place.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Content> {
        self.nodes.get_mut(path)?.as_mut()
    }

    /// A file's bytes.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.get(path).map(Content::to_vec)
    }

    /// Makes or replaces a file, and the directories it is in.
    pub fn insert(&mut self, path: &str, bytes: &[u8]) {
        let mut dir = parent_of(path);
        while !dir.is_empty() {
            self.nodes.entry(dir.into()).or_insert(None);
            dir = parent_of(dir);
        }
        self.nodes.insert(path.into(), Some(Content::from(bytes)));
    }

    /// Removes a file; false if it is not there.
    pub fn remove(&mut self, path: &str) -> bool {
        self.get(path).is_some() && self.nodes.remove(path).is_some()
    }

    /// Lets the disk rot: `f` changes a file's bytes. False if it is not there.
    pub fn mutate(&mut self, path: &str, f: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(content) = self.get_mut(path) else { return false };
        let mut bytes = content.to_vec();
        f(&mut bytes);
        *content = Content::from(&bytes[..]);
        true
    }

    /// Flips one bit of a file; false if it is not there.
    pub fn flip_bit(&mut self, path: &str, offset: u64, bit: u8) -> bool {
        let mut byte = [0];
        match self.get_mut(path) {
            Some(content) if content.read(&mut byte, offset) == 1 => {
                content.write(&[byte[0] ^ (1 << (bit % 8))], offset);
                true
            }
            _ => false,
        }
    }

    /// Swaps two blocks of `len` bytes of a file, as a disk does that misdirects writes. False if they are not there.
    pub fn swap_blocks(&mut self, path: &str, a: u64, b: u64, len: usize) -> bool {
        let Some(content) = self.get_mut(path) else { return false };
        let (mut first, mut second) = (vec![0; len], vec![0; len]);
        if content.read(&mut first, a) < len || content.read(&mut second, b) < len {
            return false;
        }
        content.write(&second, a);
        content.write(&first, b);
        true
    }

    /// A hash of names, lengths and bytes, to count distinct images by.
    pub fn hash(&self) -> u128 {
        self.nodes.iter().fold(0, |sum, (path, content)| {
            let content = content.as_ref().map_or(0, |content| content.hash() | 1);
            sum.wrapping_add(combine(hash_bytes(path.as_bytes()) ^ content.rotate_left(1), path.len() as u64))
        })
    }

    /// Writes everything below a real directory, for a look at what went wrong.
    pub fn write_to(&self, dir: &Path) -> std::io::Result<()> {
        for (path, content) in &self.nodes {
            match content {
                None => std::fs::create_dir_all(dir.join(&**path))?,
                Some(content) => std::fs::write(dir.join(&**path), content.to_vec())?,
            }
        }
        Ok(())
    }

    /// Reads a real directory, for instance an older version's store.
    pub fn read_from(dir: &Path) -> std::io::Result<Image> {
        let mut image = Image::new();
        image.read_below(dir, "")?;
        Ok(image)
    }

    fn read_below(&mut self, dir: &Path, prefix: &str) -> std::io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.nodes.insert(path.as_str().into(), None);
                self.read_below(&entry.path(), &format!("{path}/"))?;
            } else {
                self.insert(&path, &std::fs::read(entry.path())?);
            }
        }
        Ok(())
    }

    /// Names and contents apart; files are numbered in the order of their names.
    pub(super) fn to_parts(&self) -> (Names, Vec<Content>) {
        let (mut names, mut contents) = (Names::default(), Vec::new());
        for (path, content) in &self.nodes {
            let node = match content {
                None => Node::Dir,
                Some(content) => {
                    contents.push(content.clone());
                    Node::File(contents.len() - 1)
                }
            };
            names.0.insert(path.clone(), node);
        }
        (names, contents)
    }

    /// What can be reached by `names`: a name in a directory that is not there is lost.
    pub(super) fn from_parts(names: &Names, mut content_of: impl FnMut(usize) -> Content) -> Image {
        let mut image = Image::new();
        for (path, node) in &names.0 {
            let parent = parent_of(path);
            if !parent.is_empty() && !matches!(image.nodes.get(parent), Some(None)) {
                continue;
            }
            let content = match node {
                Node::Dir => None,
                Node::File(file) => Some(content_of(*file)),
            };
            image.nodes.insert(path.clone(), content);
        }
        image
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Image {}

impl fmt::Debug for Image {
    /// Names and lengths; bytes would drown them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (path, content) in &self.nodes {
            map.entry(path, &content.as_ref().map(Content::len));
        }
        map.finish()
    }
}
