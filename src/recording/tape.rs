//! A recording that is being made.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::blocks::Block;
use super::entry::{Entry, Head, MAGIC, NO_HASH, mix};
use super::mask::Mask;
use super::secrets::Secrets;
use crate::config::Config;
use crate::files;
use crate::reactor::{OsEntropy, random};
use crate::token::Keys;
use crate::work::appender::Appender;
use crate::work::{Snapshot, Store, StoreError};

/// Bytes that are reserved for the end of a recording.
const END_BYTES: u64 = 1024;

/// A recording that is being made. Clones share it.
#[derive(Clone)]
pub(super) struct Tape(Rc<RefCell<Inner>>);

struct Inner {
    appender: Appender,
    /// The block that the appender does not have yet.
    block: Block,
    written: u64,
    bytes_max: u64,
    ended: bool,
    secrets: Option<Secrets>,
    /// The mask of each stream that has not ended, by its number; streams that are not masked have an open one.
    masks: BTreeMap<usize, Mask>,
    /// The number of streams so far.
    streams: usize,
    now_ns: u64,
    /// The digest of all that the server did to the world.
    digest: u64,
    turns: u64,
}

impl Tape {
    /// Creates the file, with permissions only for its owner, and writes the state of the server.
    ///
    /// # Errors
    /// One sentence: if the file exists already, cannot be written, or has no room for the stored data.
    pub(super) fn begin(
        path: &Path,
        bytes_max: u64,
        with_secrets: bool,
        config: &Config,
        keys: &Keys,
        store: &mut Store,
        listeners: usize,
    ) -> Result<Self, String> {
        let of_store = |why: StoreError| why.to_string();
        let of_file = |why: io::Error| {
            format!(
                "cannot record to {}: {why}; name a file that is not there yet",
                path.display()
            )
        };
        let snapshot = without_hashes(store.load().map_err(of_store)?);
        let known = if with_secrets {
            keys.clone()
        } else {
            keys.with_known_secrets()
        };
        let secrets = (!with_secrets).then(|| {
            Secrets::new(
                config.limits.clone(),
                keys.clone(),
                &snapshot,
                random(&mut OsEntropy),
            )
        });
        let head = Head {
            version: env!("CARGO_PKG_VERSION").into(),
            masked: !with_secrets,
            config: config.clone(),
            listeners,
            keys: known.to_json(),
            store: snapshot,
        };
        let mut json = serde_json::to_vec(&head).map_err(|why| why.to_string())?;
        json.push(b'\n'); // for people who look into the file
        let mut block = Block::default();
        let block_bytes = block.extend(|mut bytes| {
            bytes.append(&mut json);
            bytes
        });
        let written = (MAGIC.len() + block_bytes) as u64;
        if written > bytes_max / 2 {
            return Err(format!(
                "a recording of at most {bytes_max} bytes has no room for the {} users and sessions that are stored; allow more with --record-bytes-max",
                head.store.users.len() + head.store.sessions.len()
            ));
        }
        let file = files::options()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(of_file)?;
        let appender = Appender::to(file).map_err(of_file)?;
        appender.append(&mut MAGIC.to_vec());
        appender.append(block.close());
        Ok(Self(Rc::new(RefCell::new(Inner {
            appender,
            block,
            written,
            bytes_max,
            ended: false,
            secrets,
            masks: BTreeMap::new(),
            streams: 0,
            now_ns: 0,
            digest: 0,
            turns: 0,
        }))))
    }

    /// Records an answer of the world.
    pub(super) fn add(&self, entry: &Entry) {
        self.0.borrow_mut().add(entry);
    }

    /// Takes note of something that the server did to the world.
    pub(super) fn did(&self, word: u64) {
        mix(&mut self.0.borrow_mut().digest, word);
    }

    pub(super) fn now(&self, ns: u64) {
        let mut inner = self.0.borrow_mut();
        let since = ns.saturating_sub(inner.now_ns);
        inner.now_ns = ns;
        inner.add(&Entry::Now(since));
    }

    pub(super) fn ready(&self, ready: Vec<(u64, u8)>) {
        let mut inner = self.0.borrow_mut();
        let digest = inner.digest as u32;
        inner.add(&Entry::Ready { ready, digest });
    }

    /// A stream begins, with requests or with something else; returns its number.
    pub(super) fn stream(&self, requests: bool) -> usize {
        let mut inner = self.0.borrow_mut();
        let masked = requests && inner.secrets.is_some();
        let mask = if masked {
            Mask::default()
        } else {
            Mask::open()
        };
        let number = inner.streams;
        inner.streams += 1;
        // The server continues when its recording has ended, and nothing of that is kept.
        if !inner.ended {
            inner.masks.insert(number, mask);
        }
        number
    }

    /// Records bytes that were read from a stream.
    pub(super) fn read(&self, stream: usize, bytes: &[u8]) {
        self.0
            .borrow_mut()
            .mask(stream, |mask, secrets| match secrets {
                Some(secrets) => mask.read(bytes, secrets),
                None => bytes.to_vec(),
            });
    }

    /// A stream is gone.
    pub(super) fn stream_ended(&self, stream: usize) {
        let mut inner = self.0.borrow_mut();
        inner.end_stream(stream);
        inner.masks.remove(&stream);
    }

    /// A turn is over: its entries go to the file. Returns whether it is time to end.
    pub(super) fn turn_ended(&self) -> bool {
        let inner = &mut *self.0.borrow_mut();
        inner.turns += 1;
        inner.appender.append(inner.block.close());
        !inner.ended && inner.written + END_BYTES > inner.bytes_max
    }

    /// Records the state of the server at this moment.
    pub(super) fn state(&self, digest: [u8; 32]) {
        let inner = &mut *self.0.borrow_mut();
        let turns = inner.turns;
        inner.add(&Entry::State { turns, digest });
        inner.appender.append(inner.block.close());
    }

    /// Ends the recording. Returns the disk's error, if it failed.
    pub(super) fn end(&self, why: &str) -> Option<String> {
        let inner = &mut *self.0.borrow_mut();
        let streams: Vec<usize> = inner.masks.keys().copied().collect();
        for stream in streams {
            inner.end_stream(stream);
        }
        inner.add(&Entry::End(why.into()));
        inner.ended = true;
        inner.masks.clear();
        inner.appender.append(inner.block.close());
        inner.appender.failure()
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().ended
    }

    pub(super) fn turns(&self) -> u64 {
        self.0.borrow().turns
    }

    pub(super) fn written(&self) -> u64 {
        self.0.borrow().written
    }
}

impl Inner {
    fn add(&mut self, entry: &Entry) {
        if self.ended {
            return;
        }
        let extend =
            |bytes| postcard::to_extend(entry, bytes).expect("appending to a vector cannot fail");
        self.written += self.block.extend(extend) as u64;
    }

    fn mask(
        &mut self,
        stream: usize,
        pass: impl FnOnce(&mut Mask, Option<&mut Secrets>) -> Vec<u8>,
    ) {
        if self.ended {
            return;
        }
        let Some(mask) = self.masks.get_mut(&stream) else {
            return;
        };
        let bytes = pass(mask, self.secrets.as_mut());
        self.add_bytes(stream, bytes);
    }

    fn add_bytes(&mut self, stream: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.add(&Entry::Bytes(stream, bytes));
        }
        let renamed = self.secrets.as_mut().map(Secrets::take_renamed);
        for (was, is) in renamed.unwrap_or_default() {
            self.add(&Entry::Session { was, is });
        }
    }

    /// Bytes that were held back will not become clearer.
    fn end_stream(&mut self, stream: usize) {
        self.mask(stream, |mask, secrets| {
            secrets.map_or(Vec::new(), |secrets| mask.end(secrets))
        });
    }
}

fn without_hashes(mut snapshot: Snapshot) -> Snapshot {
    for user in &mut snapshot.users {
        user.password = NO_HASH.into();
    }
    snapshot
}
