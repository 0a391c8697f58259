//! The messages between two processes during a handover, over a socket pair.
//!
//! Each message is a kind, two lengths and perhaps descriptors (`SCM_RIGHTS`, unix(7)), then as many bytes as
//! the lengths say. The first message has a version, since the two programs may differ.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The version of the messages below. A successor with another version ends, and its predecessor continues.
pub(super) const VERSION: u32 = 1;
/// Longest input or output of a connection, in bytes, that is accepted.
const PASSED_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the successor: this is the version, in place of a length.
    Hello,
    /// To the successor: a listening socket, and its configured address; then the lock of its path.
    Socket,
    /// To the successor: those were all.
    Sockets,
    /// To the predecessor: everything except the store has been checked.
    Ready,
    /// To the successor: a connection with its input and its output.
    Connection,
    /// To the successor: the store is closed.
    Store,
    /// To the predecessor: the successor serves.
    Serving,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Hello,
        Self::Socket,
        Self::Sockets,
        Self::Ready,
        Self::Connection,
        Self::Store,
        Self::Serving,
    ];
}

/// The header of a message; its bytes follow.
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) lengths: [u32; 2],
    pub(super) descriptor: Option<OwnedFd>,
    pub(super) lock: Option<OwnedFd>,
}

/// How long to wait for the other process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'p> {
    /// The longest time without progress.
    pub(super) timeout: Duration,
    /// The wait ends as soon as one of these is readable. Messages of the other process take precedence.
    pub(super) unless: &'p [BorrowedFd<'p>],
}

impl Patience<'static> {
    /// A wait that nothing ends earlier.
    pub(super) fn of(timeout: Duration) -> Self {
        Self {
            timeout,
            unless: &[],
        }
    }
}

/// One end of the line between the two.
#[derive(Debug)]
pub(super) struct Line(UnixStream);

impl Line {
    /// An end over `stream`. Only [`Patience`] limits how long something may take.
    pub(super) fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(stream))
    }

    pub(super) fn send(
        &mut self,
        kind: Kind,
        parts: [&[u8]; 2],
        descriptors: &[BorrowedFd<'_>],
        patience: Patience<'_>,
    ) -> io::Result<()> {
        let lengths = match kind {
            Kind::Hello => [VERSION, 0],
            _ => [parts[0].len() as u32, parts[1].len() as u32],
        };
        let mut header = [0; 12];
        header[0] = kind as u8;
        header[4..8].copy_from_slice(&lengths[0].to_le_bytes());
        header[8..12].copy_from_slice(&lengths[1].to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        // The descriptors go with the first byte; a header is never received in part.
        let bytes = [IoSlice::new(&header)];
        let sent = self.when_ready(PollFlags::OUT, patience, || {
            sendmsg(&self.0, &bytes, &mut control, SendFlags::empty())
        })?;
        self.write(&header[sent..], patience)?;
        parts.iter().try_for_each(|part| self.write(part, patience))
    }

    pub(super) fn receive(&mut self, patience: Patience<'_>) -> io::Result<Message> {
        let mut header = [0; 12];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = self.when_ready(PollFlags::IN, patience, || {
            let bytes = &mut [IoSliceMut::new(&mut header)];
            recvmsg(&self.0, bytes, &mut control, RECEIVE_FLAGS).map(|read| read.bytes)
        })?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read(&mut header[received..], patience)?;
        let (mut descriptor, mut lock) = (None, None);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                (descriptor, lock) = (descriptors.next(), descriptors.next());
            }
        }
        for descriptor in descriptor.iter().chain(&lock) {
            keep_from_children(descriptor)?;
        }
        let [kind, _, _, _, a @ .., b0, b1, b2, b3] = header;
        let lengths = [u32::from_le_bytes(a), u32::from_le_bytes([b0, b1, b2, b3])];
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
        Ok(Message {
            kind: kind.ok_or_else(unknown)?,
            lengths,
            descriptor,
            lock,
        })
    }

    /// The bytes of a message that was received.
    pub(super) fn bytes(&mut self, length: u32, patience: Patience<'_>) -> io::Result<Vec<u8>> {
        if length > PASSED_BYTES_MAX {
            return Err(unknown());
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes, patience)?;
        Ok(bytes)
    }

    pub(super) fn expect(&mut self, kind: Kind, patience: Patience<'_>) -> io::Result<()> {
        let message = self.receive(patience)?;
        if message.kind == kind {
            Ok(())
        } else {
            Err(unknown())
        }
    }

    fn write(&self, mut bytes: &[u8], patience: Patience<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = || rustix::io::write(&self.0, bytes);
            let count = self.when_ready(PollFlags::OUT, patience, write)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn read(&self, mut bytes: &mut [u8], patience: Patience<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            let read = || rustix::io::read(&self.0, &mut *bytes);
            let count = self.when_ready(PollFlags::IN, patience, read)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = &mut bytes[count..];
        }
        Ok(())
    }

    fn when_ready<T>(
        &self,
        ready: PollFlags,
        patience: Patience<'_>,
        mut call: impl FnMut() -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match retry_on_intr(&mut call) {
                Err(Errno::WOULDBLOCK) => self.wait(ready, patience)?,
                done => return Ok(done?),
            }
        }
    }

    fn wait(&self, ready: PollFlags, patience: Patience<'_>) -> io::Result<()> {
        let mut polled = vec![PollFd::new(&self.0, ready)];
        let others = patience.unless.iter();
        polled.extend(others.map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN)));
        let timeout = Timespec::try_from(patience.timeout).map_err(io::Error::other)?;
        if retry_on_intr(|| poll(&mut polled, Some(&timeout)))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
        }
        if polled[0].revents().is_empty() {
            return Err(io::Error::other("this process was told to stop meanwhile"));
        }
        Ok(())
    }
}

/// Apple's systems have no flag that keeps started programs from inheriting received descriptors.
#[cfg(target_vendor = "apple")]
const RECEIVE_FLAGS: RecvFlags = RecvFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const RECEIVE_FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// Keeps started programs from inheriting a received descriptor, where [`RECEIVE_FLAGS`] does not.
fn keep_from_children(descriptor: &OwnedFd) -> io::Result<()> {
    if cfg!(target_vendor = "apple") {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(())
}

/// The error for another version of the messages.
pub(super) fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it speaks another version")
}
